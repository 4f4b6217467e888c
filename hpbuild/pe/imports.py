"""Imports: the import directory (bound or not) and delay-load descriptors.

Source: PE specification, sections "The .idata Section" and "Delay-Load Import Tables".
"""

from dataclasses import dataclass, field

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import (
    DELAY_IMPORT,
    IMPORT,
    Names,
    merged_intervals,
    unpack,
)
from hpbuild.pe.image import Image
from hpbuild.values import Interval, Rva

MAX_IMPORTS = 1 << 16
"""QtOpenGL.pyd, the richest image known here, has 13,592, from 33 libraries at most."""
MAX_LIBRARIES = 1 << 12
_BY_ORDINAL = 1 << 63
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
    """What one walk collects; extents: descriptors, name tables and strings, apart from slots."""

    names: Names
    seen: set[int]
    imports: list[Import] = field(default_factory=list)
    extents: list[Interval] = field(default_factory=list)
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
        tables=merged_intervals(found.extents),
        slots=merged_intervals(found.slots),
        delay=merged_intervals(delayed.extents + delayed.slots),
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
    found.tables.append(SlotTable(Interval(slots, slots + at), Interval(lookup, lookup + at), delay))
    found.slots.append(Interval(slots, min(slots + at + 8, image.size_of_image)))
    if lookup != slots:
        found.extents.append(Interval(lookup, lookup + at + 8))


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
