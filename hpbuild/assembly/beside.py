"""Half of a work in a second process, with everything that this one knows: both go on at once and tell each
other what they find.

What is told travels as columns, never through a pipe: through a file in memory that the other side maps; or,
what is told last, from the one's memory into the other's.
"""

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO, FileIO
from mmap import ACCESS_COPY, PAGESIZE, mmap
from typing import Any

import numpy as np

from hpbuild.assembly.forked import Forked, Way
from hpbuild.assembly.other_memory import copied, place_of
from hpbuild.codes import work as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError

_ALIGNED = 64
"""Columns begin at multiples of so many bytes."""


@dataclass(frozen=True, slots=True)
class _InFile:
    """A pickled value, and its columns: at ``places`` (first byte, end) of ``size`` bytes of the file."""

    begin: int
    size: int
    places: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _InMemory:
    """A pickled value, and its columns: at ``places`` (address, size) of the memory of ``process``."""

    process: int
    places: list[tuple[int, int]]


class Line:
    """One end of the way between two processes: values go in at one end and come out at the other."""

    def __init__(self, way: Way, out: FileIO, into: FileIO) -> None:
        self._way, self._out, self._into = way, out, into
        self._offered: list[tuple[object, list[memoryview]]] = []

    def send(self, value: object) -> None:
        """Send a value that can be pickled. Does not wait for the other side, for what goes through the pipe
        is short: where that has ended, it is ``receive`` that tells why."""
        head, columns = _apart(value)
        begin = at = -(-os.fstat(self._out.fileno()).st_size // PAGESIZE) * PAGESIZE
        places = []
        for octets in (memoryview(head), *columns):
            places.append((at - begin, at - begin + octets.nbytes))
            self._out.seek(at)
            at += -(-octets.nbytes // _ALIGNED) * _ALIGNED
            while octets:
                octets = octets[self._out.write(octets) :]
        self._out.truncate(at + PAGESIZE)
        with suppress(ConnectionError):
            self._way.send(_InFile(begin, at + PAGESIZE - begin, places))

    def offer(self, value: object) -> None:
        """Tell the other side of a value of the forked process that it can copy from there: nobody may change
        its columns, or send something else, before ``settle``."""
        head, columns = _apart(value)
        columns.insert(0, memoryview(head))
        self._offered.append((value, columns))
        self._way.send(_InMemory(os.getpid(), list(map(place_of, columns))))

    def settle(self) -> None:
        """Wait until the other side has all that was offered; what it may not copy goes through the file.

        Raises EOFError or ConnectionError when the other process has ended."""
        for value, _ in self._offered:
            if not self._way.receive():
                self.send(value)
        self._offered.clear()

    def receive(self) -> Any:
        """Wait for a value. Its columns may be changed here.

        Raises EOFError or ConnectionError when the other process has ended, and what its work raised when
        that ended it."""
        message = self._told()
        if isinstance(message, _InMemory):
            try:
                head, *columns = copied(message.process, message.places)
            except OSError:
                while isinstance(message, _InMemory):  # others may be offered before this one is sent
                    self._way.send(False)
                    message = self._told()
            else:
                self._way.send(True)
                return pickle.loads(head.data, buffers=columns)  # noqa: S301 - from the other half of this work
        view = memoryview(mmap(self._into.fileno(), message.size, access=ACCESS_COPY, offset=message.begin))
        pickled, *parts = (view[low:high] for low, high in message.places)
        return pickle.loads(pickled, buffers=parts)  # noqa: S301 - as above

    def _told(self) -> Any:
        message = self._way.receive()
        if isinstance(message, Exception):
            raise message
        return message


class _Apart(pickle.Pickler):
    """Pickles a value without the columns in it: of what is one number everywhere, that number is kept."""

    def reducer_override(self, value: object) -> Any:
        if type(value) is np.ndarray and value.size and not any(value.strides):
            return np.broadcast_to, (value.flat[0], value.shape)
        return NotImplemented


def _apart(value: object) -> tuple[bytes, list[memoryview]]:
    """A value as it is pickled, and the columns in it."""
    columns: list[pickle.PickleBuffer] = []
    head = BytesIO()
    _Apart(head, protocol=5, buffer_callback=columns.append).dump(value)
    return head.getvalue(), [column.raw() for column in columns]


@contextmanager
def beside(work: Callable[[Line], None], place: str) -> Iterator[Line]:
    """Begin with ``work`` in a forked process; both have an end of a line to each other. The process ends
    with the block, however that is left, and with this process.

    Raises what ``work`` raises, once something is received; HpbuildError HP9021 at ``place`` when the process
    dies.
    """
    with ExitStack() as stack:
        up, down = (stack.enter_context(_file()) for _ in range(2))
        process = Forked(lambda way: work(Line(way, up, down)))
        stack.callback(process.end)
        try:
            yield Line(process.way, down, up)
        except (EOFError, ConnectionError):
            cause = "the process that analysed it was ended from outside"
            raise HpbuildError(codes.WORKER_LOST, place, cause) from None


def _file() -> FileIO:
    """A file without a name, in memory."""
    return FileIO(os.memfd_create("hpbuild"), "r+")
