"""Processes that end with the work they were started for."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from hpbuild.assembly.pool import process_pool
from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
PATIENCE = 300
"""Seconds to wait for what is bound to come."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_is_done_in_another_process() -> None:
    with process_pool(1) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()


@posix
def test_fail_a_process_that_dies() -> None:
    with pytest.raises(HpbuildError) as caught, process_pool(1, "a.dll") as pool:
        pool.submit(die).result()
    assert caught.value.code is codes.WORKER_LOST
    assert caught.value.finding.place == "a.dll"
    assert caught.value.code.remedy


def gone(process: int) -> bool:
    """Whether no such process runs any more (one that nobody waits for yet counts as gone)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # the second when it ends between opening and reading
        return True


def all_gone(processes: list[int]) -> bool:
    end = time.monotonic() + PATIENCE
    while not all(gone(process) for process in processes):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("begun", [True, False])
def test_an_exception_ends_the_processes_at_once(begun: bool) -> None:
    """Also those that have not taken up any work yet."""
    before = set(active_children())
    processes: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        _interrupted(processes, before, begun)
    assert len(processes) == 2
    assert all_gone(processes)


def _interrupted(processes: list[int], before: set[BaseProcess], begun: bool) -> None:
    with process_pool(2) as pool:
        processes += [child.pid for child in set(active_children()) - before if child.pid is not None]
        if begun:
            pool.submit(os.getpid).result()
        for _ in range(4):
            pool.submit(time.sleep, 600)
        raise KeyboardInterrupt


ORPHANS = """
import multiprocessing, os, time
from hpbuild.assembly.pool import process_pool
with process_pool(2) as pool:
    sleeping = [pool.submit(time.sleep, 600) for _ in range(2)]
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nobody_outlives_the_parent(root: Path, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as run:
        try:
            assert run.stdout is not None
            children = [int(word) for word in run.stdout.readline().split()]
            assert len(children) == 2
            run.send_signal(how)
            run.wait(timeout=PATIENCE)
        finally:
            run.kill()
    assert all_gone(children)
