"""From the bytes of a PDB to addresses in an image."""

from typing import NamedTuple

from hpbuild.codes.pe_identity import PDB_STREAM_MALFORMED
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.file import Pdb, open_pdb
from hpbuild.pe.pdb.records import S_PUB32, S_TRAMPOLINE, Record, global_records, module_records
from hpbuild.pe.pdb.streams import NO_STREAM, Dbi


class Placed(NamedTuple):
    """A record with its RVA and the object file that it comes from ("" when it is in no module)."""

    rva: int
    record: Record
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PdbSymbols:
    """Everything of a PDB that names an address of the image. ``contributions`` maps the RVA at which an
    object's part of a section begins to its size in bytes; ``thunk_targets`` a trampoline to its goal."""

    placed: tuple[Placed, ...]
    publics: tuple[Placed, ...]
    contributions: dict[int, int]
    thunk_targets: dict[int, int]


def read_pdb(data: bytes, name: str, image: Image, guid: str, age: int) -> PdbSymbols:
    """Symbols of the PDB ``data`` for ``image``: ``open_pdb`` and ``read_symbols`` in one."""
    return read_symbols(open_pdb(data, name, image, guid, age))


def read_symbols(pdb: Pdb) -> PdbSymbols:
    """Symbols of a PDB. Records outside every section (absolute and discarded symbols) are left out.

    Raises HpbuildError with the codes of ``module_records``, or PDB_STREAM_MALFORMED.
    """
    placed, targets = _module_symbols(pdb)
    variables, publics = _global_symbols(pdb)
    # Global variables are only in the symbol record stream, local ones there and with their module.
    known = {(symbol.rva, symbol.record.name) for symbol in placed}
    placed += [symbol for symbol in variables if (symbol.rva, symbol.record.name) not in known]
    return PdbSymbols(
        placed=tuple(placed),
        publics=tuple(publics),
        contributions=_contributions(pdb.dbi),
        thunk_targets=targets,
    )


def _module_symbols(pdb: Pdb) -> tuple[list[Placed], dict[int, int]]:
    """Symbols of all object files, and where their trampolines lead."""
    extents = _extents(pdb.dbi)
    placed: list[Placed] = []
    targets: dict[int, int] = {}
    for module in pdb.dbi.modules:
        if module.stream == NO_STREAM:
            continue
        place = f"{pdb.msf.name}: symbols of {module.name}"
        for record in module_records(pdb.msf.stream(module.stream, module.symbol_bytes), place):
            rva = _rva(extents, record.segment, record.offset, record.size, place)
            if rva is None:
                continue
            placed.append(Placed(rva, record, module.name))
            if record.kind == S_TRAMPOLINE:
                target = _rva(extents, *record.target, 0, place)
                if target is not None:
                    targets[rva] = target
    return placed, targets


def _global_symbols(pdb: Pdb) -> tuple[list[Placed], list[Placed]]:
    """Variables and public names of the symbol record stream."""
    extents = _extents(pdb.dbi)
    variables: list[Placed] = []
    publics: list[Placed] = []
    place = f"{pdb.msf.name}: symbol records"
    for record in global_records(pdb.msf.stream(pdb.dbi.symbol_record_stream), place):
        rva = _rva(extents, record.segment, record.offset, 0, place)
        if rva is not None:
            (publics if record.kind == S_PUB32 else variables).append(Placed(rva, record, ""))
    return variables, publics


def _extents(dbi: Dbi) -> list[tuple[int, int]]:
    """RVA and size of every section; segment n has row n - 1."""
    return list(zip(dbi.section_rvas.tolist(), dbi.section_sizes.tolist(), strict=True))


def _rva(extents: list[tuple[int, int]], segment: int, offset: int, size: int, place: str) -> int | None:
    """The RVA of segment:offset, None outside every section; an extent that leaves its section refuses."""
    if not 0 < segment <= len(extents):
        return None
    start, length = extents[segment - 1]
    if offset >= length:
        return None
    if offset + size > length:
        raise HpbuildError(
            PDB_STREAM_MALFORMED, place, f"{size} bytes at {segment}:{offset:#x} leave the section"
        )
    return start + offset


def _contributions(dbi: Dbi) -> dict[int, int]:
    rows = dbi.contributions
    segments = rows[:, 0]
    inside = (segments > 0) & (segments <= len(dbi.section_rvas)) & (rows[:, 2] > 0)
    rows, segments = rows[inside], segments[inside]
    ends = rows[:, 1] + rows[:, 2]
    fits = ends <= dbi.section_sizes[segments - 1]
    starts = rows[:, 1] + dbi.section_rvas[segments - 1]
    return dict(zip(starts[fits].tolist(), rows[fits, 2].tolist(), strict=True))
