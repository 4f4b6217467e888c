"""MSVC's run-time type information and throw descriptions: image-relative addresses without relocations.

Source: the structures of Microsoft's public rttidata.h and ehdata.h (x64 forms).
"""

from collections.abc import Iterator

import numpy as np

from hpbuild.code.model import I64
from hpbuild.pe.image import Image

_SELF, _TYPE, _HIERARCHY = 20, 12, 16
"""Offsets in CompleteObjectLocator (24 bytes)."""
_HAS_HIERARCHY = 0x40
_MAX_BASES = 4096
_MAX_CATCHABLE = 256


def locator_sites(image: Image) -> Iterator[tuple[int, int]]:
    """(site, target) of every RVA in CompleteObjectLocators and what they lead to. A locator is known by its
    signature 1 and by the RVA of itself in its last word."""
    seen: set[int] = set()
    for section in image.sections:
        if section.executable or section.writable or section.raw_size < 24:
            continue
        start = int(section.rva)
        words = image.memory[start : start + section.raw_size // 4 * 4].view("<u4")
        places = np.arange(len(words), dtype=np.int64) * 4 + start
        found = np.flatnonzero(words == places - _SELF)
        for index in found[found >= 5].tolist():
            if words[index - 5] == 1:
                yield from _locator(image, int(places[index]) - _SELF, seen)


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
    for rva in candidates.tolist():
        if rva % 4 or not _readable(image, rva, 16) or image.u32(rva) > 7 or image.u32(rva + 8):
            continue
        array = image.u32(rva + 12)
        if not _code_or_none(image, image.u32(rva + 4)):
            continue
        rows = list(_catchable(image, array))
        if rows:
            yield rva + 12, array
            if image.u32(rva + 4):
                yield rva + 4, image.u32(rva + 4)
            yield from rows


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
    section = image.section_at(rva)
    return not rva or (section is not None and section.executable)


def _readable(image: Image, rva: int, size: int) -> bool:
    section = image.section_at(rva)
    return (
        section is not None
        and not section.executable
        and not section.writable
        and rva + size <= section.rva + section.virtual_size
        and rva + size <= image.size_of_image
    )
