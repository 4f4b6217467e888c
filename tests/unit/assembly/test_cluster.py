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

from hpbuild.assembly.cluster import cluster, trouble
from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError

pytest.importorskip("distributed")

WORKERS = 3
LOCAL = ("--host", "127.0.0.1", "--no-dashboard")

COMPARE = """
import json, os, signal, sys
from distributed import Client
from pathlib import Path
from hpbuild.assembly.work import Work
from hpbuild.pipeline import BuildRequest, DiffOptions, assemble, build, diff_modules

def main():
    address, baseline, fixed, deaths = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    watcher = Client(address, set_as_default=False)
    processes = watcher.run(os.getpid)
    killed = []

    def progress(stage, subject, done, total):
        busy = [worker for worker, keys in watcher.processing().items() if keys and worker in processes]
        if len(killed) < deaths and done and busy:
            killed.append(busy[0])
            os.kill(processes.pop(busy[0]), signal.SIGKILL)

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
    """A cluster: the address of its scheduler."""

    address: str


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


@pytest.fixture
def scheduler(tmp_path: Path, root: Path) -> Iterator[Scheduler]:
    file = tmp_path / "scheduler.json"
    process = start(root, "dask_scheduler", "--scheduler-file", str(file), "--port", "0", *LOCAL)
    try:
        for _ in range(600):
            if file.exists() and file.read_text().endswith("}"):
                break
            time.sleep(0.1)
        yield Scheduler(json.loads(file.read_text())["address"], file)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def running(tmp_path: Path, root: Path, scheduler: Scheduler) -> Iterator[Running]:
    processes = []
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
            )
            processes.append(
                start(root, "dask_worker", "--scheduler-file", str(scheduler.file), *options, *LOCAL)
            )
        yield Running(scheduler.address)
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
    run = subprocess.run(
        [sys.executable, "-c", COMPARE, running.address, *map(str, trees), "1"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"killed": 1, "modules": 6, "same": True, "package": True}


def refused(address: str) -> HpbuildError:
    with pytest.raises(HpbuildError) as caught, cluster(address):
        raise AssertionError("there is a cluster")
    return caught.value


def test_fail_no_scheduler_and_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpbuild.assembly.cluster.PATIENCE", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        for wrong in (address, "nonsense://x", "tcp://"):
            error = refused(wrong)
            assert error.code is codes.CLUSTER_UNREACHABLE
            assert error.finding.place == wrong


def test_fail_a_cluster_without_workers(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpbuild.assembly.cluster.PATIENCE", 1)
    error = refused(scheduler.address)
    assert error.code is codes.CLUSTER_UNREACHABLE
    assert error.finding.cause == "it has no workers"


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
