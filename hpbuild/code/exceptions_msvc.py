"""Language-specific data of MSVC's C++ handlers.

Source: the structures of Microsoft's public ehdata.h and ehdata4_export.h (FuncInfo and its tables, version
magic numbers; the compressed FH4 tables).
"""

import struct
from collections.abc import Iterable

from hpbuild.code.model import FieldForm
from hpbuild.dataclass import dataclass
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


_RVA = FieldForm.ADDR32NB
FUNC_INFO_MAGIC = (0x19930520, 0x19930521, 0x19930522)
_MAX_ROWS = 1 << 16
_FUNC_INFO, _UNWIND, _TRY, _HANDLER, _STATE = 40, 8, 20, 20, 8
"""Sizes of FuncInfo, UnwindMapEntry, TryBlockMapEntry, HandlerType, IPtoStateMapEntry in bytes."""


def func_info(image: Image, place: int) -> Language | None:
    """FuncInfo by RVA at ``place`` and all its tables; None when the value there leads to no FuncInfo."""
    start = image.u32(place)
    if (
        start % 4
        or start + _FUNC_INFO > image.size_of_image
        or image.u32(start) & 0x1FFFFFFF not in FUNC_INFO_MAGIC
    ):
        return None
    states, unwind, tries, blocks, points, map_ = struct.unpack("<6I", image.read(start + 4, 24))
    if max(states, tries, points) > _MAX_ROWS:
        return None
    fields = [(place, start, FieldForm.ADDR32NB, 0)]
    fields += _column(image, start + 8, 4, 8)
    actions = _column(image, unwind + 4, states, _UNWIND)
    funclets = [site for site, *_ in actions]
    for block in range(blocks, blocks + _TRY * tries, _TRY):
        fields += _present(image, (block + 16,))
        handlers, count = image.u32(block + 16), image.u32(block + 12)
        if count + len(funclets) > _MAX_ROWS:  # all together: blocks may share their handlers
            return None
        for row in range(handlers, handlers + _HANDLER * count, _HANDLER):
            fields += _present(image, (row + 4,))
            funclets.append(row + 12)
    fields += _column(image, map_, points, _STATE) + actions
    return Language(4, tuple(fields + _present(image, funclets[len(actions) :])), tuple(funclets))


