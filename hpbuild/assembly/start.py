"""What is begun while the modules that need it are still imported: both files are read, and the baseline's
code is decoded in a process of its own.

Imports nothing large itself.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from hpbuild.assembly.forked import Forked, Way, can_fork
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.ahead import Read, ahead
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.files import read_file

if TYPE_CHECKING:
    from hpbuild.code.lengths import Piece

SMALLEST, LARGEST = 1 << 20, 32 << 20
"""Bytes of a file that is worth a process, and that is read before one would rather import."""


def all_cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _nothing(content: FileBytes) -> "tuple[Piece, ...]":
    return ()


@dataclass(frozen=True, slots=True)
class Start:
    """``read`` gives the bytes of files; ``decoded`` what was decoded of some of these so far, and asks for
    no more."""

    read: Read = read_file
    decoded: "Callable[[FileBytes], tuple[Piece, ...]]" = _nothing


HERE = Start()
"""Nothing was begun."""


@contextmanager
def started(baseline: Path, fixed: Path, *, processes: int = 2) -> Iterator[Start]:
    """Begin with two files, with 1 of the ``processes`` in this one alone. Nothing is left behind; what is
    wrong with a file is told when it is read."""
    content = _content(baseline) if processes > 1 and can_fork() else None
    with ExitStack() as stack:
        if content is None or content.mapped is None:
            yield Start(stack.enter_context(ahead((baseline, fixed))))
            return
        # Forked before there are threads.
        decoded = stack.enter_context(_decoding(content, content.mapped.memory))
        read, given = stack.enter_context(ahead((fixed,))), [content]

        def once(path: Path) -> FileBytes:
            if path == baseline:
                with suppress(IndexError):  # it was given
                    return given.pop()
            return read(path)

        yield Start(once, decoded)


def _content(path: Path) -> FileBytes | None:
    """The bytes of a file of a suitable size."""
    try:
        return read_file(path) if SMALLEST <= path.stat().st_size <= LARGEST else None
    except (OSError, ValueError, HpbuildError, MemoryError):  # it comes again, in its turn
        return None


@contextmanager
def _decoding(content: FileBytes, memory: memoryview) -> "Iterator[Callable[[FileBytes], tuple[Piece, ...]]]":
    from hpbuild.code.lengths import pieces, unpacked

    def work(way: Way) -> None:
        for piece in pieces(memory):
            octets = memoryview(piece.packed())
            while octets:
                octets = octets[file.write(octets) :]

    running: list[Forked] = []

    def end() -> None:
        while running:
            running.pop().end()

    def decoded(asked: FileBytes) -> "tuple[Piece, ...]":
        if asked is not content or not running:
            return ()
        end()
        file.seek(0)
        return tuple(unpacked(file.read()))

    with ExitStack() as stack:
        with suppress(OSError):  # no file in memory or no process to be had: it can do without
            file = stack.enter_context(FileIO(os.memfd_create("hpbuild"), "r+"))
            running.append(Forked(work))
            stack.callback(end)
        yield decoded
