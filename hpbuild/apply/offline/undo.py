"""The undo record: how the original file is put together again from the patched one.

It lies in section ``.hpundo`` and fills it. All numbers are little-endian.

| offset | bytes | |
|---|---|---|
| 0 | 8 | ``HPUNDO1`` and a zero byte |
| 8 | 8 | size of the original file |
| 16 | 32 | its SHA-256 |
| 48 | 32 | SHA-256 of the patch image that was written into it |
| 80 | 8 | bytes of the parts that follow |
| 88 | | parts |

A part is its length (8 bytes) and a file offset (8 bytes): so many bytes of the patched file from there. The
offset 2**64 - 1 says that the bytes themselves follow. The parts in their order are the original file.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from hpbuild.codes import apply_offline as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.values import Digest, Interval

MAGIC: Final = b"HPUNDO1\0"
_HEADER: Final = struct.Struct("<8sQ32s32sQ")
_PART: Final = struct.Struct("<QQ")
_LITERAL: Final = 2**64 - 1
MAX_PARTS: Final = 1 << 22
"""More than twice the redirections that a package may have."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of the original file: ``kept`` in the patched file (file offsets), or else ``content``."""

    kept: Interval | None
    content: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of the original file; ``len`` would not do for what a hostile record claims."""
        return len(self.content) if self.kept is None else self.kept.end - self.kept.start


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRecord:
    """A record as read: ``size`` and ``sha256`` are of the original file, ``patch_sha256`` of the patch
    image."""

    size: int
    sha256: Digest
    patch_sha256: Digest
    parts: tuple[Part, ...]


def encode(original: bytes | FileBytes, patch_sha256: Digest, parts: Iterable[Part]) -> bytes:
    """The record's bytes; ``parts`` make up ``original``."""
    body = bytearray()
    for part in parts:
        if part.kept is None:
            body += _PART.pack(len(part.content), _LITERAL) + part.content
        else:
            body += _PART.pack(part.size, part.kept.start)
    digest = FileBytes.of(original).digest().raw
    return _HEADER.pack(MAGIC, len(original), digest, patch_sha256.raw, len(body)) + bytes(body)


def size_of(parts: Iterable[Part]) -> int:
    """Bytes of a record with these parts."""
    return _HEADER.size + sum(_PART.size + len(part.content) for part in parts)


def decode(data: bytes, place: str, limit: int) -> UndoRecord:
    """Read a record; ``place`` names the file, ``limit`` bounds the original's size in bytes.

    Raises HpbuildError: HP7212 for anything but a whole record, HP7213 for one that is out of bounds.
    """
    if len(data) < _HEADER.size or data[: len(MAGIC)] != MAGIC:
        raise HpbuildError(codes.UNDO_MALFORMED, place, "it does not begin as a record does")
    _, size, sha256, patch_sha256, length = _HEADER.unpack_from(data)
    if length > len(data) - _HEADER.size:
        cause = f"it has {length:#x} bytes of parts, its section holds {len(data) - _HEADER.size:#x}"
        raise HpbuildError(codes.UNDO_MALFORMED, place, cause)
    if size > limit:
        raise HpbuildError(
            codes.UNDO_TOO_LARGE, place, f"the original has {size} bytes, the limit is {limit}"
        )
    parts = _parts(data[_HEADER.size : _HEADER.size + length], place)
    total = sum(part.size for part in parts)
    if total != size:
        raise HpbuildError(codes.UNDO_MALFORMED, place, f"its parts have {total} bytes, the original {size}")
    return UndoRecord(size=size, sha256=Digest(sha256), patch_sha256=Digest(patch_sha256), parts=tuple(parts))


def _parts(body: bytes, place: str) -> list[Part]:
    parts: list[Part] = []
    at = 0
    while at < len(body):
        if len(parts) == MAX_PARTS:
            raise HpbuildError(codes.UNDO_TOO_LARGE, place, f"it has more than {MAX_PARTS} parts")
        if len(body) - at < _PART.size:
            raise HpbuildError(codes.UNDO_MALFORMED, place, f"part {len(parts)} is cut off")
        length, offset = _PART.unpack_from(body, at)
        at += _PART.size
        if offset != _LITERAL:
            parts.append(Part(Interval(offset, offset + length)))
            continue
        if length > len(body) - at:
            raise HpbuildError(codes.UNDO_MALFORMED, place, f"part {len(parts)} is cut off")
        parts.append(Part(None, body[at : at + length]))
        at += length
    return parts


def restore(record: UndoRecord, patched: bytes | FileBytes, place: str) -> bytes:
    """The original file. Raises HpbuildError: HP7212 for a part that lies outside ``patched``, HP7214 when
    the bytes have not the recorded SHA-256."""
    pieces: list[bytes | memoryview] = []
    for part in record.parts:
        if part.kept is None:
            pieces.append(part.content)
            continue
        if part.kept.end > len(patched):
            cause = f"a part lies at {part.kept}, the file has {len(patched):#x} bytes"
            raise HpbuildError(codes.UNDO_MALFORMED, place, cause)
        pieces += FileBytes.of(patched).pieces(part.kept.start, part.kept.end)
    original = b"".join(pieces)
    if (found := Digest.of(original)) != record.sha256:
        cause = f"SHA-256 {found.hex}, the record says {record.sha256.hex}"
        raise HpbuildError(codes.UNDO_RESULT_DIFFERS, place, cause)
    return original


def changed_runs(old: bytes, new: bytes) -> Sequence[Interval]:
    """Runs of positions at which two byte strings of one length differ."""
    runs: list[Interval] = []
    for position, (one, other) in enumerate(zip(old, new, strict=True)):
        if one == other:
            continue
        if runs and runs[-1].end == position:
            runs[-1] = Interval(runs[-1].start, position + 1)
        else:
            runs.append(Interval(position, position + 1))
    return runs
