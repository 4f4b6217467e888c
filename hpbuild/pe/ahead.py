"""Large files that are read on threads while this one imports what is going to look at them.

Imports nothing large itself.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from hpbuild.errors import HpbuildError
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.files import read_file

Read = Callable[[Path], FileBytes]
"""Gives the bytes of a file, and raises, as ``read_file``."""
LARGE = 4 << 20
"""Bytes of a file from which on a thread is worth its start."""


class _Begun:
    """One file on its way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: FileBytes | HpbuildError | MemoryError | None = None
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._found = read_file(self._path)
        except (HpbuildError, MemoryError) as error:
            self._found = error

    def end(self) -> None:
        self._thread.join()

    def bytes(self) -> FileBytes:
        """Waits for them."""
        self.end()
        if isinstance(self._found, FileBytes):
            return self._found
        raise self._found or MemoryError  # nothing was found when the thread itself had no memory


@contextmanager
def ahead(paths: Iterable[Path]) -> Iterator[Read]:
    """Begin to read the large ones of ``paths``. What comes out gives each of them once; other files, and the
    same one again, it reads when it is asked for them. No thread is left behind."""
    begun = {}
    for path in dict.fromkeys(paths):
        try:
            if path.is_file() and path.stat().st_size >= LARGE:
                begun[path] = _Begun(path)
        except (OSError, ValueError, RuntimeError):  # no thread to be had; or reading it tells what is wrong
            continue

    def read(path: Path) -> FileBytes:
        one = begun.pop(path, None)
        return read_file(path) if one is None else one.bytes()

    try:
        yield read
    finally:
        for one in begun.values():
            one.end()
