"""One run at a time on a state file: an advisory lock on FILE.lock, which the system takes away from a
process that ends, however it ends. The lock file stays; removing it would let two runs lock two files.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hpbuild.codes import servicing as codes
from hpbuild.errors import HpbuildError

PAUSE: Final = 0.02
"""Seconds between two attempts."""


@contextmanager
def locked(path: Path, wait: float) -> Iterator[None]:
    """Hold the lock on ``path``, which is made when it is missing, for the block; ``wait`` are the seconds to
    try.

    Raises HpbuildError: HP8028 when another run has it for longer, HP8029 when the file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        cause = getattr(error, "strerror", None) or str(error)
        raise HpbuildError(codes.STATE_UNWRITABLE, str(path), cause) from None
    try:
        deadline = time.monotonic() + wait
        while not _try_lock(descriptor, path):
            if time.monotonic() >= deadline:
                raise HpbuildError(codes.STATE_LOCKED, str(path), f"waited {wait:g} s for it")
            time.sleep(PAUSE)
        yield
    finally:
        os.close(descriptor)  # gives the lock back


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise HpbuildError(codes.STATE_UNWRITABLE, str(path), error.strerror or str(error)) from None
    return True
