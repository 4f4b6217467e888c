"""Ctrl-C held back for a moment in which it must not be heard."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruption_held() -> Iterator[None]:
    """What SIGINT would do is done when the block is left, once. A process that is forked in the block hears
    of it nothing that its parent would do, until it says itself what it wants. Outside of the main thread,
    where Python handles no signals, and under a handler that is not Python's, nothing is to be held."""
    before = signal.getsignal(signal.SIGINT)
    pressed: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        pressed.append(number)

    try:
        if callable(before):
            signal.signal(signal.SIGINT, remember)
    except ValueError:  # not the main thread
        before = None
    try:
        yield
    finally:
        if callable(before):
            signal.signal(signal.SIGINT, before)
            if pressed:
                before(signal.SIGINT, None)
