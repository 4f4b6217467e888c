"""Where the loader puts the bytes of a file: known from the headers before the rest of the file is read, so
that its bytes are read to where they belong and lie in memory once.

What is told here is no judgement of the image: that is the pre-flight's, over the same bytes once they are
read. Imports nothing large, for files are read while other modules are being imported.
"""

import mmap
import struct
from collections.abc import Iterable

from hpbuild.dataclass import dataclass

RawRow = tuple[int, int, int, int]
"""VirtualSize, VirtualAddress, SizeOfRawData, PointerToRawData of a section as in the file."""
_ROW = struct.Struct("<8x4I16x")
_PE32_PLUS = 0x20B
_MOST_LARGER = 2
"""How much larger than its file an image may be to be read to its place."""


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """``size`` bytes at ``offset`` of the file, which the loader puts at ``rva``."""

    offset: int
    rva: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """An image of ``size`` bytes: ``runs`` of its file, which ascend by their offset, and zeros elsewhere."""

    size: int
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, size: int, header_size: int, alignment: int, rows: Iterable[RawRow]) -> "Layout":
        """From SizeOfImage, SizeOfHeaders, SectionAlignment and the section table, which ascends by RVA: the
        headers, then of each section what the file has of it, as far as the next one."""
        rows = tuple(rows)
        limits = [*(rva for _, rva, _, _ in rows[1:]), size]
        runs = [Run(0, 0, header_size)]
        for (virtual, rva, raw, offset), limit in zip(rows, limits, strict=False):
            mapped = min(mapped_size(virtual, raw, alignment), limit - rva)
            if mapped:
                runs.append(Run(offset, rva, mapped))
        return cls(size, tuple(sorted(runs)))

    def is_sound(self, file_size: int) -> bool:
        """Whether no two runs share bytes, and none leaves the image or a file of ``file_size`` bytes."""
        by_rva = sorted((run.rva, run.size) for run in self.runs)
        return _apart([(run.offset, run.size) for run in self.runs], file_size) and _apart(by_rva, self.size)


def mapped_size(virtual_size: int, raw_size: int, alignment: int) -> int:
    """How many of a section's ``raw_size`` file bytes are mapped: whole pages, by SectionAlignment. A
    VirtualSize of 0 means the raw size."""
    return min(raw_size, -(-(virtual_size or raw_size) // alignment) * alignment)


def layout_in(head: bytes, file_size: int) -> Layout | None:
    """The layout of a PE32+ file that begins with ``head``. None when it is none, its headers are longer than
    that, or the image is much larger than the file: little would be gained, and much memory spent."""
    try:
        (offset,) = struct.unpack_from("<I", head, 0x3C)
        count, optional_size, magic = struct.unpack_from("<H12xH2xH", head, offset + 6)
        alignment, size, header_size = struct.unpack_from("<I20xII", head, offset + 24 + 32)
        table = offset + 24 + optional_size
        rows = [_ROW.unpack_from(head, table + _ROW.size * index) for index in range(count)]
    except struct.error:
        return None
    if head[:2] != b"MZ" or head[offset : offset + 4] != b"PE\0\0" or magic != _PE32_PLUS or not alignment:
        return None
    if not 0 < size <= _MOST_LARGER * file_size:
        return None
    layout = Layout.of(size, header_size, alignment, rows)
    return layout if layout.is_sound(file_size) else None


def places(layout: Layout, memory: memoryview, file_size: int) -> list[memoryview]:
    """Where the bytes of a file belong, in their order: parts of ``memory``, which has the layout's size, and
    buffers of their own for what is not mapped."""
    found = []
    end = 0
    for run in layout.runs:
        if run.offset > end:
            found.append(memoryview(bytearray(run.offset - end)))
        found.append(memory[run.rva : run.rva + run.size])
        end = run.offset + run.size
    if file_size > end:
        found.append(memoryview(bytearray(file_size - end)))
    return found


def zeros(size: int) -> memoryview:
    """``size`` zeros that take no memory before they are written to. Raises MemoryError."""
    try:
        if hasattr(mmap, "MAP_PRIVATE"):
            area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        else:
            area = mmap.mmap(-1, size)
    except OSError as error:
        raise MemoryError(str(error)) from error
    return memoryview(area)


def _apart(parts: list[tuple[int, int]], limit: int) -> bool:
    """Whether the ascending parts (start, size) begin behind each other and end at ``limit`` or before."""
    end = 0
    for start, size in parts:
        if start < end or size < 0:
            return False
        end = start + size
    return end <= limit
