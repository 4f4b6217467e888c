"""How this process gets the memory of its columns.

Memory costs most where it is touched for the first time. So what one array gave back serves the next instead
of going back to the system, and threads share one heap. And nobody asks for huge pages, as numpy does unless
told otherwise: a system may take as long to find 2 MiB in one piece as to clear ten times as much in small
ones.
"""

import os
import sys

_SETTINGS = (
    (-1, 256 << 20),  # M_TRIM_THRESHOLD
    (-3, 32 << 20),  # M_MMAP_THRESHOLD: the most it would become by itself
    (-8, 1),  # M_ARENA_MAX
)
"""Parameters of mallopt(3) and their values, as in glibc's malloc.h."""
_COMMANDS = ("diff", "build", "prove")


def prepare_heap(arguments: list[str]) -> None:
    """To be called before numpy is imported and before there are threads. What somebody has set up is left as
    it is."""
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
    if arguments[:1] and arguments[0] in _COMMANDS and _is_glibc() and "GLIBC_TUNABLES" not in os.environ:
        import ctypes

        library = ctypes.CDLL(None)
        for parameter, value in _SETTINGS:
            library.mallopt(parameter, value)


def _is_glibc() -> bool:
    """Whether the C library is the one that the settings are for."""
    try:
        return sys.platform == "linux" and (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (OSError, ValueError):  # another library does not know the name
        return False
