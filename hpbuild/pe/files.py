"""Opening and reading files safely: regular ones, bounded, proved unchanged while reading."""

import errno
import os
import stat
from pathlib import Path

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError

MAX_FILE = 1 << 31
_CHUNK = 1 << 24
_OPEN_CODES = {
    errno.ENOENT: codes.FILE_NOT_FOUND,
    errno.ENOTDIR: codes.FILE_NOT_FOUND,
    errno.EISDIR: codes.IS_A_DIRECTORY,
    errno.EACCES: codes.NO_PERMISSION,
    errno.EPERM: codes.NO_PERMISSION,
    errno.ENXIO: codes.SPECIAL_FILE,
}


def read_file(path: Path, limit: int = MAX_FILE) -> bytes:
    """The bytes of the regular file ``path``, at most ``limit``, proved unchanged while reading.

    Raises HpbuildError with HP1001 to HP1008.
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
            return _read_whole(stream.fileno(), str(path), limit)
        except OSError as error:
            raise HpbuildError(codes.READ_FAILED, str(path), error.strerror or "read error") from error


def _read_whole(descriptor: int, place: str, limit: int) -> bytes:
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        raise HpbuildError(codes.SPECIAL_FILE, place, "is a pipe, socket or device")
    if before.st_size > limit:
        raise HpbuildError(codes.FILE_TOO_LARGE, place, f"{before.st_size} bytes, the limit is {limit}")
    if not before.st_size:
        raise HpbuildError(codes.EMPTY_FILE, place, "the file has no bytes")
    # One buffer of the announced size: the file bytes exist once, however large.
    chunks = []
    left = before.st_size + 1
    while left > 0 and (chunk := os.read(descriptor, min(left, max(_CHUNK, before.st_size + 1)))):
        chunks.append(chunk)
        left -= len(chunk)
    data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    after = os.fstat(descriptor)
    if _state(before) != _state(after) or len(data) != before.st_size:
        raise HpbuildError(
            codes.FILE_CHANGED,
            place,
            f"{before.st_size} bytes announced, {len(data)} read, {after.st_size} after",
        )
    return data


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
