"""--jobs, the cache and --dask on the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild.codes import cli as codes
from hpbuild.codes import work as work_codes
from hpbuild.errors import ExitStatus

Runner = Callable[..., Any]


@pytest.fixture
def trees(tmp_path: Path, binaries: Path) -> tuple[Path, Path]:
    """Two releases with two modules that differ."""
    for side in ("baseline", "fixed"):
        folder = tmp_path / side
        folder.mkdir()
        shutil.copy(binaries / side / "codec.dll", folder / "codec.dll")
        shutil.copy(binaries / "variants" / "pad_jump" / side / "gadget.dll", folder / "gadget.dll")
    return tmp_path / "baseline", tmp_path / "fixed"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache, which is not there yet."""
    path = tmp_path / "kept"
    monkeypatch.setenv("HPBUILD_CACHE", str(path))
    return path


def test_a_second_diff_comes_from_the_cache(hpbuild: Runner, trees: tuple[Path, Path], folder: Path) -> None:
    plain = hpbuild("diff", *trees, "--format", "json", "--no-cache", "--jobs", 1)
    assert plain.document()["verdict"] == "hotpatchable"
    assert not folder.exists()
    first = hpbuild("diff", *trees, "--format", "json", "-j", 1, "-v")
    second = hpbuild("diff", *trees, "--format", "json", "-j", 1, "-v")
    assert first.out == second.out == plain.out
    assert "compare codec.dll" in first.err
    assert second.err == ""
    assert len(list(folder.iterdir())) == 6


def test_the_folder_is_found_without_a_variable(
    hpbuild: Runner, trees: tuple[Path, Path], tmp_path: Path
) -> None:
    assert hpbuild("diff", *trees).status == 0
    assert list((tmp_path / "caches" / "hpbuild").iterdir())


def test_the_environment_turns_the_cache_off(
    hpbuild: Runner, trees: tuple[Path, Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPBUILD_NO_CACHE", "1")
    assert hpbuild("diff", *trees).status == 0
    monkeypatch.delenv("HPBUILD_NO_CACHE")
    monkeypatch.setenv("HPBUILD_CACHE_SIZE", "0")
    run = hpbuild("diff", *trees, "-v")
    assert run.status == 0
    assert "no cache: " in run.err
    assert not folder.exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_folder_that_others_may_use_is_left_alone(
    hpbuild: Runner, trees: tuple[Path, Path], folder: Path
) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    run = hpbuild("diff", *trees, "-v")
    assert run.status == 0
    assert "its mode is 755" in run.err
    assert list(folder.iterdir()) == []


def test_prove_and_rebuild_use_no_cache(
    hpbuild: Runner, trees: tuple[Path, Path], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.hpb"
    arguments = ("build", *trees, "-o", out, "--id", "X-1", "--sequence", 1)
    assert hpbuild(*arguments).status == 0
    assert folder.exists()
    first = out.read_bytes()
    shutil.rmtree(folder)
    assert hpbuild("prove", out, "--baseline", trees[0], "--fixed", trees[1], "-j", 2).status == 0
    assert hpbuild("rebuild", "--check", out, *trees, "--jobs", 2).status == 0
    assert not folder.exists()
    assert hpbuild(*arguments, "--no-cache", "--jobs", 1).status == 0
    assert out.read_bytes() == first
    assert not folder.exists()


@pytest.mark.parametrize("size", ["much", "-1", "1.5", "9" * 30])
def test_fail_a_size_that_is_none(
    hpbuild: Runner, trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    monkeypatch.setenv("HPBUILD_CACHE_SIZE", size)
    run = hpbuild("diff", *trees)
    assert run.status == ExitStatus.USAGE
    assert codes.BAD_ENVIRONMENT.id in run.err
    assert "HPBUILD_CACHE_SIZE" in run.err


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_fail_a_number_of_jobs_that_is_none(hpbuild: Runner, trees: tuple[Path, Path], jobs: str) -> None:
    run = hpbuild("diff", *trees, "--jobs", jobs)
    assert run.status == ExitStatus.USAGE
    assert codes.USAGE.id in run.err


def test_fail_a_cluster_that_is_not_there(hpbuild: Runner, trees: tuple[Path, Path]) -> None:
    pytest.importorskip("distributed")
    run = hpbuild("diff", *trees, "--dask", "nonsense://x", "--format", "json")
    assert run.status == work_codes.CLUSTER_UNREACHABLE.exit
    assert work_codes.CLUSTER_UNREACHABLE.id in json.dumps(run.document())


SLOW = """
import os, sys, time
from hpbuild.assembly import examining
def sleep(*_):
    os.write(1, b"begun\\n")
    time.sleep(600)
examining.load_pair = lambda *_, **__: sleep()
sys.argv[0] = "hpbuild"
from hpbuild.cli.main import run
run()
"""


PATIENCE = 300
"""Seconds to wait for what is bound to come."""


def children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(word) for word in text.split()]


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # the second when it ends between opening and reading
        return True


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("terminal", [False, True])
def test_ctrl_c_ends_all_processes(trees: tuple[Path, Path], root: Path, terminal: bool) -> None:
    """A ``terminal`` sends the signal to all of them."""
    arguments = [sys.executable, "-c", SLOW, "diff", *map(str, trees), "--jobs", "2", "--no-cache"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        arguments, cwd=root, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as run:
        try:
            assert run.stdout is not None
            assert [run.stdout.readline() for _ in range(2)] == ["begun\n", "begun\n"]
            workers = children(run.pid)
            assert len(workers) == 2
            (os.killpg if terminal else os.kill)(run.pid, signal.SIGINT)
            _, err = run.communicate(timeout=PATIENCE)
        finally:
            run.kill()
    assert run.returncode == codes.INTERRUPTED.exit
    assert codes.INTERRUPTED.id in err
    assert "Traceback" not in err
    end = time.monotonic() + PATIENCE
    while not all(gone(worker) for worker in workers):
        assert time.monotonic() < end, "a process goes on"
        time.sleep(0.02)
