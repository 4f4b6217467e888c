"""Read the tables of a patch image: exception directory, base relocations, load configuration.

Each is accepted only as the linker writes it, so that equal tables are equal bytes.
"""

import struct
from collections.abc import Iterator
from typing import Final

from hpbuild.codes import patchimage as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.patchimage import format as shape
from hpbuild.pe import hotpatch_format as native
from hpbuild.pe.hotpatch_table import HotPatchTable, read_hotpatch_table
from hpbuild.pe.image import Image
from hpbuild.values import Interval, Rva

_ROW: Final = struct.Struct("<III")
_BLOCK: Final = struct.Struct("<II")
_DIR64: Final = 10
_POINTER: Final = 8


@dataclass(frozen=True, slots=True)
class RuntimeRow:
    """One RUNTIME_FUNCTION: code ``[begin, end)`` and its UNWIND_INFO, RVAs. ``site`` is the row's own."""

    begin: Rva
    end: Rva
    unwind: Rva
    site: Rva


def runtime_rows(image: Image) -> tuple[RuntimeRow, ...]:
    """The exception directory (PE specification, section "The .pdata Section"). HP3607 unless its rows
    ascend without overlap inside the code and name records in the patch image or below it."""
    sections = {section.name: section.range for section in image.sections}
    extent = sections.get(shape.PDATA)
    if extent is None:
        return ()
    if len(extent) % _ROW.size:
        cause = f"{len(extent)} bytes are not whole entries"
        raise HpbuildError(codes.PATCH_UNWIND, image.name, cause)
    code = sections.get(shape.TEXT, Interval(0, 0))
    records = (sections.get(shape.XDATA), sections.get(shape.RDATA), Interval(0, image.sections[0].rva))
    rows = []
    cursor = code.start
    for index, (begin, end, unwind) in enumerate(_ROW.iter_unpack(image.read(extent.start, len(extent)))):
        place = f"{image.name}, RUNTIME_FUNCTION {index}"
        if not cursor <= begin < end <= code.end:
            cause = f"[{begin:#x}, {end:#x}) is not behind {cursor:#x} in the code"
            raise HpbuildError(codes.PATCH_UNWIND, place, cause)
        if unwind % 4 or not any(record and unwind in record for record in records):
            raise HpbuildError(codes.PATCH_UNWIND, place, f"there is no unwind information at {unwind:#x}")
        rows.append(RuntimeRow(Rva(begin), Rva(end), Rva(unwind), Rva(extent.start + index * _ROW.size)))
        cursor = end
    return tuple(rows)


def relocation_sites(image: Image) -> tuple[Rva, ...]:
    """Sites of 64-bit absolute addresses, ascending (PE specification, section "The .reloc Section").
    HP3608 unless blocks and entries ascend, are DIR64, and lie apart in sections that carry bytes."""
    extent = next((each.range for each in image.sections if each.name == shape.RELOC), None)
    if extent is None:
        return ()
    carriers = [
        section.range
        for section in image.sections
        if section.name in (shape.TEXT, shape.RDATA, shape.XDATA, shape.DATA)
    ]
    sites: list[Rva] = []
    cursor = 0
    for site in _dir64_sites(image, image.read(extent.start, len(extent))):
        if site < cursor or not any(c.covers(Interval(site, site + _POINTER)) for c in carriers):
            raise HpbuildError(codes.PATCH_RELOCATIONS, image.name, f"there is no address at {site:#x}")
        sites.append(Rva(site))
        cursor = site + _POINTER
    return tuple(sites)


def _dir64_sites(image: Image, table: bytes) -> Iterator[int]:
    offset = 0
    last_page = -1
    while offset < len(table):
        page, size = _BLOCK.unpack_from(table, offset) if len(table) - offset >= _BLOCK.size else (0, 0)
        if (
            page <= last_page
            or page % shape.PAGE
            or size % 4
            or not _BLOCK.size < size <= len(table) - offset
        ):
            cause = f"the block at offset {offset:#x} has page {page:#x} and size {size:#x}"
            raise HpbuildError(codes.PATCH_RELOCATIONS, image.name, cause)
        count = (size - _BLOCK.size) // 2
        entries = list(struct.unpack_from(f"<{count}H", table, offset + _BLOCK.size))
        if entries[-1] == 0:
            entries.pop()  # padding
        for entry in entries:
            if entry >> 12 != _DIR64:
                cause = f"page {page:#x} has an entry of type {entry >> 12}"
                raise HpbuildError(codes.PATCH_RELOCATIONS, image.name, cause)
            yield page + (entry & 0xFFF)
        last_page = page
        offset += size


def _load_config_blob(image: Image) -> Interval:
    """RVAs of the native hotpatch table, from a load configuration that says nothing else (HP3609)."""
    extent = next(each.range for each in image.sections if each.name == shape.HOTP)
    start = extent.start + shape.LOAD_CONFIG_SIZE
    expected = bytearray(shape.LOAD_CONFIG_SIZE)
    struct.pack_into("<I", expected, 0, shape.LOAD_CONFIG_SIZE)
    struct.pack_into("<I", expected, native.LOAD_CONFIG_HOT_PATCH_OFFSET, start)
    if image.read(extent.start, shape.LOAD_CONFIG_SIZE) != expected:
        cause = f"it has other fields than its size and the table's RVA {start:#x}"
        raise HpbuildError(codes.PATCH_LOAD_CONFIG, image.name, cause)
    size = image.u32(start + 4) if len(extent) >= shape.LOAD_CONFIG_SIZE + 8 else 0
    if size != extent.end - start:
        cause = f"the table's size is {size:#x}, its section leaves {extent.end - start:#x}"
        raise HpbuildError(codes.PATCH_LOAD_CONFIG, image.name, cause)
    return Interval(start, extent.end)


def native_table(image: Image) -> HotPatchTable:
    """The native hotpatch table (winnt.h, ``IMAGE_HOT_PATCH_INFO``).

    HP3609 for the load configuration; HP1xxx for a table that Windows would reject; HP3610 unless it is of
    the one version, for one base image with its digests, and its records fill it.
    """
    extent = _load_config_blob(image)
    table = read_hotpatch_table(image)
    if table is None or table.range != extent or len(table.bases) != 1:
        raise HpbuildError(codes.PATCH_NATIVE_TABLE, image.name, "it is not for one base image")
    (base,) = table.bases
    if table.version != shape.NATIVE_VERSION or table.extra_dwords != shape.NATIVE_EXTRA_DWORDS:
        cause = f"version {table.version} with {table.extra_dwords} extra values"
        raise HpbuildError(codes.PATCH_NATIVE_TABLE, image.name, cause)
    if base.hashes is None or table.buffer_offset or base.buffer_offset or base.sequence != table.sequence:
        raise HpbuildError(codes.PATCH_NATIVE_TABLE, image.name, "its digests, buffers or sequence are odd")
    fixed = native.INFO_SIZES[table.version] + 4 + native.BASE_SIZE + native.HASHES_SIZE + 4
    record = 8 + 4 * table.extra_dwords
    size = fixed + sum(4 + record * len(chunk.records) for chunk in base.chunks)
    if size != len(extent):
        cause = f"its parts have {size} bytes, the whole {len(extent)}"
        raise HpbuildError(codes.PATCH_NATIVE_TABLE, image.name, cause)
    return table
