"""Opening and reading files safely: regular ones, bounded, proved unchanged while reading."""

import errno
import os
import stat
from io import FileIO
from pathlib import Path

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.arrangement import layout_in, places, zeros
from hpbuild.pe.file_bytes import FileBytes, Mapped

MAX_FILE = 1 << 31
HEAD = 1 << 12
"""Bytes that are read before the others and tell the places of these. Most headers are shorter."""
_OPEN_CODES = {
    errno.ENOENT: codes.FILE_NOT_FOUND,
    errno.ENOTDIR: codes.FILE_NOT_FOUND,
    errno.EISDIR: codes.IS_A_DIRECTORY,
    errno.EACCES: codes.NO_PERMISSION,
    errno.EPERM: codes.NO_PERMISSION,
    errno.ENXIO: codes.SPECIAL_FILE,
}


def read_file(path: Path, limit: int = MAX_FILE) -> FileBytes:
    """The bytes of the regular file ``path``, at most ``limit``, proved unchanged while reading. Those of an
    image lie where the loader maps them.

    Raises HpbuildError with HP1001 to HP1008, and MemoryError.
    """
    # O_NONBLOCK: opening a pipe must not wait for a writer.
    flags = (
        os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    )
    try:
        if path.is_dir():
            raise HpbuildError(codes.IS_A_DIRECTORY, str(path), "is a directory")
        descriptor = os.open(path, flags)
    except OSError as error:
        code = _OPEN_CODES.get(error.errno or 0, codes.READ_FAILED)
        raise HpbuildError(code, str(path), error.strerror or "cannot be opened") from error
    except ValueError as error:
        raise HpbuildError(codes.FILE_NOT_FOUND, str(path), str(error)) from error
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        try:
            return _unchanged(stream, str(path), limit)
        except OSError as error:
            raise HpbuildError(codes.READ_FAILED, str(path), error.strerror or "read error") from error


def _unchanged(stream: FileIO, place: str, limit: int) -> FileBytes:
    before = os.fstat(stream.fileno())
    if not stat.S_ISREG(before.st_mode):
        raise HpbuildError(codes.SPECIAL_FILE, place, "is a pipe, socket or device")
    if before.st_size > limit:
        raise HpbuildError(codes.FILE_TOO_LARGE, place, f"{before.st_size} bytes, the limit is {limit}")
    if not before.st_size:
        raise HpbuildError(codes.EMPTY_FILE, place, "the file has no bytes")
    found, count = _in_place(stream, before.st_size)
    after = os.fstat(stream.fileno())
    if _state(before) != _state(after) or count != before.st_size:
        raise HpbuildError(
            codes.FILE_CHANGED,
            place,
            f"{before.st_size} bytes announced, {count} read, {after.st_size} after",
        )
    return found


def _at_most(stream: FileIO, size: int) -> bytes:
    """The next ``size`` bytes, fewer where the file ends."""
    # One buffer of the wanted size: the file bytes exist once, however large.
    chunks = []
    left = size
    while left > 0 and (chunk := os.read(stream.fileno(), left)):
        chunks.append(chunk)
        left -= len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _in_place(stream: FileIO, size: int) -> tuple[FileBytes, int]:
    """The bytes of a file of ``size`` bytes, those of an image where they belong, and how many they were: one
    more than announced at most. Each is read once."""
    head = _at_most(stream, min(size, HEAD))
    layout = layout_in(head, size)
    if layout is None:
        rest = _at_most(stream, size + 1 - len(head))
        found = FileBytes.joined([memoryview(head), memoryview(rest)])
        return found, len(found)
    memory = zeros(layout.size)
    pieces = places(layout, memory, size)
    count = _fill(pieces, head, stream)
    count += len(_at_most(stream, 1))  # nothing, unless the file grew
    return FileBytes.joined(pieces, Mapped(layout, memory.toreadonly())), count


def _fill(pieces: list[memoryview], head: bytes, stream: FileIO) -> int:
    """Fill ``pieces`` with ``head`` and what follows it in the file, until one ends; how many bytes they
    were."""
    count = 0
    for piece in pieces:
        known = head[count : count + len(piece)]
        piece[: len(known)] = known
        done = len(known)
        while done < len(piece) and (more := stream.readinto(piece[done:])):
            done += more
        count += done
        if done < len(piece):
            break
    return count


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
