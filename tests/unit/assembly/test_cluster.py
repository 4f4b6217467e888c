"""A Dask cluster on this machine: a scheduler and workers that are processes of their own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpbuild.assembly.cluster import trouble
from hpbuild.codes import work as codes

pytest.importorskip("distributed")

WORKERS = 3
LOCAL = ("--host", "127.0.0.1", "--no-dashboard")

PATIENCE = 300
"""Seconds to wait for what is bound to come."""

GATE = """
import os, time
from pathlib import Path
from hpbuild.assembly import spreading
folder = Path({folder!r})
ungated = getattr(spreading.answer, "ungated", spreading.answer)  # Dask loads this more than once
def answer(*arguments):
    try:
        os.close(os.open(folder / "first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        while not (folder / "open").exists():
            time.sleep(0.02)
    return ungated(*arguments)
answer.ungated = ungated
spreading.answer = answer
"""
"""What a worker loads: one job is done, all others wait for a file."""

COMPARE = """
import json, os, signal, sys, time
from distributed import Client
from pathlib import Path
from hpbuild.assembly import cluster
from hpbuild.assembly.work import Work
from hpbuild.pipeline import BuildRequest, DiffOptions, assemble, build, diff_modules

def main():
    address, baseline, fixed, opened = sys.argv[1], *map(Path, sys.argv[2:5])
    workers, patience = int(sys.argv[5]), int(sys.argv[6])
    cluster.PATIENCE = cluster.PATIENCE_FOR_WORKERS = patience
    watcher = Client(address, set_as_default=False, timeout=patience)
    watcher.wait_for_workers(workers, timeout=patience)
    processes = watcher.run(os.getpid)
    killed = []

    def progress(stage, subject, done, total):
        while done and not killed:
            busy = [worker for worker, keys in watcher.processing().items() if keys and worker in processes]
            if busy:
                killed.append(busy[0])
                os.kill(processes.pop(busy[0]), signal.SIGKILL)
                opened.touch()
            time.sleep(0.02)

    there = diff_modules(baseline, fixed, DiffOptions(), progress, Work(dask=address))
    request = BuildRequest(baseline=baseline, fixed=fixed, id="x", sequence=1, product="X", advisories=(),
                           created="2025-01-31T12:00:00Z")
    built = build(request, lambda *_: None, Work(dask=address))
    same = there == diff_modules(baseline, fixed, DiffOptions(), lambda *_: None)
    again = assemble(built) == assemble(build(request, lambda *_: None))
    watcher.close()
    print(json.dumps({"killed": len(killed), "modules": len(there), "same": same, "package": again}))

if __name__ == "__main__":
    main()
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A cluster: the address of its scheduler, and the file that its workers wait for after the first job."""

    address: str
    opened: Path


def start(root: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{program}", *arguments],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A scheduler without workers: its address, and the file that tells workers about it."""

    address: str
    file: Path


def address_in(file: Path) -> str | None:
    """The scheduler's address, None until it is written."""
    try:
        address: str = json.loads(file.read_text())["address"]
    except (FileNotFoundError, ValueError):
        return None
    return address


@pytest.fixture
def scheduler(tmp_path: Path, root: Path) -> Iterator[Scheduler]:
    file = tmp_path / "scheduler.json"
    process = start(root, "dask_scheduler", "--scheduler-file", str(file), "--port", "0", *LOCAL)
    try:
        end = time.monotonic() + PATIENCE
        while (address := address_in(file)) is None:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        yield Scheduler(address, file)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def running(tmp_path: Path, root: Path, scheduler: Scheduler) -> Iterator[Running]:
    processes = []
    gate = tmp_path / "gate.py"
    gate.write_text(GATE.format(folder=str(tmp_path)))
    try:
        for number in range(WORKERS):
            folder = tmp_path / f"worker{number}"
            options = (
                "--no-nanny",
                "--nthreads",
                "1",
                "--local-directory",
                str(folder),
                "--memory-limit",
                "0",
                "--preload",
                str(gate),
            )
            processes.append(
                start(root, "dask_worker", "--scheduler-file", str(scheduler.file), *options, *LOCAL)
            )
        yield Running(scheduler.address, tmp_path / "open")
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def trees(tmp_path: Path, binaries: Path) -> tuple[Path, Path]:
    """Two releases of six modules that differ."""
    for side in ("baseline", "fixed"):
        for number in range(3):
            folder = tmp_path / side / str(number)
            folder.mkdir(parents=True)
            for name in ("codec.dll", "codec.pdb"):
                shutil.copy(binaries / side / name, folder / name)
            shutil.copy(binaries / "variants" / "pad_jump" / side / "gadget.dll", folder / "gadget.dll")
    return tmp_path / "baseline", tmp_path / "fixed"


def test_a_worker_that_is_killed_changes_nothing(
    running: Running, trees: tuple[Path, Path], root: Path
) -> None:
    arguments = [running.address, *map(str, (*trees, running.opened, WORKERS, PATIENCE))]
    run = subprocess.run(
        [sys.executable, "-c", COMPARE, *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * PATIENCE,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"killed": 1, "modules": 6, "same": True, "package": True}


ENTER = """
import json, sys
from hpbuild.assembly import cluster
from hpbuild.errors import HpbuildError
setattr(cluster, sys.argv[1], 1)
for address in sys.argv[2:]:
    try:
        with cluster.cluster(address):
            print(json.dumps(["", address, "there is a cluster"]))
    except HpbuildError as error:
        print(json.dumps([error.code.id, error.finding.place, error.finding.cause]))
"""


def refused(root: Path, impatient: str, *addresses: str) -> list[tuple[str, str, str]]:
    """Code, place and cause of each refusal. In a process of its own: Dask leaves threads behind, in which
    later tests would fork. ``impatient`` names the constant that is 1 second."""
    run = subprocess.run(
        [sys.executable, "-c", ENTER, impatient, *addresses],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [tuple(json.loads(line)) for line in run.stdout.splitlines()]


def test_fail_no_scheduler_and_no_address(root: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        wrong = [f"tcp://127.0.0.1:{free.getsockname()[1]}", "nonsense://x", "tcp://"]
        found = refused(root, "PATIENCE", *wrong)
    assert [row[:2] for row in found] == [(codes.CLUSTER_UNREACHABLE.id, place) for place in wrong]


def test_fail_a_cluster_without_workers(scheduler: Scheduler, root: Path) -> None:
    (found,) = refused(root, "PATIENCE_FOR_WORKERS", scheduler.address)
    assert found == (codes.CLUSTER_UNREACHABLE.id, scheduler.address, "it has no workers")


WITHOUT = """
import sys
sys.modules["distributed"] = None
from hpbuild.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_fail_without_dask(trees: tuple[Path, Path], root: Path) -> None:
    arguments = ["diff", *map(str, trees), "--no-cache", "--dask", "tcp://127.0.0.1:1"]
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == codes.CLUSTER_MISSING.exit
    assert codes.CLUSTER_MISSING.id in run.stderr
    assert "hpbuild[dask]" in run.stderr


class KilledWorker(Exception):
    """As Dask calls what it raises when a task's workers died again and again."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KilledWorker("x"), codes.WORKER_LOST),
        (CancelledError(), codes.CLUSTER_UNREACHABLE),
        (ImportError("no hpbuild"), codes.CLUSTER_DIFFERS),
        (RuntimeError("deserialization"), codes.CLUSTER_DIFFERS),
    ],
)
def test_troubles_of_a_cluster_have_codes(error: Exception, code: object) -> None:
    found = trouble(error)
    assert found is not None
    assert found[0] is code


def test_troubles_of_a_module_are_its_own() -> None:
    assert trouble(MemoryError()) is None
    assert trouble(FileNotFoundError(2, "no such file", "a.dll")) is None
