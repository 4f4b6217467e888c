"""Work that is done in a second process while this one goes on."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from hpbuild.assembly.beside import Line, beside
from hpbuild.plan.aside import Begun

G = TypeVar("G")
T = TypeVar("T")


@contextmanager
def aside(place: str, work: Callable[[Callable[[], G]], T]) -> Iterator[Begun[G, T]]:
    """Begin with ``work`` in a forked process: the block's value tells it what it asks for, and gives its
    result.

    Raises HpbuildError: what ``work`` raises, once the result is asked for; HP9021 at ``place`` when the
    process dies.
    """
    _give_back()
    with beside(partial(_send, work), place) as line:
        yield line.send, line.receive


def _send(work: Callable[[Callable[[], G]], object], line: Line) -> None:
    line.send(work(line.receive))


def _give_back() -> None:
    """Give memory that this process has, but does not use, back to the system, where that is glibc: after the
    fork each page of it would be copied as soon as something is written there."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
