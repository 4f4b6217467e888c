"""Instructions that Windows may rewrite as it maps an image: the dynamic value relocation table.

Source: winnt.h of the public Windows SDK, ``IMAGE_DYNAMIC_RELOCATION64``, ``IMAGE_FUNCTION_OVERRIDE_HEADER``,
``IMAGE_FUNCTION_OVERRIDE_DYNAMIC_RELOCATION`` and the ``IMAGE_DYNAMIC_RELOCATION_*`` constants.
"""

import struct
from collections.abc import Iterator
from typing import Final

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.image import Image
from hpbuild.pe.load_config import load_config

IMPORT_CONTROL_TRANSFER: Final = 3
INDIRECT_CONTROL_TRANSFER: Final = 4
SWITCH_TABLE_BRANCH: Final = 5
FUNCTION_OVERRIDE: Final = 7
MAX_TABLE: Final = 2 << 20
"""Bytes of a table that is read; tables of ordinary programs have some hundreds."""
_ENTRY_SIZES: Final = {IMPORT_CONTROL_TRANSFER: 4, INDIRECT_CONTROL_TRANSFER: 2, SWITCH_TABLE_BRANCH: 2}
_HEAD: Final = struct.Struct("<II")
_ENTRY: Final = struct.Struct("<QI")
_OVERRIDE: Final = struct.Struct("<IIII")


def rewritten_sites(image: Image) -> list[int] | None:
    """RVAs of the instructions, or fields of instructions, that the table names, ascending; empty without a
    table, None when it holds kinds that are not known here, or more than MAX_TABLE bytes.

    Raises HpbuildError HP1302 for a torn table, HP1301 to HP1303 as ``load_config``.
    """
    config = load_config(image)
    if config is None or config.dynamic_relocations is None:
        return []
    extent = config.dynamic_relocations
    if len(extent) > MAX_TABLE:
        return None
    table = image.read(extent.start, len(extent))
    version, size = _HEAD.unpack_from(table)
    if version != 1:
        return None
    sites: list[int] = []
    at, end = _HEAD.size, _HEAD.size + size
    while at < end:
        symbol, length = _unpack(image, _ENTRY, table, at, end)
        at += _ENTRY.size
        if length > end - at:
            raise _torn(image, at)
        if symbol == FUNCTION_OVERRIDE:
            sites += _overrides(image, table, at, at + length)
        elif symbol in _ENTRY_SIZES:
            sites += _blocks(image, table, at, at + length, _ENTRY_SIZES[symbol])
        else:
            return None
        at += length
    return sorted(sites)


def _overrides(image: Image, table: bytes, at: int, end: int) -> Iterator[int]:
    """Sites of the function overrides in ``table[at:end]``; what says when they apply follows them."""
    (size,) = struct.unpack("<I", table[at : at + 4]) if end - at >= 4 else (end,)
    at += 4
    if size > end - at:
        raise _torn(image, at)
    end = at + size
    while at < end:
        _, _, rvas, length = _unpack(image, _OVERRIDE, table, at, end)
        at += _OVERRIDE.size + rvas
        if length > end - at:
            raise _torn(image, at)
        yield from _blocks(image, table, at, at + length, 2)
        at += length


def _blocks(image: Image, table: bytes, at: int, end: int, entry_size: int) -> Iterator[int]:
    """Blocks as in base relocation tables; the low 12 bits of each entry are the offset in the page."""
    while at < end:
        page, size = _unpack(image, _HEAD, table, at, end)
        if size < _HEAD.size or size > end - at:
            raise _torn(image, at)
        entries = table[at + _HEAD.size : at + size]
        for offset in range(0, len(entries) - entry_size + 1, entry_size):
            value = int.from_bytes(entries[offset : offset + entry_size], "little")
            if value:  # 0 pads a block
                yield page + (value & 0xFFF)
        at += size


def _unpack(image: Image, layout: struct.Struct, table: bytes, at: int, end: int) -> tuple[int, ...]:
    if layout.size > end - at:
        raise _torn(image, at)
    return layout.unpack_from(table, at)


def _torn(image: Image, at: int) -> HpbuildError:
    cause = f"the dynamic relocation table is torn at offset {at:#x}"
    return HpbuildError(codes.LOAD_CONFIG_ADDRESS, image.name, cause)
