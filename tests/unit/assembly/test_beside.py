"""A second process with all that the first has, and the way between them."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest

from hpbuild.assembly.beside import Line, beside, can_fork
from hpbuild.assembly.other_memory import copied
from hpbuild.code.model import U8
from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError

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
    assert not active_children()


@pytest.mark.parametrize("readable", [True, False])
def test_what_is_told_last_arrives_as_it_was(monkeypatch: pytest.MonkeyPatch, *, readable: bool) -> None:
    """Out of the other's memory, or where the system forbids that through the file."""
    monkeypatch.setattr("hpbuild.assembly.beside.copied", copied if readable else _forbidden)

    def work(line: Line) -> None:
        line.send(1)
        line.hand_over((os.getpid(), [column + column for column in COLUMNS]))

    with beside(work, "a.dll") as line:
        assert line.receive() == 1
        process, found = line.receive()
    assert process != os.getpid()
    for column, expected in zip(found, COLUMNS, strict=True):
        assert column.dtype == expected.dtype
        assert np.array_equal(column, expected + expected)
        column[...] = 0
    assert not active_children()


def _forbidden(process: int, places: object) -> list[U8]:
    raise PermissionError(process, places)


def test_fail_a_process_that_dies_before_its_last_columns_are_copied() -> None:
    def told(line: Line) -> object:
        assert line._connection.poll(60)  # it has told where they are
        (child,) = active_children()
        child.kill()
        child.join()  # until then its memory may still be there
        return line.receive()

    with pytest.raises(HpbuildError) as caught, beside(lambda line: line.hand_over(COLUMNS), "a.dll") as line:
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
        for child in active_children():
            child.join()
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
    assert not active_children()


def _interrupted(running: list[int]) -> None:
    with beside(lambda line: time.sleep(600), "a.dll"):
        running.append(len(active_children()))
        raise KeyboardInterrupt


ORPHAN = """
import multiprocessing, time
from hpbuild.assembly.beside import beside
with beside(lambda line: time.sleep(600), "a.dll"):
    print(multiprocessing.active_children()[0].pid, flush=True)
    time.sleep(600)
"""


def test_the_process_does_not_outlive_this_one(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, cwd=root) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    for _ in range(500):
        try:
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.02)
    pytest.fail("it goes on")


def test_none_is_begun_where_processes_may_have_no_children() -> None:
    assert can_fork()

    def work(line: Line) -> None:
        line.send(can_fork())

    with beside(work, "a.dll") as line:
        assert line.receive() is False
