"""Ctrl-C that waits until a block is left."""

import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from hpbuild.interruption import interruption_held


def test_the_block_is_done_before_the_interruption(heard: list[int]) -> None:
    done = False
    with interruption_held():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert heard == []
        done = True
    assert done
    assert heard == [signal.SIGINT]
    signal.raise_signal(signal.SIGINT)
    assert heard == [signal.SIGINT] * 2


def test_the_usual_handler_interrupts() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interruption_held():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_who_ignores_it_goes_on_ignoring() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruption_held():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_holds_nothing(heard: list[int]) -> None:
    handlers = []

    def work() -> None:
        with interruption_held():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    assert handlers == [before]
    assert heard == []


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """The interruptions that a handler of the test was told of."""
    numbers: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        numbers.append(number)

    before = signal.signal(signal.SIGINT, note)
    yield numbers
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forked processes")
def test_a_forked_process_raises_nothing() -> None:
    """As long as it has not said what it wants."""
    with interruption_held():
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGINT)
            os._exit(7)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
