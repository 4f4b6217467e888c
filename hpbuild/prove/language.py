"""Language-specific data that the patch image carries behind its unwind records: where it is, how long.

Sources: Microsoft Learn, "x64 exception handling" (scope table of __C_specific_handler); the exception tables
of the Itanium C++ ABI as gcc and clang write them (LSDA header, call-site table, type table); ehdata.h of
Visual C++ (magic numbers of FuncInfo).
"""

import numpy as np

from hpbuild.prove.records import Flags
from hpbuild.prove.references import Numbers
from hpbuild.prove.space import Space

_MAX_SCOPES = 4096
_MAX_TABLE = 1 << 20
_LOWEST_CODE = 0x1000
_LARGEST_SCOPE = 1 << 24
_OMIT = 0xFF
_TRAILER = 12
"""Most bytes of stack-cookie data: offset with flags, and for aligned frames two numbers more."""
_ALIGNED_FRAME = 4
_MAGIC = (0x19930520, 0x19930521, 0x19930522)
_MAGIC_BITS = 0x1FFFFFFF
_BLOCKS4, _UNWIND4, _TRIES4, _RESERVED4 = 0x04, 0x08, 0x10, 0x80
"""Bits of a FuncInfo4 header (ehdata4_export.h of Visual C++)."""


def language_size(space: Space, data: int, following: int = 0, number: bool = False) -> int:
    """Bytes of the language data at ``data``: a scope table, the RVA of a FuncInfo, the place of a stack
    cookie, or an LSDA; 0 for any other form. ``following`` is the next unwind record's RVA or 0: a few bytes
    up to it are the place of the stack cookie, whose handler wraps the other one. With ``number`` the handler
    is known to take the place of a cookie and nothing else."""
    size = len(cookie_words(space, data)) if number else _own_size(space, data)
    gap = following - data - size
    return size + gap if 0 < gap <= _TRAILER else size


def _own_size(space: Space, data: int) -> int:
    scopes = scope_words(space, data)
    if scopes:
        return 4 + 4 * len(scopes)
    if names_function_info(space, data) or _names_compressed_info(space, data):
        return 4
    place = words(space, data, 1)
    if place and place[0] < _LOWEST_CODE:
        return len(cookie_words(space, data))
    return _lsda_size(space, data)


def cookie_words(space: Space, data: int) -> bytes:
    """The data of __GSHandlerCheck: offset and flags, and two more numbers when the frame is aligned."""
    place = words(space, data, 1)
    return space.slice(data, 12 if place and place[0] & _ALIGNED_FRAME else 4).tobytes()


def scope_words(space: Space, data: int) -> list[int]:
    """Begin, end, filter and target of every scope; empty when the data is no scope table."""
    count = int.from_bytes(space.slice(data, 4).tobytes(), "little")
    if not 0 < count <= _MAX_SCOPES:
        return []
    values = words(space, data + 4, 4 * count)
    scopes = [values[at : at + 4] for at in range(0, len(values), 4)]
    plausible = len(values) == 4 * count and all(
        _LOWEST_CODE <= begin < end < space.end
        and end - begin < _LARGEST_SCOPE
        and handler < space.end
        and target < space.end
        for begin, end, handler, target in scopes
    )
    return values if plausible else []


def may_hold_scopes(space: Space, data: Numbers) -> Flags:
    """By address: could ``scope_words`` find a scope table there? False only when it finds none, which its
    count and its first scope show."""
    count, begin, end, handler, target = (space.unsigned(data + at, 4) for at in (0, 4, 8, 12, 16))
    inside = (begin >= _LOWEST_CODE) & (begin < end) & (end < space.end) & (end - begin < _LARGEST_SCOPE)
    named = (handler >= 0) & (handler < space.end) & (target >= 0) & (target < space.end)
    result: Flags = (count > 0) & (count <= _MAX_SCOPES) & inside & named
    return result


def names_function_info(space: Space, data: int) -> bool:
    """Is the language data the RVA of a FuncInfo, as __CxxFrameHandler3 wants it?"""
    place = words(space, data, 1)
    magic = words(space, place[0], 1) if place and place[0] >= _LOWEST_CODE else []
    return bool(magic) and magic[0] & _MAGIC_BITS in _MAGIC


def name_function_infos(space: Space, data: Numbers) -> Flags:
    """``names_function_info``, by address."""
    place = space.unsigned(data, 4)
    magic = space.unsigned(place, 4)
    result: Flags = (place >= _LOWEST_CODE) & (magic >= 0) & np.isin(magic & _MAGIC_BITS, _MAGIC)
    return result


def _names_compressed_info(space: Space, data: int) -> bool:
    """Is the language data the RVA of a FuncInfo4, as __CxxFrameHandler4 wants it? A header byte, for blocks
    a number of 1 to 5 bytes, then the addresses that the header announces."""
    place = words(space, data, 1)
    raw = space.slice(place[0], 24).tobytes() if place and place[0] >= _LOWEST_CODE else b""
    if not raw or raw[0] & _RESERVED4:
        return False
    at = 1
    if raw[0] & _BLOCKS4 and len(raw) > 1:
        at += next((size for size, mask in enumerate((1, 2, 4, 8), 1) if not raw[1] & mask), 5)
    count = 1 + bool(raw[0] & _UNWIND4) + bool(raw[0] & _TRIES4)
    addresses = words(space, place[0] + at, count)
    inside = [_LOWEST_CODE <= address < space.end for address in addresses]
    return len(inside) == count and all(inside)


def words(space: Space, rva: int, count: int) -> list[int]:
    """At most ``count`` little-endian 32-bit values from ``rva`` on; fewer where the space ends."""
    raw = space.slice(rva, 4 * count) if rva >= space.start else space.memory[:0]
    found: list[int] = raw[: len(raw) // 4 * 4].view("<u4").tolist()
    return found


def _lsda_size(space: Space, data: int) -> int:
    """Up to the end of the type table, or without one of the call-site table; 0 when it is no LSDA."""
    raw = space.slice(data, _MAX_TABLE).tobytes()
    if len(raw) < 4 or raw[0] != _OMIT:
        return 0
    at, end = 2, 0
    if raw[1] != _OMIT:
        distance, at = _uleb(raw, at)
        end = at + distance
    size, at = _uleb(raw, at + 1)
    end = max(end, at + size)
    return end if end <= len(raw) else 0


def _uleb(raw: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number (DWARF, "Variable Length Data") and the offset behind it; a number that is
    too long or leaves the data is too large for any table."""
    value = 0
    for index, byte in enumerate(raw[at : at + 5]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    return _MAX_TABLE + 1, at
