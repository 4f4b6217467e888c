"""Work that may be begun before its result is needed: here it is done when that is asked for. Who can do it
meanwhile, elsewhere, gives ``decide`` another way."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Aside(Protocol):
    """Begins with ``work``; what comes out of the block's value, called once, is its result."""

    def __call__(self, work: Callable[[], T], /) -> AbstractContextManager[Callable[[], T]]:
        """Raises what ``work`` raises, at the latest when the result is asked for."""


@contextmanager
def at_hand(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Nothing is begun."""
    yield work
