"""A forked process, and messages to and from it."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from hpbuild.assembly.forked import Forked, Way, can_fork
from tests.children import await_end, children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")


def test_values_go_both_ways() -> None:
    """Also those that no pipe holds at once."""

    def work(way: Way) -> None:
        for _ in range(2):
            way.send((os.getpid(), way.receive()))

    process = Forked(work)
    for value in ({"a": [1, None]}, b"x" * (1 << 20)):
        process.way.send(value)
        assert process.way.receive() == (process.pid, value)
    process.end()
    assert not children()


def test_the_end_of_the_work_is_heard() -> None:
    process = Forked(lambda way: way.send(1))
    assert process.way.receive() == 1
    with pytest.raises(EOFError):
        process.way.receive()
    await_end(process.pid)
    with pytest.raises(BrokenPipeError):
        process.way.send(2)
    process.end()
    assert not children()


def test_what_it_raises_is_the_last_that_it_sends() -> None:
    def work(way: Way) -> None:
        way.send(1)
        raise KeyError(2)

    process = Forked(work)
    assert process.way.receive() == 1
    error = process.way.receive()
    assert (type(error), error.args) == (KeyError, (2,))
    process.end()


def test_whatever_it_does_it_is_ended() -> None:
    before = _files()
    process = Forked(lambda way: time.sleep(600))
    assert children() == [process.pid]
    process.end()
    assert not children()
    assert _files() == before


def test_ctrl_c_is_not_for_it() -> None:
    def work(way: Way) -> None:
        way.send(0)
        way.send(way.receive())

    process = Forked(work)
    assert process.way.receive() == 0
    os.kill(process.pid, signal.SIGINT)
    process.way.send("still there")
    assert process.way.receive() == "still there"
    process.end()


def test_a_child_that_somebody_else_waited_for_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be another's by then."""
    killed: list[int] = []
    before = _files()
    process = Forked(lambda way: None)
    os.waitpid(process.pid, 0)
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
    process.end()
    assert not killed
    assert _files() == before


def test_ctrl_c_during_the_fork_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heard when there is a process already."""
    before, fork = _files(), os.fork

    def pressed() -> int:
        process = fork()
        if process:
            os.kill(os.getpid(), signal.SIGINT)
        return process

    monkeypatch.setattr(os, "fork", pressed)
    with pytest.raises(KeyboardInterrupt):
        Forked(lambda way: time.sleep(600))
    assert not children()
    assert _files() == before


def _files() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


ORPHAN = """
import time
from hpbuild.assembly.forked import Forked
first, second = (Forked(lambda way: time.sleep(600)) for _ in range(2))
print(first.pid, second.pid, flush=True)
time.sleep(600)
"""


def test_none_outlives_this_one(root: Path) -> None:
    """Nor does one that was forked before another keep that alive."""
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, cwd=root) as parent:
        assert parent.stdout is not None
        processes = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
        parent.wait()
    assert len(processes) == 2
    for process in processes:
        await_end(process)


def _answer(answers: "object") -> None:
    answers.put(can_fork())  # type: ignore[attr-defined]


def test_none_is_begun_where_processes_may_have_no_children() -> None:
    assert can_fork()
    context = get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=_answer, args=(answers,), daemon=True)
    process.start()
    assert answers.get() is False
    process.join()
