"""Language-specific data of MSVC's C++ handlers and of its stack-cookie handler.

Source: the structures of Microsoft's public ehdata.h (FuncInfo and its tables, version magic numbers).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hpbuild.code.model import FieldForm
from hpbuild.pe.image import Image

Field = tuple[int, int, FieldForm, int]
"""(site, target, form, origin) as in DataFields."""


@dataclass(frozen=True, slots=True)
class Language:
    """Language-specific data of one record: its bytes behind the handler address, every field it leads to
    (also in tables elsewhere), and the sites of those that name handlers and filters."""

    size: int
    fields: tuple[Field, ...]
    funclets: tuple[int, ...]


_MAGIC = (0x19930520, 0x19930521, 0x19930522)
_MAX_ROWS = 1 << 16
_FUNC_INFO, _UNWIND, _TRY, _HANDLER, _STATE = 40, 8, 20, 20, 8
"""Sizes of FuncInfo, UnwindMapEntry, TryBlockMapEntry, HandlerType, IPtoStateMapEntry in bytes."""


def func_info(image: Image, place: int) -> Language | None:
    """FuncInfo by RVA at ``place`` and all its tables; None when the value there leads to no FuncInfo."""
    start = image.u32(place)
    if start % 4 or start + _FUNC_INFO > image.size_of_image or image.u32(start) & 0x1FFFFFFF not in _MAGIC:
        return None
    states, unwind, tries, blocks, points, map_ = (image.u32(start + at) for at in range(4, 28, 4))
    if max(states, tries, points) > _MAX_ROWS:
        return None
    fields = [(place, start, FieldForm.ADDR32NB, 0)]
    fields += _present(image, (start + 8, start + 16, start + 24, start + 32))
    funclets = [site for row in range(states) if image.u32(site := unwind + _UNWIND * row + 4)]
    for block in range(blocks, blocks + _TRY * tries, _TRY):
        fields += _present(image, (block + 16,))
        handlers, count = image.u32(block + 16), image.u32(block + 12)
        if count > _MAX_ROWS:
            return None
        for row in range(handlers, handlers + _HANDLER * count, _HANDLER):
            fields += _present(image, (row + 4,))
            funclets.append(row + 12)
    fields += _present(image, (map_ + _STATE * row for row in range(points)))
    return Language(4, tuple(fields + _present(image, funclets)), tuple(funclets))


def _present(image: Image, sites: Iterable[int]) -> list[Field]:
    """ADDR32NB fields of the sites that hold an address (0 means none)."""
    return [(site, image.u32(site), FieldForm.ADDR32NB, 0) for site in sites if image.u32(site)]


def stack_cookie(image: Image, place: int) -> Language | None:
    """Data of the stack-cookie handler alone: offset and flags, and two more numbers when bit 2 is set. No
    address in it; offsets are taken to be below one page so that they cannot be mistaken for one."""
    value = image.u32(place)
    if value >= image.size_of_headers:
        return None
    return Language(12 if value & 4 else 4, (), ())
