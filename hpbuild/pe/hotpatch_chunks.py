"""Patch tables of a native hotpatch table: chunks and their records.

Source: the public Windows SDK header winnt.h, ``IMAGE_HOT_PATCH_*`` chunk constants, and published
descriptions of the checks that the loader makes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from hpbuild.codes.pe_identity import HOT_PATCH_CHUNK, HOT_PATCH_LIMIT, HOT_PATCH_RECORD
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe import hotpatch_format as fmt
from hpbuild.pe.image import Image
from hpbuild.values import Interval, Rva

Numbers = npt.NDArray[np.integer[Any]]
MAX_RECORDS = 1 << 19
# Bytes that a record of the kind changes around its RVA: before it, from it on.
_EXTENTS = {
    fmt.KIND_FUNCTION: (6, 2),
    fmt.KIND_ABSOLUTE: (0, 8),
    fmt.KIND_REL32: (0, 4),
    fmt.KIND_CALL_TARGET: (0, 1),
    fmt.KIND_INDIRECT: (0, 8),
    fmt.KIND_NO_CALL_TARGET: (0, 1),
    fmt.KIND_DYNAMIC_VALUE: (0, 1),
}


@dataclass(frozen=True, slots=True)
class HotPatchRecord:
    """``written`` is the RVA in the image that is written, ``other`` the one in the other image; ``extra``
    are the further 32-bit values (of a FUNCTION record: the original entry bytes, little-endian)."""

    written: Rva
    other: Rva
    extra: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HotPatchChunk:
    """Records of one kind. ``kind`` is a ``KIND_*`` value with its ``name``; ``inverse`` True when the patch
    image is written, False when the base image is."""

    kind: int
    name: str
    inverse: bool
    records: tuple[HotPatchRecord, ...]


def read_chunks(
    image: Image, blob: bytes, start: int, extra: int, budget: int, place: str
) -> tuple[tuple[HotPatchChunk, ...], Interval]:
    """The patch table at offset ``start`` of the hotpatch table ``blob``, and the offsets it occupies.

    ``extra`` is the number of values a record has beyond two, ``budget`` the most records that may be there,
    ``image`` the patch image. Raises
    HpbuildError HOT_PATCH_CHUNK, HOT_PATCH_RECORD or HOT_PATCH_LIMIT.
    """
    width = 2 + extra
    chunks: list[HotPatchChunk] = []
    at, total = start, 0
    while True:
        if at + 4 > len(blob):
            raise HpbuildError(HOT_PATCH_CHUNK, place, f"not ended by a zero chunk inside {len(blob)} bytes")
        header = int.from_bytes(blob[at : at + 4], "little")
        at += 4
        if header == 0:
            return tuple(chunks), Interval(start, at)
        where = f"{place}: chunk {len(chunks)}"
        kind, inverse, count = _header(header, where)
        total += count
        if total > budget:
            raise HpbuildError(HOT_PATCH_LIMIT, place, f"more than {MAX_RECORDS} records")
        if at + 4 * width * count > len(blob):
            raise HpbuildError(
                HOT_PATCH_CHUNK, where, f"{count} records leave the table of {len(blob)} bytes"
            )
        values = np.frombuffer(blob, dtype="<u4", count=width * count, offset=at).reshape(count, width)
        at += 4 * width * count
        records = tuple([HotPatchRecord(row[0], row[1], tuple(row[2:])) for row in values.tolist()])
        for index in np.flatnonzero(~_sound(image, kind, inverse, values.astype(np.int64))).tolist():
            _check_record(image, kind, inverse, records[index], f"{where}: record {index}")
        chunks.append(HotPatchChunk(kind=kind, name=fmt.KIND_NAMES[kind], inverse=inverse, records=records))


def _header(header: int, where: str) -> tuple[int, bool, int]:
    """Kind, direction and record count of a chunk header."""
    if header & fmt.CHUNK_OBLIGATORY:
        raise HpbuildError(HOT_PATCH_CHUNK, where, "bit 30 (OBLIGATORY) is not allowed in a table")
    if header & fmt.CHUNK_RESERVED:
        raise HpbuildError(HOT_PATCH_CHUNK, where, f"reserved bits {header & fmt.CHUNK_RESERVED:#x} are set")
    kind = header & fmt.CHUNK_TYPE_MASK
    inverse = bool(header & fmt.CHUNK_INVERSE)
    count = header & fmt.CHUNK_COUNT_MASK
    if kind not in fmt.KIND_NAMES:
        raise HpbuildError(HOT_PATCH_CHUNK, where, f"unknown kind {kind:#x}")
    if not inverse and kind != fmt.KIND_FUNCTION:
        cause = f"{fmt.KIND_NAMES[kind]} cannot be written into the base image"
        raise HpbuildError(HOT_PATCH_CHUNK, where, cause)
    if count == 0:
        raise HpbuildError(HOT_PATCH_CHUNK, where, "no records")
    return kind, inverse, count


def _sound(image: Image, kind: int, inverse: bool, values: Numbers) -> npt.NDArray[np.bool_]:
    """By row: does ``_check_record`` surely have nothing to say?"""
    written, target = values[:, 0], values[:, 0 if inverse else 1]
    before, after = _EXTENTS[kind] if inverse else (0, 1)
    inside = np.zeros(len(values), dtype=np.bool_)
    for section in image.sections:
        if inverse or section.executable:
            low, high = section.rva, section.rva + section.virtual_size
            inside |= (target - before >= low) & (target >= low) & (target < high) & (target + after <= high)
    result: npt.NDArray[np.bool_] = inside & ((kind != fmt.KIND_FUNCTION) | (written >= fmt.FUNCTION_MIN_RVA))
    return result


def _check_record(image: Image, kind: int, inverse: bool, record: HotPatchRecord, where: str) -> None:
    """What can be checked with the patch image alone: the base image's size is not known here."""
    if kind == fmt.KIND_FUNCTION and record.written < fmt.FUNCTION_MIN_RVA:
        raise HpbuildError(HOT_PATCH_RECORD, where, f"function at {record.written:#x}, below 0x10")
    if inverse:
        before, after = _EXTENTS[kind]
        start, end = record.written - before, record.written + after
        section = image.section_at(record.written)
        if section is None or start < section.rva or end > section.rva + section.virtual_size:
            cause = f"[{start:#x}, {end:#x}) is not inside a section of the patch image"
            raise HpbuildError(HOT_PATCH_RECORD, where, cause)
        return
    target = image.section_at(record.other)
    if target is None or not target.executable:
        raise HpbuildError(HOT_PATCH_RECORD, where, f"new code at {record.other:#x} is not in a code section")
