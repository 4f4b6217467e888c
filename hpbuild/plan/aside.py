"""Work that may be begun before its result is needed: here it is done when that is asked for. Who can do it
meanwhile, elsewhere, gives ``decide`` another way."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

G = TypeVar("G")
T = TypeVar("T")
Begun = tuple[Callable[[G], None], Callable[[], T]]
"""To tell the work, once, what it asks for; and what gives its result, called once after that."""


class Aside(Protocol):
    """Begins with ``work``, which is given what it asks for when somebody has told it."""

    def __call__(self, work: Callable[[Callable[[], G]], T], /) -> AbstractContextManager[Begun[G, T]]:
        """Raises what ``work`` raises, at the latest when the result is asked for."""


@contextmanager
def at_hand(work: Callable[[Callable[[], G]], T]) -> Iterator[Begun[G, T]]:
    """Nothing is begun."""
    told: list[G] = []
    yield told.append, lambda: work(told.pop)
