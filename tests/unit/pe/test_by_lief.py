"""LIEF's reading, and Ctrl-C while it is at work."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from hpbuild.pe.by_lief import interruption_held, read_by_lief

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

PRESSED_ALL_THE_TIME = """
import signal, sys
from hpbuild.pe.by_lief import read_by_lief
import concurrent.futures, enum, inspect, re, tempfile, typing
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
data = open(sys.argv[1], "rb").read()
try:
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    with read_by_lief(data) as (lief, binary):
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(binary is not None, flush=True)
except KeyboardInterrupt:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("interrupted", flush=True)
"""


@POSIX
def test_ctrl_c_does_not_abort_an_import(root: Path, binaries: Path) -> None:
    """Unless held, the process dies of SIGABRT or SIGSEGV while LIEF is imported."""
    arguments = [sys.executable, "-c", PRESSED_ALL_THE_TIME, str(binaries / "baseline" / "codec.dll")]
    run = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.splitlines()[-1:]) == (0, ["interrupted"]), run.stderr


def test_none_for_what_is_no_image() -> None:
    with read_by_lief(b"MZ" + bytes(100)) as (_, binary):
        assert binary is None


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
