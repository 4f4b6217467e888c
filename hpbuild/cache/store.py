"""The cache: results by the digest of everything that they depend on.

Files appear whole under their names (a rename) and are never changed, so that any number of runs can share
the folder. What is odd about a file, whatever it is, makes it a miss: the result is made again and the file
replaced. The files that were not used for the longest time go first when the cache is full; it is looked at
now and then, so that it can be over its limit by a few hundredths.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpbuild.cache.container import decode, encode
from hpbuild.cache.folder import open_folder, read_own
from hpbuild.cache.forms import Damaged, pack, unpack
from hpbuild.dataclass import dataclass
from hpbuild.interruption import interruption_held

VERSION = 1
"""Of the forms and the container."""
SUFFIX, UNFINISHED = ".cache", ".part"
_ABANDONED = 3600
"""Seconds after which an unfinished file belongs to nobody."""
_SHARE = 4
"""One result takes at most this part of the cache."""
_TRIMS = 32
"""How often the folder is gone through while as much is written as it may hold. Names are as good as drawn,
so a file's name and size decide whether it is after this one."""


@dataclass(frozen=True, slots=True)
class Store:
    """``folder`` belongs to this user alone; ``limit`` is the most bytes it may hold; ``engine`` the digest
    of what makes the results. Made by ``open_store``."""

    folder: Path
    limit: int
    engine: str

    def key(self, kind: str, *parts: str) -> str:
        """The name of the result of this kind that depends on ``parts`` and the engine."""
        text = json.dumps([VERSION, self.engine, kind, *parts])
        return hashlib.sha256(text.encode()).hexdigest()

    def recall(self, key: str, hint: Any, outside: Mapping[type, object] | None = None) -> Any:
        """The value of the annotated type ``hint`` that was kept, None when there is none. ``outside`` are
        the values that were left out of it. It counts as used now."""
        path = self._path(key)
        data = read_own(path, self.limit)
        if data is None:
            return None
        try:
            value = unpack(hint, decode(data, key), outside)
        except Damaged:
            return None
        with suppress(OSError):
            os.utime(path)
        return value

    def keep(self, key: str, hint: Any, value: object, outside: frozenset[type] = frozenset()) -> None:
        """Keep ``value`` without the parts of the classes ``outside``. A disk that is full, or a folder that
        went away, only means that it is not kept. Raises TypeError for what has no form."""
        data = encode(key, pack(hint, value, outside))
        if len(data) > self.limit // _SHARE:
            return
        with suppress(OSError):
            self._write(self._path(key), data)
            if int(key[:8], 16) * self.limit < len(data) * _TRIMS << 32:
                self.trim()

    def trim(self) -> None:
        """Remove what was not used for the longest time until the rest fits."""
        files = []
        now = time.time()
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(SUFFIX):
                        files.append((status.st_mtime_ns, entry.name, status.st_size))
                    elif entry.name.endswith(UNFINISHED) and now - status.st_mtime > _ABANDONED:
                        (self.folder / entry.name).unlink()
        total = sum(size for _, _, size in files)
        for _, name, size in sorted(files):
            if total <= self.limit:
                break
            with suppress(OSError):
                (self.folder / name).unlink()
                total -= size

    def _path(self, key: str) -> Path:
        return self.folder / (key + SUFFIX)

    @interruption_held()
    def _write(self, path: Path, data: bytes) -> None:
        """All or nothing. Not forced to the disk: a file that a crash cut off has the wrong digest."""
        descriptor, name = tempfile.mkstemp(suffix=UNFINISHED, dir=self.folder)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            Path(name).replace(path)
        except BaseException:  # KeyboardInterrupt: nothing unfinished stays
            Path(name).unlink(missing_ok=True)
            raise


def open_store(folder: Path, limit: int, engine: str) -> tuple[Store | None, str]:
    """The cache in ``folder``, or None and why it is not used."""
    if not engine:
        return None, "the source of hpbuild is not there to tell its version"
    if limit <= 0:
        return None, "its size is 0"
    if trouble := open_folder(folder):
        return None, trouble
    return Store(folder, limit, engine), ""