def _column(image: Image, first: int, rows: int, size: int) -> list[Field]:
    """``_present`` of one word in each of ``rows`` rows of ``size`` bytes."""
    if not rows:
        return []
    octets = image.read(first, size * (rows - 1) + 4)
    values = struct.unpack(f"<{len(octets) // 4}I", octets)[:: size // 4]
    sites = range(first, first + size * rows, size)
    return [(site, target, _RVA, 0) for site, target in zip(sites, values, strict=True) if target]


_EXTRA = tuple(next((size for size in range(4) if not low >> size & 1), 4) for low in range(16))
"""How many bytes of a compressed number follow the first, by the low bits of that."""


class _Reader:
    """Reads the compressed numbers of the FH4 tables: the low bits of the first byte say how many follow."""

    __slots__ = ("_octets", "at")

    def __init__(self, image: Image, at: int) -> None:
        self._octets = image.memory.data
        self.at = at

    def byte(self) -> int:
        """The next byte; IndexError behind the image, as everywhere here."""
        self.at += 1
        return self._octets[self.at - 1]

    def number(self) -> int:
        """One unsigned number: ...0 1 byte, ..01 2, .011 3, 0111 4, 1111 5 bytes."""
        at = self.at
        first = self._octets[at]
        extra = _EXTRA[first & 15]
        self.at = at + extra + 1
        if not extra:
            return first >> 1
        if self.at > len(self._octets):
            raise IndexError(f"the number at {at:#x} leaves the image")
        raw = int.from_bytes(self._octets[at : self.at], "little")
        return raw >> 8 if extra == 4 else raw >> (extra + 1)

    def address(self) -> int:
        """Site of a 4-byte RVA, passed over."""
        self.at += 4
        return self.at - 4


_BBT, _UNWIND_MAP, _TRY_MAP, _SEPARATED, _IS_CATCH, _RESERVED = 4, 8, 16, 2, 1, 0x80
_ADJECTIVES, _TYPE, _OBJECT, _CONTINUE_RVA = 1, 2, 4, 8
_MAX_CONTINUATIONS = 2
"""Bits 4 and 5 of a handler's header count its continuations; 3, and the bits above, mean nothing."""


def func_info4(image: Image, place: int) -> Language | None:
    """FuncInfo4 (the compressed tables of __CxxFrameHandler4) by RVA at ``place``; None when the value there
    leads to none: every handler must lie in code, every other address in a section, every number of rows must
    be sane."""
    start = image.u32(place)
    section = image.section_at(start)
    if section is None or section.executable or section.writable:
        return None
    cursor = _Reader(image, start)
    header = cursor.byte()
    if header & _RESERVED:
        return None
    if header & _BBT:
        cursor.number()
    addresses = [place]
    calls: list[int] = []
    funclets: list[int] = []
    unwind = cursor.address() if header & _UNWIND_MAP else 0
    tries = cursor.address() if header & _TRY_MAP else 0
    points = cursor.address()
    addresses += [site for site in (unwind, tries, points) if site]
    fine = _unwind_map4(image, unwind, calls, funclets) and _try_map4(image, tries, addresses, funclets)
    if fine and header & _SEPARATED:
        fine = _separated4(image, image.u32(points), addresses)
    if not fine:
        return None
    code: list[Field] = []
    for site in (*calls, *funclets):
        target = image.u32(site)
        if not _code(image, target):
            return None
        code.append((site, target, _RVA, 0))
    fields = _present(image, addresses)
    if any(image.section_at(target) is None for _, target, _, _ in fields):
        return None
    return Language(4, (*fields, *code), tuple(funclets))


def _code(image: Image, rva: int) -> bool:
    section = image.section_at(rva)
    return section is not None and section.executable


def _unwind_map4(image: Image, site: int, calls: list[int], funclets: list[int]) -> bool:
    """Rows: distance and kind (0 none, 1 and 2 a destructor with its object, 3 a funclet)."""
    if not site:
        return True
    cursor = _Reader(image, image.u32(site))
    count = cursor.number()
    if count > _MAX_ROWS:
        return False
    for _ in range(count):
        kind = cursor.number() & 3
        if kind:
            (funclets if kind == 3 else calls).append(cursor.address())
        if kind in (1, 2):
            cursor.number()
    return True


def _try_map4(image: Image, site: int, addresses: list[int], funclets: list[int]) -> bool:
    if not site:
        return True
    cursor = _Reader(image, image.u32(site))
    count = cursor.number()
    if count > _MAX_ROWS:
        return False
    for _ in range(count):
        for _ in range(3):
            cursor.number()
        handlers = cursor.address()
        addresses.append(handlers)
        if not _handlers4(image, image.u32(handlers), addresses, funclets):
            return False
    return True


def _handlers4(image: Image, rva: int, addresses: list[int], funclets: list[int]) -> bool:
    cursor = _Reader(image, rva)
    count = cursor.number()
    if count + len(funclets) > _MAX_ROWS:  # all together: blocks may share their handlers
        return False
    for _ in range(count):
        header = cursor.byte()
        continuations = header >> 4
        if continuations > _MAX_CONTINUATIONS:
            return False
        if header & _ADJECTIVES:
            cursor.number()
        if header & _TYPE:
            addresses.append(cursor.address())
        if header & _OBJECT:
            cursor.number()
        funclets.append(cursor.address())
        for _ in range(continuations):
            if header & _CONTINUE_RVA:
                addresses.append(cursor.address())
            else:
                cursor.number()
    return True


def _separated4(image: Image, rva: int, addresses: list[int]) -> bool:
    """Maps of functions in several pieces: rows of the piece's start and its map."""
    cursor = _Reader(image, rva)
    count = cursor.number()
    if count > _MAX_ROWS:
        return False
    for _ in range(count):
        addresses += [cursor.address(), cursor.address()]
    return True


def _present(image: Image, sites: Iterable[int]) -> list[Field]:
    """ADDR32NB fields of the sites that hold an address (0 means none)."""
    return [(site, target, _RVA, 0) for site in sites if (target := image.u32(site))]
