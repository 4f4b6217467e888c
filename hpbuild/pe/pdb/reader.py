"""From the bytes of a PDB to addresses in an image."""

from dataclasses import dataclass, replace

import numpy as np

from hpbuild.codes.pe_identity import PDB_MISMATCH, PDB_STREAM_MALFORMED
from hpbuild.errors import HpbuildError
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.msf import Msf, open_msf
from hpbuild.pe.pdb.records import S_PUB32, Record, global_records, module_records
from hpbuild.pe.pdb.streams import NO_STREAM, Dbi, read_dbi, read_info


@dataclass(frozen=True, slots=True)
class Placed:
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
    """Symbols of the PDB ``data`` for ``image``, whose debug directory names ``guid`` and ``age``.

    ``guid`` has 32 lower-case hexadecimal digits. Records outside every section (absolute and discarded
    symbols) are left out. Raises HpbuildError PDB_MISMATCH when the PDB is of another build, and the
    codes of ``open_msf``, ``read_dbi`` and ``module_records``.
    """
    msf = open_msf(data, name)
    info = read_info(msf)
    if info.guid != guid:
        raise HpbuildError(PDB_MISMATCH, name, f"GUID {info.guid}, the image names {guid}")
    dbi = read_dbi(msf)
    # The age of the info stream rises when a tool edits the PDB; the linker's is kept in the DBI stream.
    if age not in (dbi.age, info.age):
        raise HpbuildError(PDB_MISMATCH, name, f"age {dbi.age}, the image names {age}")
    dbi = _checked_sections(dbi, image, name)
    placed, targets = _module_symbols(msf, dbi)
    variables, publics = _global_symbols(msf, dbi)
    # Global variables are only in the symbol record stream, local ones there and with their module.
    known = {(symbol.rva, symbol.record.name) for symbol in placed}
    placed += [symbol for symbol in variables if (symbol.rva, symbol.record.name) not in known]
    return PdbSymbols(
        placed=tuple(placed),
        publics=tuple(publics),
        contributions=_contributions(dbi),
        thunk_targets=targets,
    )


def _checked_sections(dbi: Dbi, image: Image, name: str) -> Dbi:
    """``dbi`` with the extents that the image gives its sections; addresses that differ refuse."""
    sections = image.sections[: len(dbi.section_rvas)]
    rvas = np.array([section.rva for section in sections], dtype=np.int64)
    if not np.array_equal(dbi.section_rvas[: len(image.sections)], rvas):
        raise HpbuildError(PDB_MISMATCH, name, "its section addresses are not those of the image")
    sizes = np.array([section.virtual_size for section in sections], dtype=np.int64)
    return replace(dbi, section_rvas=rvas, section_sizes=sizes)


def _module_symbols(msf: Msf, dbi: Dbi) -> tuple[list[Placed], dict[int, int]]:
    """Symbols of all object files, and where their trampolines lead."""
    placed: list[Placed] = []
    targets: dict[int, int] = {}
    for module in dbi.modules:
        if module.stream == NO_STREAM:
            continue
        place = f"{msf.name}: symbols of {module.name}"
        for record in module_records(msf.stream(module.stream, module.symbol_bytes), place):
            rva = _rva(dbi, record.segment, record.offset, record.size, place)
            target = _rva(dbi, *record.target, 0, place)
            if rva is not None:
                placed.append(Placed(rva, record, module.name))
                if target is not None:
                    targets[rva] = target
    return placed, targets


def _global_symbols(msf: Msf, dbi: Dbi) -> tuple[list[Placed], list[Placed]]:
    """Variables and public names of the symbol record stream."""
    variables: list[Placed] = []
    publics: list[Placed] = []
    place = f"{msf.name}: symbol records"
    for record in global_records(msf.stream(dbi.symbol_record_stream), place):
        rva = _rva(dbi, record.segment, record.offset, 0, place)
        if rva is not None:
            (publics if record.kind == S_PUB32 else variables).append(Placed(rva, record, ""))
    return variables, publics


def _rva(dbi: Dbi, segment: int, offset: int, size: int, place: str) -> int | None:
    """The RVA of segment:offset, None outside every section; an extent that leaves its section refuses."""
    if not 0 < segment <= len(dbi.section_rvas):
        return None
    length = int(dbi.section_sizes[segment - 1])
    if offset >= length:
        return None
    if offset + size > length:
        raise HpbuildError(
            PDB_STREAM_MALFORMED, place, f"{size} bytes at {segment}:{offset:#x} leave the section"
        )
    return int(dbi.section_rvas[segment - 1]) + offset


def _contributions(dbi: Dbi) -> dict[int, int]:
    rows = dbi.contributions
    segments = rows[:, 0]
    inside = (segments > 0) & (segments <= len(dbi.section_rvas)) & (rows[:, 2] > 0)
    rows, segments = rows[inside], segments[inside]
    ends = rows[:, 1] + rows[:, 2]
    fits = ends <= dbi.section_sizes[segments - 1]
    starts = rows[:, 1] + dbi.section_rvas[segments - 1]
    return dict(zip(starts[fits].tolist(), rows[fits, 2].tolist(), strict=True))
