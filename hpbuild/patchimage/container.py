"""Write a patch image's sections as a PE32+ file.

Source: PE specification, sections "MS-DOS Stub (Image Only)" to "Section Table (Section Headers)".
Deterministic: the time stamp is taken from a digest of the content, as linkers do for reproducible builds.
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from hpbuild.dataclass import dataclass
from hpbuild.patchimage import format as shape
from hpbuild.values import Interval, Rva

_COFF: Final = struct.Struct("<HHIIIHH")
_OPTIONAL: Final = struct.Struct("<HBBIIIIIQIIHHHHHHIIIIHHQQQQII")
_SECTION: Final = struct.Struct("<8sIIIIIIHHI")
_DIRECTORIES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSection:
    """A section to write. ``size`` is its size in memory; ``content`` is empty for zero-filled ones,
    else ``size`` bytes."""

    name: str
    rva: Rva
    size: int
    content: bytes


def write_image(
    sections: Sequence[OutputSection], directories: dict[int, Interval], image_base: int, subsystem: int
) -> bytes:
    """The file's bytes. ``sections`` ascend by RVA; ``directories`` maps directory numbers to RVA ranges."""
    headers_size = shape.round_up(
        shape.PE_OFFSET + 24 + shape.OPTIONAL_HEADER_SIZE + shape.SECTION_HEADER_SIZE * len(sections),
        shape.FILE_ALIGNMENT,
    )
    table = bytearray()
    bodies = bytearray()
    for section in sections:
        filler = shape.CODE_FILLER if section.name == shape.TEXT else 0
        raw_size = shape.round_up(len(section.content), shape.FILE_ALIGNMENT)
        raw_offset = headers_size + len(bodies) if raw_size else 0
        bodies += section.content.ljust(raw_size, bytes([filler]))
        table += _SECTION.pack(
            section.name.encode("ascii"),
            section.size,
            section.rva,
            raw_size,
            raw_offset,
            0,
            0,
            0,
            0,
            shape.SECTIONS[section.name],
        )
    head = _mz() + b"PE\0\0" + _coff(len(sections))
    head += _optional(sections, headers_size, image_base, subsystem)
    head += b"".join(_directory(directories.get(number)) for number in range(_DIRECTORIES))
    image = bytearray((head + bytes(table)).ljust(headers_size, b"\0") + bytes(bodies))
    struct.pack_into("<4s", image, shape.TIME_STAMP_OFFSET, hashlib.sha256(image).digest()[:4])
    struct.pack_into("<I", image, shape.CHECKSUM_OFFSET, checksum(bytes(image)))
    return bytes(image)


def checksum(data: bytes) -> int:
    """``CheckSum`` of an image file whose own field is zero (ImageHlp's algorithm: the 16-bit words
    added with end-around carry, plus the file's length)."""
    words = np.frombuffer(data + bytes(len(data) % 2), dtype="<u2")
    total = int(words.sum(dtype=np.uint64))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (total + len(data)) & 0xFFFFFFFF


def _mz() -> bytes:
    header = bytearray(shape.PE_OFFSET)
    header[0:2] = b"MZ"
    struct.pack_into("<I", header, 0x3C, shape.PE_OFFSET)
    return bytes(header)


def _coff(count: int) -> bytes:
    return _COFF.pack(shape.MACHINE_AMD64, count, 0, 0, 0, shape.OPTIONAL_HEADER_SIZE, shape.CHARACTERISTICS)


def _optional(sections: Sequence[OutputSection], headers_size: int, image_base: int, subsystem: int) -> bytes:
    raw = {section.name: shape.round_up(len(section.content), shape.FILE_ALIGNMENT) for section in sections}
    first, last = sections[0], sections[-1]
    code = raw.get(shape.TEXT, 0)
    return _OPTIONAL.pack(
        shape.PE32_PLUS,
        *(0, 0),  # linker version
        code,
        sum(raw.values()) - code,
        sum(section.size for section in sections if section.name == shape.BSS),
        0,  # no entry point
        first.rva if first.name == shape.TEXT else 0,
        image_base,
        shape.PAGE,
        shape.FILE_ALIGNMENT,
        *(shape.SYSTEM_VERSION, 0),  # operating system version
        *(0, 0),  # image version
        *(shape.SYSTEM_VERSION, 0),  # subsystem version
        0,
        shape.round_up(last.rva + last.size, shape.PAGE),
        headers_size,
        0,  # checksum, filled in last
        subsystem,
        shape.DLL_CHARACTERISTICS,
        *(0, 0, 0, 0),  # stack and heap: the process's own
        0,
        _DIRECTORIES,
    )


def _directory(extent: Interval | None) -> bytes:
    return struct.pack("<II", extent.start, len(extent)) if extent else bytes(8)
