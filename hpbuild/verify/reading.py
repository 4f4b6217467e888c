"""An installed file that is read and digested on a thread, while this one does other work.

Reading and SHA-256 let other threads run. The bytes are in memory once, and whoever judges the file judges
them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpbuild.codes.pe import EMPTY_FILE
from hpbuild.errors import HpbuildError
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.files import read_file
from hpbuild.values import Digest

_STEP = 1 << 26
"""Bytes that are digested between two looks at whether anybody still wants the digest."""


class Reading:
    """One file that is being read. Nothing happens on a thread where the system has none to give."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self._limit = limit
        self._is_read = threading.Event()
        self._data: FileBytes | None = None
        self._sha256: Digest | None = None
        self._error: HpbuildError | MemoryError | None = None
        self._unwanted = False
        self._thread: threading.Thread | None = threading.Thread(target=self._work, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            self._work()

    def data(self) -> FileBytes:
        """The whole file, also one without bytes. Raises HpbuildError as
        ``read_file``, and MemoryError."""
        self._is_read.wait()
        if self._error is not None:
            raise self._error
        assert self._data is not None
        return self._data

    def sha256(self) -> Digest:
        """The digest of ``data``. Raises as that."""
        self._join()
        if self._error is not None:
            raise self._error
        assert self._sha256 is not None
        return self._sha256

    def end(self) -> None:
        """The thread is gone afterwards, whether or not the digest is known."""
        self._unwanted = True
        self._join()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        data = FileBytes.of(b"")
        try:
            data = self._data = read_file(self.path, self._limit)
        except (HpbuildError, MemoryError) as error:
            if not isinstance(error, HpbuildError) or error.code is not EMPTY_FILE:
                self._error = error
                return
            self._data = data
        finally:
            self._is_read.set()
        from hashlib import sha256  # here, where nobody waits for it

        digest = sha256()
        for start in range(0, len(data), _STEP):
            if self._unwanted:
                return
            for piece in data.pieces(start, start + _STEP):
                digest.update(piece)
        self._sha256 = Digest(digest.digest())


@contextmanager
def reading(path: Path, limit: int) -> Iterator[Reading]:
    """The file at ``path``, at most ``limit`` bytes of it, while it is being read."""
    begun = Reading(path, limit)
    try:
        yield begun
    finally:
        begun.end()
