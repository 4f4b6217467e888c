"""Strict reader of the native hotpatch table (``IMAGE_HOT_PATCH_INFO``) of an image.

Source: the public Windows SDK header winnt.h for the layouts, published descriptions of the loader for the
acceptance rules. All offsets inside the table are relative to its first byte.
"""

import struct
from itertools import pairwise

from hpbuild.codes.pe_identity import (
    HOT_PATCH_BASE,
    HOT_PATCH_HEADER,
    HOT_PATCH_LIMIT,
    HOT_PATCH_LOCATION,
)
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe import hotpatch_format as fmt
from hpbuild.pe.access import LOAD_CONFIG, backed
from hpbuild.pe.hotpatch_chunks import MAX_RECORDS, HotPatchChunk, read_chunks
from hpbuild.pe.image import Image
from hpbuild.values import Digest, Interval, Rva

MAX_BASES = 256
MAX_TABLE = 16 << 20
"""Bytes of a table: room for twice the records that are read."""
_INFO = struct.Struct("<5I")
_BASE = struct.Struct("<8I")
_MACHINE_FLAGS = fmt.BASE_MACHINE_I386 | fmt.BASE_MACHINE_ARM64 | fmt.BASE_MACHINE_AMD64


@dataclass(frozen=True, slots=True)
class HotPatchHashes:
    """``IMAGE_HOT_PATCH_HASHES``: digests of the base image; ``sha1`` has 20 bytes."""

    sha256: Digest
    sha1: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HotPatchBase:
    """``IMAGE_HOT_PATCH_BASE``: a build that is patched and how. ``flag_names`` spell out ``flags``;
    ``hashes`` is None without code integrity information, ``buffer_offset`` has no published meaning."""

    sequence: int
    flags: int
    flag_names: tuple[str, ...]
    original_time_date_stamp: int
    original_checksum: int
    hashes: HotPatchHashes | None
    buffer_offset: int
    chunks: tuple[HotPatchChunk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HotPatchTable:
    """``IMAGE_HOT_PATCH_INFO`` at ``range`` (RVAs). Fields that the version lacks are 0; ``extra_dwords`` is
    the number of 32-bit values that every record has beyond its two RVAs."""

    range: Interval
    version: int
    sequence: int
    minimum_sequence: int
    flags: int
    extra_dwords: int
    buffer_offset: int
    bases: tuple[HotPatchBase, ...]


def read_hotpatch_table(image: Image) -> HotPatchTable | None:
    """The native hotpatch table that the load configuration of ``image`` leads to, None without one.

    Raises HpbuildError: HOT_PATCH_LOCATION for a table that the load configuration does not announce as a
    loader demands, HOT_PATCH_HEADER, HOT_PATCH_BASE, HOT_PATCH_CHUNK, HOT_PATCH_RECORD for a wrong part,
    HOT_PATCH_LIMIT beyond 256 base images, 2**19 records or 16 MiB.
    """
    rva = _location(image)
    if rva is None:
        return None
    version, size, sequence, base_list, base_count = _INFO.unpack(_info(image, rva))
    place = f"{image.name}: hotpatch table at {rva:#x}"
    header_size = fmt.INFO_SIZES.get(version)
    if header_size is None:
        raise HpbuildError(HOT_PATCH_HEADER, place, f"version {version}, known are 1 to 4")
    if size < header_size:
        raise HpbuildError(HOT_PATCH_HEADER, place, f"{size} bytes, the header alone has {header_size}")
    if rva + size > image.size_of_image:
        raise HpbuildError(HOT_PATCH_HEADER, place, f"{size} bytes leave the image")
    section = image.section_at(rva)
    if section is None or not backed(section).covers(Interval(rva, rva + size)):
        raise HpbuildError(HOT_PATCH_HEADER, place, f"{size} bytes leave the file bytes of its section")
    if size > MAX_TABLE:
        raise HpbuildError(HOT_PATCH_LIMIT, place, f"{size} bytes, the limit is {MAX_TABLE}")
    if sequence == 0:
        raise HpbuildError(HOT_PATCH_HEADER, place, "sequence number 0")
    blob = image.read(rva, size)
    later = struct.unpack_from(f"<{(header_size - _INFO.size) // 4}I", blob, _INFO.size) + (0,) * 4
    buffer_offset, extra, minimum, flags = later[:4]
    if minimum > sequence:
        raise HpbuildError(HOT_PATCH_HEADER, place, f"minimum sequence number {minimum} above {sequence}")
    if flags & ~fmt.INFO_HOTSWAP:
        raise HpbuildError(HOT_PATCH_HEADER, place, f"unknown flags {flags:#x}")
    if extra > size // 4:
        raise HpbuildError(HOT_PATCH_HEADER, place, f"{extra} extra values for each record")
    return HotPatchTable(
        range=Interval(rva, rva + size),
        version=version,
        sequence=sequence,
        minimum_sequence=minimum,
        flags=flags,
        extra_dwords=extra,
        buffer_offset=buffer_offset,
        bases=_bases(image, blob, (base_list, base_count), header_size, extra),
    )


def _location(image: Image) -> Rva | None:
    """RVA of the table as the load configuration gives it; None when that has no such field or 0 in it."""
    directory = image.directories[LOAD_CONFIG]
    if not len(directory) or directory.start + fmt.LOAD_CONFIG_MIN_SIZE > image.size_of_image:
        return None
    own_size = image.u32(directory.start)
    # The field counts only when the structure itself says that it reaches that far.
    if own_size < fmt.LOAD_CONFIG_MIN_SIZE:
        return None
    rva = image.u32(directory.start + fmt.LOAD_CONFIG_HOT_PATCH_OFFSET)
    if rva == 0:
        return None
    if len(directory) != own_size:
        cause = f"the directory has {len(directory)} bytes, the load configuration says {own_size}"
        raise HpbuildError(HOT_PATCH_LOCATION, image.name, cause)
    return Rva(rva)


def _info(image: Image, rva: Rva) -> bytes:
    if rva + _INFO.size > image.size_of_image:
        raise HpbuildError(HOT_PATCH_LOCATION, image.name, f"hotpatch table at {rva:#x} leaves the image")
    return image.read(rva, _INFO.size)


def _bases(
    image: Image, blob: bytes, listed: tuple[int, int], header_size: int, extra: int
) -> tuple[HotPatchBase, ...]:
    start, count = listed
    place = f"{image.name}: hotpatch table"
    if count == 0:
        raise HpbuildError(HOT_PATCH_BASE, place, "no base image is listed")
    if count > MAX_BASES:
        raise HpbuildError(HOT_PATCH_LIMIT, place, f"{count} base images, the limit is {MAX_BASES}")
    parts = {Interval(0, header_size), _inside(blob, start, 4 * count, f"{place}: base list", HOT_PATCH_BASE)}
    offsets = struct.unpack_from(f"<{count}I", blob, start)
    if len(set(offsets)) != count:
        raise HpbuildError(HOT_PATCH_BASE, place, "a base image is listed twice")
    tables: dict[int, tuple[HotPatchChunk, ...]] = {}
    bases = []
    budget = MAX_RECORDS
    for index, offset in enumerate(offsets):
        where = f"{place}: base {index}"
        parts.add(_inside(blob, offset, fmt.BASE_SIZE, where, HOT_PATCH_BASE))
        row = _BASE.unpack_from(blob, offset)
        if row[4] or row[5]:
            parts.add(_inside(blob, row[4], row[5], f"{where}: code integrity information", HOT_PATCH_BASE))
        if row[6] and row[6] not in tables:
            tables[row[6]], extent = read_chunks(image, blob, row[6], extra, budget, f"{where}: patch table")
            budget -= sum(len(chunk.records) for chunk in tables[row[6]])
            parts.add(extent)
        bases.append(_base(row, blob, tables.get(row[6], ()), where))
    ordered = sorted(parts)
    for before, after in pairwise(ordered):
        if before.overlaps(after):
            raise HpbuildError(HOT_PATCH_BASE, place, f"parts {before} and {after} overlap")
    return tuple(bases)


def _base(row: tuple[int, ...], blob: bytes, chunks: tuple[HotPatchChunk, ...], where: str) -> HotPatchBase:
    sequence, flags, stamp, checksum, integrity, integrity_size, _, buffer_offset = row
    unknown = flags & ~sum(fmt.BASE_FLAG_NAMES)
    if unknown:
        raise HpbuildError(HOT_PATCH_BASE, where, f"unknown flags {unknown:#x}")
    if flags & _MACHINE_FLAGS != fmt.BASE_MACHINE_AMD64:
        raise HpbuildError(HOT_PATCH_BASE, where, f"flags {flags:#x} are not for the machine AMD64 alone")
    hashes = None
    if integrity or integrity_size:
        if integrity_size != fmt.HASHES_SIZE:
            cause = f"code integrity information of {integrity_size} bytes, not {fmt.HASHES_SIZE}"
            raise HpbuildError(HOT_PATCH_BASE, where, cause)
        raw = blob[integrity : integrity + fmt.HASHES_SIZE]
        hashes = HotPatchHashes(Digest(raw[: fmt.SHA256_SIZE]), raw[fmt.SHA256_SIZE :])
    return HotPatchBase(
        sequence=sequence,
        flags=flags,
        flag_names=tuple(name for bit, name in fmt.BASE_FLAG_NAMES.items() if flags & bit),
        original_time_date_stamp=stamp,
        original_checksum=checksum,
        hashes=hashes,
        buffer_offset=buffer_offset,
        chunks=chunks,
    )


def _inside(blob: bytes, start: int, size: int, place: str, code: Code) -> Interval:
    if start + size > len(blob):
        raise HpbuildError(code, place, f"{size} bytes at offset {start:#x} leave the table of {len(blob)}")
    return Interval(start, start + size)
