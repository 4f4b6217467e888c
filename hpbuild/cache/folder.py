"""Where the cache lies, and whether a folder or a file in it may be believed."""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = "HPBUILD_CACHE"
"""Environment variable: the cache's folder."""
SIZE = "HPBUILD_CACHE_SIZE"
"""Environment variable: the most that the cache may hold, in MiB."""
DEFAULT_SIZE = 2048
MAX_SIZE = 1 << 30
_READ = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """The folder: HPBUILD_CACHE, else ``hpbuild`` in the user's folder for caches (XDG Base Directory
    Specification; LOCALAPPDATA on Windows). None when there is no such folder."""
    if given := environment.get(FOLDER):
        return Path(given)
    if sys.platform == "win32":
        local = environment.get("LOCALAPPDATA", "")
        return Path(local) / "hpbuild" / "cache" if local else None
    named = environment.get("XDG_CACHE_HOME", "")
    if named.startswith("/"):  # the specification: anything else is to be ignored
        return Path(named) / "hpbuild"
    home = environment.get("HOME", "")
    return Path(home) / ".cache" / "hpbuild" if home.startswith("/") else None


def cache_size(environment: Mapping[str, str]) -> int | None:
    """The most bytes that the cache may hold; None for a value of HPBUILD_CACHE_SIZE that is no number."""
    text = environment.get(SIZE, "")
    if not text:
        return DEFAULT_SIZE << 20
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= MAX_SIZE):
        return None
    return int(text) << 20


def open_folder(folder: Path) -> str:
    """Make the folder, for this user alone, when it is missing. '' when it may be used, else why not: what
    others may write could have been made by them."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if not stat.S_ISDIR(status.st_mode):
        return "it is no directory"
    if os.name == "posix":
        if status.st_uid != os.geteuid():
            return "it belongs to another user"
        if status.st_mode & 0o077:
            return f"others may use it: its mode is {stat.S_IMODE(status.st_mode):o}, not 700"
    return ""


def read_own(path: Path, limit: int) -> bytes | None:
    """The bytes of a regular file of this user that nobody else can write; None for anything else."""
    try:
        descriptor = os.open(path, _READ)
    except OSError:
        return None
    try:
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
                return None
            if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
                return None
            return stream.read(limit + 1)
    except OSError:
        return None
