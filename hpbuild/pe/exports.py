"""The export directory. Source: PE specification, section "The .edata Section (Image Only)"."""

import numpy as np
import numpy.typing as npt

from hpbuild.codes import pe as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import (
    EXPORT,
    Names,
    Places,
    Words,
    merged_runs,
    unpack,
    words,
)
from hpbuild.pe.image import Image
from hpbuild.values import Interval, Rva

MAX_ORDINALS = 0x10000
_DIRECTORY = "IIHHIIIIIII"
_DIRECTORY_SIZE = 40
_UNNAMED = ("",)


@dataclass(frozen=True, slots=True)
class Export:
    """One exported name or, with ``name`` '', one exported ordinal that has no name.

    ``rva`` is 0 and ``forwarder`` 'dll.name' for a forwarded export, else ``forwarder`` is ''.
    """

    name: str
    ordinal: int
    rva: Rva
    forwarder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    dll_name: Rva
    base: int
    functions_at: int
    functions: Words
    names_at: int
    names: Words
    ordinals_at: int
    ordinals: tuple[int, ...]


def exports(image: Image) -> tuple[Export, ...]:
    """All exports by ordinal, then name; unused ordinals are left out.

    Raises HpbuildError: HP1201 malformed, HP1202 a name's ordinal without address.
    """
    return tuple(Export(*row) for row in export_rows(image))


def export_rows(image: Image) -> list[tuple[str, int, Rva, str]]:
    """The same as (name, ordinal, RVA, forwarder)."""
    tables = _tables(image)
    if tables is None:
        return []
    names = Names.of(image, codes.EXPORT_MALFORMED, codes.EXPORT_MALFORMED)
    texts, _ = names.texts(tables.names.astype(np.int64), "name")
    forwarded = _forwards(image, tables)
    if not forwarded.any() and len(set(tables.ordinals)) == len(texts):
        alone = [""] * len(tables.functions)
        for text, index in zip(texts, tables.ordinals, strict=True):
            alone[index] = text
        ordinals = range(tables.base, tables.base + len(alone))
        one_each = zip(alone, ordinals, tables.functions.tolist(), strict=True)
        return [(name, ordinal, Rva(rva), "") for name, ordinal, rva in one_each if rva]
    named: dict[int, list[str]] = {}
    for text, index in zip(texts, tables.ordinals, strict=True):
        named.setdefault(index, []).append(text)
    found: list[tuple[str, int, Rva, str]] = []
    rows = zip(tables.functions.tolist(), forwarded.tolist(), strict=True)
    for ordinal, (rva, forwards) in enumerate(rows, tables.base):
        if not rva:
            continue
        forwarder = ""
        if forwards:
            forwarder = names.text(names.raw(rva, "forwarder"))
            if not forwarder:
                raise HpbuildError(codes.EXPORT_MALFORMED, image.name, f"empty forwarder at RVA {rva:#x}")
        target = Rva(0 if forwards else rva)
        bearing = named.get(ordinal - tables.base, _UNNAMED)
        for name in bearing if len(bearing) == 1 else sorted(bearing):
            found.append((name, ordinal, target, forwarder))
    return found


def same_names(one: Image, other: Image) -> bool:
    """True when two images surely export the same names with the same ordinals, and forward none of them. As
    ``exports``."""
    tables = [_tables(image) for image in (one, other)]
    ours, theirs = tables
    if ours is None or theirs is None:
        return ours is theirs
    if (ours.base, ours.ordinals) != (theirs.base, theirs.ordinals):
        return False
    if not np.array_equal(ours.functions != 0, theirs.functions != 0):
        return False
    texts = []
    for image, table in ((one, ours), (other, theirs)):
        if _forwards(image, table).any():
            return False
        names = Names.of(image, codes.EXPORT_MALFORMED, codes.EXPORT_MALFORMED)
        texts.append(names.all(table.names.astype(np.int64), "name"))
    return texts[0] == texts[1]


def _forwards(image: Image, tables: _Tables) -> npt.NDArray[np.bool_]:
    """Which functions are none: their addresses are those of forwarders."""
    directory = image.directories[EXPORT]
    found: npt.NDArray[np.bool_] = (tables.functions >= directory.start) & (tables.functions < directory.end)
    return found


def export_extents(image: Image) -> tuple[Interval, ...]:
    """RVAs of the directory, its three tables and every string; sorted, disjoint. As ``exports``."""
    starts, ends = export_runs(image)
    return tuple(Interval(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True))


def export_runs(image: Image) -> tuple[Places, Places]:
    """Starts and ends of the same."""
    tables = _tables(image)
    if tables is None:
        return merged_runs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    directory = image.directories[EXPORT]
    functions = tables.functions
    forwarders = functions[(functions >= directory.start) & (functions < directory.end)]
    library = np.array([tables.dll_name] if tables.dll_name else [], dtype=np.uint32)
    strings = np.concatenate((forwarders, tables.names, library)).astype(np.int64)
    names = Names.of(image, codes.EXPORT_MALFORMED, codes.EXPORT_MALFORMED)
    starts = [directory.start, tables.functions_at, tables.names_at, tables.ordinals_at]
    sizes = [
        _DIRECTORY_SIZE, 4 * len(tables.functions), 4 * len(tables.names), 2 * len(tables.ordinals)
    ]  # fmt: skip
    begins = np.array(starts, dtype=np.int64)
    return merged_runs(
        np.concatenate((begins, strings)),
        np.concatenate((begins + sizes, strings + names.lengths(strings, "name") + 1)),
    )


def _tables(image: Image) -> _Tables | None:
    directory = image.directories[EXPORT]
    if not len(directory):
        return None
    if len(directory) < _DIRECTORY_SIZE:
        raise HpbuildError(codes.EXPORT_MALFORMED, image.name, f"directory of {len(directory)} bytes")
    (_, _, _, _, library, base, function_count, name_count, functions, names, ordinals) = unpack(
        image, _DIRECTORY, directory.start, codes.EXPORT_MALFORMED, "export directory"
    )
    if function_count > MAX_ORDINALS or name_count > MAX_ORDINALS:
        raise HpbuildError(
            codes.EXPORT_MALFORMED, image.name, f"{function_count} functions, {name_count} names"
        )
    address_table = _table(image, functions, function_count, "address table")
    if (address_table >= image.size_of_image).any():
        raise HpbuildError(codes.EXPORT_MALFORMED, image.name, "an exported address leaves the image")
    ordinal_table = _ordinals(image, ordinals, name_count)
    used = np.zeros(MAX_ORDINALS, dtype=np.bool_)
    used[: len(address_table)] = address_table != 0
    indices = np.array(ordinal_table, dtype=np.int64)
    lost = indices[~used[indices]]
    if len(lost):
        raise HpbuildError(codes.EXPORT_ORDINAL, image.name, f"a name has ordinal index {int(lost[0])}")
    return _Tables(
        dll_name=Rva(library), base=base, functions_at=functions, functions=address_table, names_at=names,
        names=_table(image, names, name_count, "name pointer table"), ordinals_at=ordinals,
        ordinals=ordinal_table,
    )  # fmt: skip


def _table(image: Image, rva: int, count: int, what: str) -> Words:
    if not count:
        return np.zeros(0, dtype=np.uint32)
    return words(image, rva, count, codes.EXPORT_MALFORMED, what)


def _ordinals(image: Image, rva: int, count: int) -> tuple[int, ...]:
    return unpack(image, f"{count}H", rva, codes.EXPORT_MALFORMED, "ordinal table") if count else ()
