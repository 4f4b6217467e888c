"""MSVC's run-time type information and throw descriptions: image-relative addresses without relocations.

Source: the structures of Microsoft's public rttidata.h and ehdata.h (x64 forms).
"""

from collections.abc import Iterator

import numpy as np

from hpbuild.code.columns import distinct, members
from hpbuild.code.model import I64
from hpbuild.code.sections import Mask, in_code_sections, in_constants
from hpbuild.pe.access import values_at
from hpbuild.pe.image import Image

_SELF, _TYPE, _HIERARCHY = 20, 12, 16
"""Offsets in CompleteObjectLocator (24 bytes)."""
_HAS_HIERARCHY = 0x40
_MAX_BASES = 4096
_PIECE = 1 << 16
"""Words that are looked through at once: they stay in the processor's cache."""
_MAX_CATCHABLE = 256
_THROW = 16
_ATTRIBUTES = 0x17
"""What is thrown may be const, volatile, unaligned, or of the Windows Runtime."""


def locator_sites(image: Image) -> Iterator[tuple[int, int]]:
    """(site, target) of every RVA in CompleteObjectLocators and what they lead to. A locator is known by its
    signature 1 and by the RVA of itself in its last word."""
    seen: set[int] = set()
    for section in image.sections:
        if section.executable or section.writable or section.raw_size < 24:
            continue
        start = int(section.rva)
        words = image.memory[start : start + section.raw_size // 4 * 4].view("<u4")
        offsets = np.arange(0, 4 * _PIECE, 4, dtype=np.uint32)
        for at in range(0, len(words) - 5, _PIECE):
            piece = words[at + 5 : at + 5 + _PIECE]
            itself = piece - offsets[: len(piece)] == start + 4 * at
            for index in np.flatnonzero(itself).tolist():
                if words[at + index] == 1:
                    yield from _locator(image, start + 4 * (at + index), seen)


def _locator(image: Image, rva: int, seen: set[int]) -> Iterator[tuple[int, int]]:
    for offset in (_TYPE, _HIERARCHY, _SELF):
        yield rva + offset, image.u32(rva + offset)
    yield from _hierarchy(image, image.u32(rva + _HIERARCHY), seen)


def _hierarchy(image: Image, rva: int, seen: set[int]) -> Iterator[tuple[int, int]]:
    """ClassHierarchyDescriptor: signature, attributes, count, array of BaseClassDescriptor RVAs."""
    pending = [rva]
    while pending:
        at = pending.pop()
        if at in seen or not _readable(image, at, 16):
            continue
        seen.add(at)
        count, array = image.u32(at + 8), image.u32(at + 12)
        if count > _MAX_BASES or not _readable(image, array, 4 * count):
            continue
        yield at + 12, array
        for site in range(array, array + 4 * count, 4):
            if site in seen:  # classes do not share rows; damaged ones must not multiply them
                break
            seen.add(site)
            base = image.u32(site)
            yield site, base
            if base in seen or not _readable(image, base, 28):
                continue
            seen.add(base)
            yield base, image.u32(base)
            if image.u32(base + 20) & _HAS_HIERARCHY:
                yield base + 24, image.u32(base + 24)
                pending.append(image.u32(base + 24))


def throw_sites(image: Image, candidates: I64) -> Iterator[tuple[int, int]]:
    """(site, target) of every RVA in ThrowInfos among ``candidates`` (addresses that code takes): attributes,
    destructor, 0, array of catchable types; each of those leads to a type descriptor."""
    rvas = candidates[candidates % 4 == 0]
    rvas = rvas[in_constants(image, rvas, _THROW)]
    rvas = rvas[(values_at(image, rvas) & ~np.uint32(_ATTRIBUTES) == 0) & (values_at(image, rvas + 8) == 0)]
    for rva in distinct(rvas[_lead_on(image, rvas)]).tolist():
        yield from _throw(image, rva)


def _lead_on(image: Image, rvas: I64) -> Mask:
    """Which ThrowInfos in the image may have a destructor or none, and an array of catchable types."""
    destructor = values_at(image, rvas + 4).astype(np.int64)
    array = values_at(image, rvas + 12).astype(np.int64)
    found: Mask = (array % 4 == 0) & in_constants(image, array, 4)
    found &= (destructor == 0) | in_code_sections(image, destructor)
    count = values_at(image, array[found])
    found[found] = (count >= 1) & (count <= _MAX_CATCHABLE)
    return found


def _throw(image: Image, rva: int) -> Iterator[tuple[int, int]]:
    if rva % 4 or not _readable(image, rva, _THROW) or image.u32(rva) & ~_ATTRIBUTES or image.u32(rva + 8):
        return
    array = image.u32(rva + 12)
    if not _code_or_none(image, image.u32(rva + 4)):
        return
    rows = list(_catchable(image, array))
    if rows:
        yield rva + 12, array
        if image.u32(rva + 4):
            yield rva + 4, image.u32(rva + 4)
        yield from rows


def throws_within(image: Image, start: int, end: int) -> Iterator[int]:
    """RVAs of the ThrowInfos in ``[start, end)``, a run of the image."""
    first = (start + 3) & ~3
    words = image.memory[first : first + max(0, end - first) // 4 * 4].view("<u4")
    found = [np.zeros(0, dtype=np.int64)]
    for at in range(0, len(words) - 3, _PIECE):
        piece = words[at : at + _PIECE + 3]
        alike = (piece[:-3] & ~np.uint32(_ATTRIBUTES) == 0) & (piece[2:-1] == 0) & (piece[3:] != 0)
        rows = np.flatnonzero(alike)
        array = piece[rows + 3]
        found.append(rows[(array & 3 == 0) & (array < image.size_of_image)] * 4 + (first + 4 * at))
    places = np.concatenate(found)
    for rva in places[_lead_on(image, places)].tolist():
        if any(_throw(image, rva)):
            yield rva


def throws_in_runs(image: Image, starts: I64, ends: I64) -> Iterator[tuple[int, int]]:
    """(number of the run, RVA) of the ThrowInfos in each run of the image from one of ``starts`` to one of
    ``ends``: what ``throws_within`` says of each."""
    firsts = (starts + 3) & ~3
    counts = np.maximum((ends - firsts) // 4 - 3, 0)
    small = np.flatnonzero((counts > 0) & (counts <= _PIECE))
    batch = np.cumsum(counts[small]) // _PIECE
    for rows in np.split(small, np.flatnonzero(np.diff(batch)) + 1):
        run = np.repeat(rows, counts[rows])
        places = members(np.zeros(len(rows), dtype=np.int64), counts[rows]) * 4 + firsts[run]
        likely = np.flatnonzero(values_at(image, places) & ~np.uint32(_ATTRIBUTES) == 0)
        run, places = run[likely], places[likely]
        alike = np.flatnonzero((values_at(image, places + 8) == 0) & (values_at(image, places + 12) != 0))
        alike = alike[_lead_on(image, places[alike])]
        for number, rva in zip(run[alike].tolist(), places[alike].tolist(), strict=True):
            if any(_throw(image, rva)):
                yield number, rva
    for number in np.flatnonzero(counts > _PIECE).tolist():
        for rva in throws_within(image, int(starts[number]), int(ends[number])):
            yield number, rva


def old_locators(image: Image, rvas: I64) -> Mask:
    """At which of the addresses ``old_locator`` finds one."""
    found: Mask = (rvas % 4 == 0) & in_constants(image, rvas, _HIERARCHY + 4)
    found[found] = values_at(image, rvas[found]) == 0
    rows = np.flatnonzero(found)
    found[rows] = [old_locator(image, rva) for rva in rvas[rows].tolist()]
    return found


def thrown_functions(image: Image) -> set[int]:
    """Starts of the functions that ThrowInfos name: destructors and copy constructors. Often nothing else
    names them, and those of simple types have no unwind data."""
    found: set[int] = set()
    for section in image.sections:
        if section.executable or section.writable:
            continue
        for rva in throws_within(image, section.rva, section.rva + section.raw_size):
            found.update(target for _, target in _throw(image, rva) if _code(image, target))
    return found


def _code(image: Image, rva: int) -> bool:
    section = image.section_at(rva)
    return section is not None and section.executable


def old_locator(image: Image, rva: int) -> bool:
    """Whether the CompleteObjectLocator at ``rva`` has signature 0: it does not say where it lies itself, so
    the runtime looks for the module that it is in. Its type and its hierarchy tell it from other words."""
    if rva % 4 or not _readable(image, rva, _HIERARCHY + 4) or image.u32(rva):
        return False
    hierarchy = image.u32(rva + _HIERARCHY)
    if not _type_descriptor(image, image.u32(rva + _TYPE)) or not _readable(image, hierarchy, 16):
        return False
    count, array = image.u32(hierarchy + 8), image.u32(hierarchy + 12)
    return 1 <= count <= _MAX_BASES and _readable(image, array, 4 * count)


def _catchable(image: Image, array: int) -> Iterator[tuple[int, int]]:
    if array % 4 or not _readable(image, array, 4):
        return
    count = image.u32(array)
    if not 1 <= count <= _MAX_CATCHABLE or not _readable(image, array, 4 + 4 * count):
        return
    rows: list[tuple[int, int]] = []
    for site in range(array + 4, array + 4 + 4 * count, 4):
        entry = image.u32(site)
        if entry % 4 or not _readable(image, entry, 28) or not _type_descriptor(image, image.u32(entry + 4)):
            return
        if not _code_or_none(image, image.u32(entry + 24)):
            return
        rows += [(site, entry), (entry + 4, image.u32(entry + 4))]
        if image.u32(entry + 24):
            rows.append((entry + 24, image.u32(entry + 24)))
    yield from rows


def _type_descriptor(image: Image, rva: int) -> bool:
    """A TypeDescriptor: virtual table pointer, spare pointer, decorated name that begins with a dot."""
    return rva > 0 and rva + 18 <= image.size_of_image and image.read(rva + 16, 1) == b"."


def _code_or_none(image: Image, rva: int) -> bool:
    """What a destructor or a copy constructor may be: 0 or an address of code."""
    return not rva or _code(image, rva)


def _readable(image: Image, rva: int, size: int) -> bool:
    section = image.section_at(rva)
    return (
        section is not None
        and not section.executable
        and not section.writable
        and rva + size <= section.rva + section.virtual_size
        and rva + size <= image.size_of_image
    )
