"""Work that is done in a second process while this one goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from hpbuild.assembly.beside import Line, beside

T = TypeVar("T")


@contextmanager
def aside(place: str, work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Begin with ``work`` in a forked process: what the block's value gives, called once, is its result.

    Raises HpbuildError: what ``work`` raises, once the result is asked for; HP9021 at ``place`` when the
    process dies.
    """
    with beside(partial(_send, work), place) as line:
        yield line.receive


def _send(work: Callable[[], object], line: Line) -> None:
    line.send(work())
