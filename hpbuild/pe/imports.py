"""Imports: the import directory (bound or not) and delay-load descriptors.

A library's imports are read all at once where nothing about them is odd, else one by one, which finds out
what is.

Source: PE specification, sections "The .idata Section" and "Delay-Load Import Tables".
"""

import numpy as np
import numpy.typing as npt

from hpbuild.codes import pe as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import (
    DELAY_IMPORT,
    IMPORT,
    Names,
    Places,
    merged,
    merged_intervals,
    unpack,
)
from hpbuild.pe.image import Image
from hpbuild.values import Interval, Rva

MAX_IMPORTS = 1 << 16
"""QtOpenGL.pyd, the richest image known here, has 13,592, from 33 libraries at most."""
MAX_LIBRARIES = 1 << 12
_BY_ORDINAL = 1 << 63
_REACHES = (1 << 6, 1 << 10, MAX_IMPORTS + 1)
"""Entries of a name table among which its end is looked for, first in few."""
_DESCRIPTOR, _DESCRIPTOR_SIZE = "IIIII", 20
_DELAY, _DELAY_SIZE = "IIIIIIII", 32
_DELAY_RVA_BASED = 1


@dataclass(frozen=True, slots=True)
class Import:
    """One import slot: 8 bytes at ``slot`` that the loader (or the delay-load helper) fills.

    ``name`` is '' and ``ordinal`` set for an import by ordinal; ``dll`` as written in the image.
    """

    slot: Rva
    dll: str
    name: str
    ordinal: int | None
    delay: bool


@dataclass(frozen=True, slots=True)
class SlotTable:
    """One library's slots and, in step with them, its name table: as long as nobody bound or resolved the
    imports, the slots of a library that is not delay-loaded hold what its name table holds. ``slots`` and
    ``names`` end before the end marks."""

    slots: Interval
    names: Interval
    delay: bool


@dataclass(slots=True)
class _Found:
    """What one walk collects; extents: descriptors, name tables and strings, apart from slots; ``runs`` are
    more of them, starts and ends."""

    names: Names
    seen: set[int]
    imports: list[Import] = field(default_factory=list)
    extents: list[Interval] = field(default_factory=list)
    runs: list[tuple[Places, Places]] = field(default_factory=list)
    slots: list[Interval] = field(default_factory=list)
    tables: list[SlotTable] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportExtents:
    """RVAs by kind, each sorted and disjoint: descriptors with name tables and strings, their delay-load
    counterparts, and slots (the delay-load ones apart: they are part of ``delay``)."""

    tables: tuple[Interval, ...]
    slots: tuple[Interval, ...]
    delay: tuple[Interval, ...]


def imports(image: Image) -> tuple[Import, ...]:
    """All imports sorted by slot.

    Raises HpbuildError with HP1211 to HP1216.
    """
    found = _walk_imports(image, set())
    delayed = _walk_delayed(image, found.seen)
    return tuple(sorted(found.imports + delayed.imports, key=lambda item: item.slot))


def slot_tables(image: Image) -> tuple[SlotTable, ...]:
    """The slots of every library. Raises as ``imports``."""
    found = _walk_imports(image, set())
    return (*found.tables, *_walk_delayed(image, found.seen).tables)


def import_extents(image: Image) -> ImportExtents:
    """Where the import metadata lies. Raises as ``imports``."""
    found = _walk_imports(image, set())
    delayed = _walk_delayed(image, found.seen)
    return ImportExtents(
        tables=_merged(found, found.extents),
        slots=merged_intervals(found.slots),
        delay=_merged(delayed, delayed.extents + delayed.slots),
    )


def _merged(found: _Found, extents: list[Interval]) -> tuple[Interval, ...]:
    """``extents`` with the runs of ``found``, sorted and disjoint."""
    starts = np.array([item.start for item in extents], dtype=np.int64)
    ends = np.array([item.end for item in extents], dtype=np.int64)
    return merged(
        np.concatenate([starts, *(run[0] for run in found.runs)]),
        np.concatenate([ends, *(run[1] for run in found.runs)]),
    )


