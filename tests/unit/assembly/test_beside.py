"""A second process with all that the first has, and the way between them."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hpbuild.assembly.beside import Line, beside
from hpbuild.assembly.other_memory import copied
from hpbuild.code.model import U8
from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError
from tests.children import await_end, children, kill

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")

COLUMNS = (np.arange(100_000), np.zeros((3, 0), dtype=np.uint32), np.array([True, False]), np.arange(9)[::2])


def test_columns_arrive_as_they_were() -> None:
    def work(line: Line) -> None:
        line.send((COLUMNS, {"name": b"octets"}))
        line.send((os.getpid(), COLUMNS[::-1]))

    with beside(work, "a.dll") as line:
        first, name = line.receive()
        process, second = line.receive()
    assert name == {"name": b"octets"}
    assert process != os.getpid()
    for found, expected in zip((*first, *second), (*COLUMNS, *COLUMNS[::-1]), strict=True):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
        found[...] = 0  # they are this side's own, also when the process is gone
    assert not children()


@pytest.mark.parametrize("readable", [True, False])
def test_what_is_told_last_arrives_as_it_was(monkeypatch: pytest.MonkeyPatch, *, readable: bool) -> None:
    """Out of the other's memory, or where the system forbids that through the file."""
    monkeypatch.setattr("hpbuild.assembly.beside.copied", copied if readable else _forbidden)

    def work(line: Line) -> None:
        line.send(1)
        line.offer((os.getpid(), [column + column for column in COLUMNS]))
        line.offer("and another")
        line.settle()
        line.send("and the end")

    with beside(work, "a.dll") as line:
        assert line.receive() == 1
        process, found = line.receive()
        assert (line.receive(), line.receive()) == ("and another", "and the end")
    assert process != os.getpid()
    for column, expected in zip(found, COLUMNS, strict=True):
        assert column.dtype == expected.dtype
        assert np.array_equal(column, expected + expected)
        column[...] = 0
    assert not children()


def _forbidden(process: int, places: object) -> list[U8]:
    raise PermissionError(process, places)


@pytest.mark.parametrize("readable", [True, False])
def test_who_offers_goes_on(monkeypatch: pytest.MonkeyPatch, *, readable: bool) -> None:
    """Until the other side has time, or has to be sent it after all."""
    if not readable:
        monkeypatch.setattr("hpbuild.assembly.beside.copied", _forbidden)

    def work(line: Line) -> None:
        line.offer(["x" * (1 << 20), *COLUMNS])
        line.offer(time.monotonic())
        line.settle()

    with beside(work, "a.dll") as line:
        time.sleep(0.5)
        asked = time.monotonic()
        first, second = line.receive(), line.receive()
    assert len(first[0]) == 1 << 20
    assert all(map(np.array_equal, first[1:], COLUMNS))
    assert second < asked


def test_fail_a_process_that_dies_before_its_last_columns_are_copied() -> None:
    def work(line: Line) -> None:
        line.offer(COLUMNS)
        line.settle()

    def told(line: Line) -> object:
        assert select.select([line._way._into], [], [], 60)[0]  # it has told where they are
        (child,) = children()
        kill(child)
        return line.receive()

    with pytest.raises(HpbuildError) as caught, beside(work, "a.dll") as line:
        told(line)
    assert caught.value.code is codes.WORKER_LOST


def test_of_a_column_that_is_one_number_everywhere_the_number_is_told() -> None:
    def work(line: Line) -> None:
        line.send(np.broadcast_to(np.int64(7), 1 << 40))

    with beside(work, "a.dll") as line:
        found = line.receive()
    assert (found.shape, found.strides, found.dtype, found[1 << 39]) == ((1 << 40,), (0,), np.int64, 7)


def test_both_sides_speak_before_they_listen() -> None:
    def work(line: Line) -> None:
        line.send(big + 1)
        line.send(line.receive() * 2)

    big = np.arange(1 << 20)
    with beside(work, "a.dll") as line:
        line.send(big + 2)
        assert np.array_equal(line.receive(), big + 1)
        assert np.array_equal(line.receive(), 2 * (big + 2))


def test_what_this_process_knows_is_known_there() -> None:
    known = [np.arange(5)]
    with beside(lambda line: line.send(int(known[0].sum())), "a.dll") as line:
        known.clear()
        assert line.receive() == 10


def test_fail_work_that_refuses() -> None:
    def work(line: Line) -> None:
        line.send(1)
        raise HpbuildError(codes.WORKER_LOST, "b.dll", "something else")

    heard: list[int] = []
    with pytest.raises(HpbuildError) as caught, beside(work, "a.dll") as line:
        heard.extend(iter(line.receive, None))
    assert heard == [1]
    assert (caught.value.finding.place, caught.value.finding.cause) == ("b.dll", "something else")


def test_fail_work_that_refuses_before_it_listens() -> None:
    """What is sent to it afterwards does not hide why."""

    def work(line: Line) -> None:
        raise HpbuildError(codes.WORKER_LOST, "b.dll", "something else")

    def told(line: Line) -> object:
        for child in children():
            await_end(child)
        line.send(COLUMNS)
        line.send(COLUMNS)
        return line.receive()

    with pytest.raises(HpbuildError) as caught, beside(work, "a.dll") as line:
        told(line)
    assert (caught.value.finding.place, caught.value.finding.cause) == ("b.dll", "something else")


@pytest.mark.parametrize("when", ["at once", "with nothing to tell"])
def test_fail_a_process_that_dies(when: str) -> None:
    def work(line: Line) -> None:
        if when == "at once":
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(HpbuildError) as caught, beside(work, "a.dll") as line:
        line.receive()
    assert caught.value.code is codes.WORKER_LOST
    assert caught.value.finding.place == "a.dll"


def test_an_exception_ends_the_process() -> None:
    running: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        _interrupted(running)
    assert running == [1]
    assert not children()


def _interrupted(running: list[int]) -> None:
    with beside(lambda line: time.sleep(600), "a.dll"):
        running.append(len(children()))
        raise KeyboardInterrupt


ORPHAN = """
import time
from hpbuild.assembly.beside import beside
from tests.children import children
with beside(lambda line: time.sleep(600), "a.dll"):
    print(children()[0], flush=True)
    time.sleep(600)
"""


def test_the_process_does_not_outlive_this_one(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, cwd=root) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    await_end(child)


@pytest.mark.parametrize("error", [ZeroDivisionError("for a test"), MemoryError()])
def test_what_ends_the_work_is_raised_here(error: Exception) -> None:
    """A defect is told as one, and so is a lack of memory."""

    def work(line: Line) -> None:
        raise error

    with pytest.raises(type(error)) as caught, beside(work, "a.dll") as line:
        line.receive()
    assert caught.value.args == error.args
    assert not children()


def test_fail_an_error_that_cannot_be_told() -> None:
    def work(line: Line) -> None:
        raise ValueError(lambda: None)

    with pytest.raises(HpbuildError) as caught, beside(work, "a.dll") as line:
        line.receive()
    assert caught.value.code is codes.WORKER_LOST


def test_what_is_sent_does_not_wait_for_the_other_side() -> None:
    """However much of it is no column."""

    def work(line: Line) -> None:
        line.send(text)
        line.send(line.receive())

    text = ["x" * 1000 + str(number) for number in range(1000)]
    with beside(work, "a.dll") as line:
        line.send(text[::-1])
        assert line.receive() == text
        assert line.receive() == text[::-1]
