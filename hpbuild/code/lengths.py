"""The lengths of an image's instructions, decoded before there is time for anything else.

What decoding takes most of its time for needs no more than the bytes and the exception directory. Imports
nothing large: numpy takes longer to import than a small image to decode. What is told here of rows is looked
at by nobody who does not find the same rows (``scanning.scan_runs``).
"""

import struct
from collections.abc import Iterable, Iterator

from iced_x86 import Decoder

from hpbuild.dataclass import dataclass

_DIRECTORY = 24 + 112 + 8 * 3
"""Bytes from the signature to the entry of the exception directory, in a PE32+ image."""
_ROW = struct.Struct("<III")
"""RVAs of the first byte, behind the last, and of the unwind record."""
_PIECE = 1 << 18
"""Bytes of code decoded in one go."""
_JUMP, _NEAR_JUMP = 5, 0xE9
_HEAD = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Piece:
    """Unwind rows that were decoded as one, one behind the other: ``bounds`` are their begins and then their
    ends, RVAs of four bytes, little-endian; ``lengths`` are those of the instructions, one byte each."""

    bounds: bytes
    lengths: bytes

    def packed(self) -> bytes:
        """As ``unpacked`` reads it."""
        return b"".join((_HEAD.pack(len(self.bounds), len(self.lengths)), self.bounds, self.lengths))


def unpacked(octets: bytes) -> Iterator[Piece]:
    """The packed pieces in ``octets``, which may end within one."""
    at = 0
    while at + _HEAD.size <= len(octets):
        size, count = _HEAD.unpack_from(octets, at)
        low, high = at + _HEAD.size + size, at + _HEAD.size + size + count
        if high > len(octets):
            return
        yield Piece(octets[low - size : low], octets[low:high])
        at = high


def pieces(memory: memoryview) -> Iterator[Piece]:
    """Decode the unwind rows of the mapped image ``memory``, some at a time, but for lone jumps, which need
    no decoder. Whatever there is no sense in is left out, or the end."""
    held, size = list[tuple[int, int]](), 0
    for start, end in _rows(memory):
        if end - start == _JUMP and memory[start] == _NEAR_JUMP:
            continue
        held.append((start, end))
        size += end - start
        if size >= _PIECE:
            yield _piece(memory, held)
            held, size = [], 0
    if held:
        yield _piece(memory, held)


def _piece(memory: memoryview, rows: list[tuple[int, int]]) -> Piece:
    code = b"".join([memory[start:end] for start, end in rows])
    starts, ends = zip(*rows, strict=True)
    return Piece(struct.pack(f"<{2 * len(rows)}I", *starts, *ends), bytes(map(len, Decoder(64, code))))


def _rows(memory: memoryview) -> Iterable[tuple[int, int]]:
    """First byte and end of the rows of the exception directory, as far as they ascend."""
    try:
        (headers,) = struct.unpack_from("<I", memory, 0x3C)
        at, size = struct.unpack_from("<II", memory, headers + _DIRECTORY)
    except struct.error:
        return
    table, before = memory[at : at + size], 0
    for start, end, _ in _ROW.iter_unpack(table[: len(table) // _ROW.size * _ROW.size]):
        if not before <= start < end <= len(memory):
            return
        yield start, end
        before = end