def _walk_imports(image: Image, seen: set[int]) -> _Found:
    directory = image.directories[IMPORT]
    found = _Found(Names.of(image, codes.IMPORT_MALFORMED, codes.IMPORT_COUNT), seen)
    at = directory.start
    while len(directory):
        if at + _DESCRIPTOR_SIZE > directory.end:
            raise HpbuildError(codes.IMPORT_UNTERMINATED, image.name, f"directory {directory}")
        lookup, stamp, _, name, slots = unpack(
            image, _DESCRIPTOR, at, codes.IMPORT_MALFORMED, "import descriptor"
        )
        found.extents.append(Interval(at, at + _DESCRIPTOR_SIZE))
        if not name or not slots:
            # The loader ends at a descriptor without name or slots, whatever else it holds.
            break
        if not lookup and stamp:
            raise HpbuildError(codes.IMPORT_WITHOUT_NAMES, image.name, f"descriptor at RVA {at:#x}")
        _walk_slots(image, found, (lookup or slots, slots, name), delay=False)
        at += _DESCRIPTOR_SIZE
    return found


def _walk_delayed(image: Image, seen: set[int]) -> _Found:
    directory = image.directories[DELAY_IMPORT]
    found = _Found(Names.of(image, codes.IMPORT_MALFORMED, codes.IMPORT_COUNT), seen)
    at = directory.start
    while len(directory):
        if at + _DELAY_SIZE > directory.end:
            raise HpbuildError(codes.IMPORT_UNTERMINATED, image.name, f"delay-load directory {directory}")
        attributes, name, _, slots, lookup, _, _, _ = unpack(
            image, _DELAY, at, codes.IMPORT_MALFORMED, "delay-load descriptor"
        )
        found.extents.append(Interval(at, at + _DELAY_SIZE))
        if not name:
            break
        if not attributes & _DELAY_RVA_BASED:
            raise HpbuildError(codes.DELAY_IMPORT_ABSOLUTE, image.name, f"descriptor at RVA {at:#x}")
        if not slots or not lookup:
            raise HpbuildError(codes.IMPORT_MALFORMED, image.name, f"delay-load descriptor at RVA {at:#x}")
        _walk_slots(image, found, (lookup, slots, name), delay=True)
        at += _DELAY_SIZE
    return found


def _walk_slots(image: Image, found: _Found, tables: tuple[int, int, int], *, delay: bool) -> None:
    """One library's imports; ``tables`` are the RVAs of name table, slots and library name."""
    lookup, slots, name = tables
    if len(found.tables) == MAX_LIBRARIES:
        raise HpbuildError(codes.IMPORT_COUNT, image.name, f"{MAX_LIBRARIES} libraries and more")
    raw = found.names.raw(name, "library name")
    found.extents.append(Interval(name, name + len(raw) + 1))
    library = found.names.text(raw)
    if slots >= image.size_of_image:
        raise HpbuildError(codes.IMPORT_MALFORMED, image.name, f"slots at RVA {slots:#x} for {library}")
    at = _all_at_once(image, found, (lookup, slots), library, delay)
    if not at:
        at = _one_by_one(image, found, (lookup, slots), library, delay)
    found.tables.append(SlotTable(Interval(slots, slots + at), Interval(lookup, lookup + at), delay))
    found.slots.append(Interval(slots, min(slots + at + 8, image.size_of_image)))
    if lookup != slots:
        found.extents.append(Interval(lookup, lookup + at + 8))


