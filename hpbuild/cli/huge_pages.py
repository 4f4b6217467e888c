"""Huge pages for commands that go through large files.

Such a command asks the system for a gigabyte, 4 KiB at a time, and a tenth of its time goes into that. glibc
asks for 2 MiB at a time when the tunable ``glibc.malloc.hugetlb`` is 1 (glibc 2.35 and later; others pass
over it), but it looks at its tunables only where a program begins: so the command begins once more. While it
is at it: memory of one array serves the next instead of going back to the system, and threads share one heap,
for only the first one's is made of huge pages.
"""

import os
import stat
import sys

_TUNABLES = "GLIBC_TUNABLES"
_TUNED = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        "glibc.malloc.arena_max=1",
        "glibc.malloc.mmap_threshold=33554432",  # the most it would become by itself
        "glibc.malloc.trim_threshold=268435456",
    )
)
_AGAIN = "begun-again"
"""An option -X of the interpreter that means nothing to it, and cannot get lost as a variable may."""
_COMMANDS = ("diff", "build", "prove")
_LARGE = 2 << 20
"""Bytes of a file from which on it pays."""


def begin_again(arguments: list[str]) -> None:
    """Replace this process by one that runs the same command line with huge pages, where that pays and can be
    done. A process that was begun so goes on, and says nothing of it to programs it starts.

    Ctrl-C is held back in between, when nobody would heed it, until ``heed``.
    """
    if _AGAIN in sys._xoptions:
        if os.environ.get(_TUNABLES) == _TUNED:
            del os.environ[_TUNABLES]
        return
    if arguments[:1] and arguments[0] in _COMMANDS and _can() and any(map(_is_large, arguments[1:])):
        command = _command(arguments)
        if command:
            _replace(command)


def heed() -> None:
    """Let Ctrl-C through that was held back. Raises KeyboardInterrupt when it was pressed."""
    if _AGAIN in sys._xoptions:
        import signal

        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _can() -> bool:
    """Whether this is the C library in question, nobody has set it up otherwise, and nobody watches this
    process."""
    watched = sys.gettrace() is not None or sys.getprofile() is not None
    if sys.platform != "linux" or watched or _TUNABLES in os.environ:
        return False
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (OSError, ValueError):  # another library does not know the name
        return False


def _is_large(word: str) -> bool:
    """Whether ``word`` names a large file, or a folder, which may hold any number of them."""
    try:
        found = os.stat(word)  # noqa: PTH116 - without pathlib
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_size >= _LARGE)


def _command(arguments: list[str]) -> list[str]:
    """What this process was started with, and the mark; empty where it does not end in ``arguments``, or the
    program came from standard input and is gone."""
    started, count = sys.orig_argv, len(arguments)
    if len(started) < count + 2 or started[-count:] != arguments or started[-count - 1] == "-":
        return []
    if not sys.executable or getattr(sys, "frozen", False):
        return []
    return [sys.executable, "-X", _AGAIN, *started[1:]]


def _replace(command: list[str]) -> None:
    """Comes back only where the system does not allow it."""
    import signal

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        os.execve(command[0], command, {**os.environ, _TUNABLES: _TUNED})  # noqa: S606 - this very program
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
