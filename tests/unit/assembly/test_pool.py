"""Processes that end with the work they were started for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpbuild.assembly.pool import process_pool
from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


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
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def all_gone(processes: list[int]) -> bool:
    for _ in range(500):
        if all(gone(process) for process in processes):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_an_exception_ends_the_processes_at_once() -> None:
    processes: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        _interrupted(processes)
    assert len(processes) == 1
    assert all_gone(processes)


def _interrupted(processes: list[int]) -> None:
    with process_pool(2) as pool:
        processes.append(pool.submit(os.getpid).result())
        pool.submit(time.sleep, 600)
        pool.submit(time.sleep, 600)
        raise KeyboardInterrupt


ORPHANS = """
import os, time
from hpbuild.assembly.pool import process_pool
with process_pool(2) as pool:
    sleeping = [pool.submit(time.sleep, 600) for _ in range(2)]
    time.sleep(0.3)
    import multiprocessing
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nobody_outlives_the_parent(root: Path, how: signal.Signals) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", ORPHANS],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert run.stdout is not None
    children = [int(word) for word in run.stdout.readline().split()]
    assert len(children) == 2
    run.send_signal(how)
    run.wait(timeout=60)
    run.stdout.close()
    assert all_gone(children)