def _all_at_once(image: Image, found: _Found, tables: tuple[int, int], library: str, delay: bool) -> int:
    """Read the entries behind each other in the name table and the slots. How many bytes they take there; 0
    when they are to be read one by one, and then nothing was found."""
    lookup, slots = tables
    entries = _entries(image, lookup)
    end = slots + 8 * len(entries)
    section = image.section_at(slots)
    if not len(entries) or slots % 4 or section is None or image.section_at(end - 8) is not section:
        return 0
    if len(found.seen) + len(entries) > MAX_IMPORTS or not found.seen.isdisjoint(range(slots - 4, end, 4)):
        return 0
    numbered = entries >= _BY_ORDINAL
    numbers, places = entries[numbered] - np.uint64(_BY_ORDINAL), entries[~numbered]
    if (numbers > 0xFFFF).any() or (places >= image.size_of_image).any():
        return 0
    left = found.names.left
    try:
        texts, sizes = found.names.texts(places.astype(np.int64) + 2, f"import name of {library}")
    except HpbuildError:
        found.names.left = left
        return 0
    begins = places.astype(np.int64)
    ends = begins + sizes + 3  # the hint before it and the NUL behind; one more keeps the next hint even
    found.runs.append((begins, np.minimum(ends + ends % 2, image.size_of_image)))
    found.seen.update(range(slots, end, 8))
    ordinals, names = iter(numbers.tolist()), iter(texts)
    found.imports += [
        Import(Rva(slot), library, "", next(ordinals), delay)
        if by_number
        else Import(Rva(slot), library, next(names), None, delay)
        for slot, by_number in zip(range(slots, end, 8), numbered.tolist(), strict=True)
    ]
    return end - slots


def _entries(image: Image, lookup: int) -> npt.NDArray[np.uint64]:
    """The entries from ``lookup`` up to the one that is 0; none when that is not found."""
    for reach in _REACHES:
        size = min(8 * reach, image.size_of_image - lookup) // 8 * 8
        values = np.frombuffer(image.memory[lookup : lookup + max(size, 0)].tobytes(), dtype="<u8")
        zeros = np.flatnonzero(values == 0)
        if len(zeros):
            return values[: zeros[0]].astype(np.uint64, copy=False)
    return np.zeros(0, dtype=np.uint64)


def _one_by_one(image: Image, found: _Found, tables: tuple[int, int], library: str, delay: bool) -> int:
    """The same for every kind of entries; raises HpbuildError for what is wrong with them."""
    lookup, slots = tables
    at = 0
    while True:
        (entry,) = unpack(image, "Q", lookup + at, codes.IMPORT_UNTERMINATED, f"name table of {library}")
        if not entry:
            break
        slot = slots + at
        if slot % 4 or image.section_at(slot) is None:
            raise HpbuildError(codes.IMPORT_MALFORMED, image.name, f"slot at RVA {slot:#x} for {library}")
        if not found.seen.isdisjoint((slot - 4, slot, slot + 4)):
            raise HpbuildError(codes.IMPORT_SLOT_SHARED, image.name, f"slot at RVA {slot:#x} for {library}")
        if len(found.seen) == MAX_IMPORTS:
            raise HpbuildError(codes.IMPORT_COUNT, image.name, f"{len(found.seen)} imports and more")
        found.seen.add(slot)
        found.imports.append(_entry(image, found, entry, Rva(slot), library, delay))
        at += 8
    return at


def _entry(image: Image, found: _Found, entry: int, slot: Rva, library: str, delay: bool) -> Import:
    if entry & _BY_ORDINAL:
        if entry & ~(_BY_ORDINAL | 0xFFFF):
            raise HpbuildError(codes.IMPORT_MALFORMED, image.name, f"{library}: entry {entry:#x}")
        return Import(slot, library, "", entry & 0xFFFF, delay)
    raw = found.names.raw(entry + 2, f"import name of {library}")
    # Hint, name, NUL, and the pad byte that keeps the next hint even.
    end = entry + 2 + len(raw) + 1
    end = min(end + end % 2, image.size_of_image)
    found.extents.append(Interval(entry, end))
    return Import(slot, library, found.names.text(raw), None, delay)
