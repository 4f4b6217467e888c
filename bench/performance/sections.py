"""The code of a PE file, read as plainly as possible: the limit must not depend on hpbuild's own readers."""

import struct
from pathlib import Path

_HEADER = struct.Struct("<HHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_EXECUTABLE = 0x20000000


def code_runs(path: Path) -> list[tuple[int, int]]:
    """Offset and size in the file of each section that may be executed (PE format, section table). Raises
    ValueError for a file that is no PE image."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    try:
        (start,) = struct.unpack_from("<I", head, 0x3C)
        _, count, _, _, _, optional, _ = _HEADER.unpack_from(head, start + 4)
        first = start + 4 + _HEADER.size + optional
        rows = [_SECTION.unpack_from(head, first + _SECTION.size * index) for index in range(count)]
    except struct.error:
        raise ValueError(f"{path.name}: not a PE image") from None
    if head[start : start + 4] != b"PE\0\0":
        raise ValueError(f"{path.name}: not a PE image")
    return [(row[4], min(row[1], row[3])) for row in rows if row[9] & _EXECUTABLE]


def code_size(path: Path) -> int:
    """Bytes of code; 0 for what is no PE image."""
    try:
        return sum(size for _, size in code_runs(path))
    except ValueError:
        return 0
