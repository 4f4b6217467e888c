"""Files in and out: bounded reading, and writing that leaves all or nothing."""

from __future__ import annotations

import errno
import os
import stat

from hpbuild.codes import bundle as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.interruption import interruption_held

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from pathlib import Path

_CODES: dict[int | None, Code] = {
    errno.ENOENT: codes.NO_SUCH_FILE,
    errno.ENOTDIR: codes.NO_SUCH_FILE,
    errno.EISDIR: codes.NOT_A_FILE,
    errno.EACCES: codes.NO_PERMISSION,
    errno.EPERM: codes.NO_PERMISSION,
    errno.EROFS: codes.NO_PERMISSION,
    errno.ENOSPC: codes.DISK_FULL,
    errno.EDQUOT: codes.DISK_FULL,
    errno.EFBIG: codes.DISK_FULL,
    errno.EEXIST: codes.ALREADY_EXISTS,
}

_READ_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
"""Opening a pipe does not wait for its writer."""


def read_bounded(path: Path | str, limit: int) -> bytes:
    """Content of the regular file ``path``, at most ``limit`` bytes.

    Raises HP4801 to HP4806: missing, not a regular file, not readable, larger than ``limit``.
    """
    try:
        # Looked at before it is opened, for opening a device may do something; and again once it is open, for
        # the name may lead elsewhere by then.
        _check_regular(os.stat(path), path)  # noqa: PTH116 - without pathlib
        with os.fdopen(os.open(path, _READ_FLAGS), "rb") as file:
            _check_regular(os.fstat(file.fileno()), path)
            data = file.read(limit + 1)
    except OSError as error:
        raise file_error(error, path) from None
    except ValueError as error:  # a NUL in the path
        raise HpbuildError(codes.NO_SUCH_FILE, repr(str(path)), str(error)) from None
    if len(data) > limit:
        raise HpbuildError(codes.TOO_LARGE, str(path), f"more than {limit} bytes")
    return data


def _check_regular(status: os.stat_result, path: Path | str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise HpbuildError(codes.NOT_A_FILE, str(path), "not a regular file")


@interruption_held()
def write_atomic(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write ``data`` to ``path``, replacing a file that is there; afterwards the file is complete or as
    it was before, also when the disk is full. Ctrl-C waits until then. ``mode`` are its permission bits, None
    for those of the file that is replaced, or what the umask leaves. Raises HP48xx.
    """
    import tempfile  # for writers alone
    from pathlib import Path

    try:
        # A device or pipe would be replaced by a file, which nobody wants.
        if path.exists() and not path.is_file():
            raise HpbuildError(codes.NOT_A_FILE, str(path), "the output is not a regular file")
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise file_error(error, path) from None
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_mode(path) if mode is None else mode)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise file_error(error, path) from None
    except BaseException:  # KeyboardInterrupt: nothing half-written may stay
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


@interruption_held()
def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write ``data`` to ``path``, which must not exist yet (HP4807); ``mode`` are its permission bits. Ctrl-C
    waits until it is there or not."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    except OSError as error:
        raise file_error(error, path) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise file_error(error, path) from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def file_error(error: OSError, path: Path | str) -> HpbuildError:
    """The HP48xx error for what the operating system reported about ``path``."""
    code = _CODES.get(error.errno, codes.IO_FAILED)
    return HpbuildError(code, str(path), error.strerror or type(error).__name__)


def _mode(path: Path) -> int:
    """Mode of the file to be replaced, else what the umask leaves of 0666 (mkstemp makes 0600)."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0o077)
        os.umask(umask)
        return 0o666 & ~umask


def _sync_directory(directory: Path) -> None:
    """Make the rename durable where directories can be opened (not on Windows)."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return  # a directory that may be searched but not read
    try:
        os.fsync(descriptor)
    except OSError:
        return  # some network file systems cannot; the file itself is safe
    finally:
        os.close(descriptor)
