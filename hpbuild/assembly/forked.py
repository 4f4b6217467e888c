"""A forked process, and messages to and from it. ``multiprocessing`` can do more, and takes longer to import
than half of a small image to decode."""

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from hpbuild.interruption import interruption_held

_SIZE = 8
"""Bytes of the number in front of a message that tells how many it has."""


def can_fork() -> bool:
    """Whether a process may be forked here: not in one of multiprocessing that may have no children."""
    known = sys.modules.get("multiprocessing.process")
    return sys.platform == "linux" and not (known and known.current_process().daemon)


class Way:
    """One end of the way between two processes."""

    __slots__ = ("_into", "_out")

    def __init__(self, into: int, out: int) -> None:
        """``into``, ``out``: the pipes to read from and to write to, which this end closes."""
        self._into, self._out = os.fdopen(into, "rb"), out

    def send(self, value: object) -> None:
        """Send a value that can be pickled. Raises BrokenPipeError when the other process has ended."""
        octets = pickle.dumps(value, protocol=5)
        left = memoryview(len(octets).to_bytes(_SIZE, "little") + octets)
        while left:
            left = left[os.write(self._out, left) :]

    def receive(self) -> Any:
        """Wait for a value. Raises EOFError when the other process has ended."""
        size = int.from_bytes(self._exactly(_SIZE), "little")
        return pickle.loads(self._exactly(size))  # noqa: S301 - from the other half of this work

    def _exactly(self, size: int) -> bytes:
        octets = self._into.read(size)
        if len(octets) < size:
            raise EOFError("the other process has ended")
        return octets

    def close(self) -> None:
        """The other end hears that this one has."""
        self._into.close()
        os.close(self._out)


class Forked:
    """A process with everything that this one has, begun with ``work``, which gets its end of the way. It is
    deaf to Ctrl-C, which is this one's to handle, and does not outlive it."""

    def __init__(self, work: Callable[[Way], None]) -> None:
        """Raises OSError when there are no processes or files to be had."""
        self._stack, self.pid = ExitStack(), 0
        try:
            here, up = self._pipe()
            down, there = self._pipe()
            alive, self._mark = self._pipe()
            with interruption_held():  # until the process is deaf to it by itself
                self.pid = os.fork()
                if not self.pid:
                    _work(work, (down, up), (here, there, self._mark), alive)
        except BaseException:  # Ctrl-C while it was forked is heard behind that
            if self.pid:
                self._reap()
            self._stack.close()
            raise
        self._stack.pop_all()
        for other in (up, down, alive):
            os.close(other)
        self.way = Way(here, there)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        for end in ends:
            self._stack.callback(os.close, end)
        return ends

    def end(self) -> None:
        """End the process, whatever it does, and wait for that."""
        self._reap()
        os.close(self._mark)
        self.way.close()

    def _reap(self) -> None:
        with suppress(ChildProcessError):  # somebody waits for all children of this process
            ended, _ = os.waitpid(self.pid, os.WNOHANG)
            if not ended:  # else its number may be another's
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)


def _work(work: Callable[[Way], None], ours: tuple[int, int], theirs: tuple[int, ...], alive: int) -> None:
    """In the forked process, which ends here. What it raises is the last that it sends."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for end in theirs:
            os.close(end)
        threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
        way = Way(*ours)
        try:
            work(way)
        except (EOFError, ConnectionError):
            pass  # nobody waits for it any more
        except Exception as error:  # noqa: BLE001 - raised where it is received
            way.send(error)
    finally:
        os._exit(0)  # what came of it was sent, or not


def _end_with(alive: int) -> None:
    """Wait until nobody holds the other end of the pipe ``alive``, and end this process."""
    os.read(alive, 1)
    os._exit(0)
