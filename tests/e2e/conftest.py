"""The real command line in processes of its own, on the committed binaries."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpbuild.manifest.schema import validate

IDENTITY = ("--id", "T-1", "--sequence", 1, "--advisory", "CVE-2024-0001")
STATUSES = (0, 1, 2, 3, 4, 5, 6)
Runner = Callable[..., "Run"]


@dataclass(frozen=True, slots=True)
class Run:
    """What a process gave."""

    status: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        """The JSON document on stdout, checked against the schema that it names."""
        document: dict[str, Any] = json.loads(self.out)
        validate(document, document["schema"], "stdout")
        return document

    def error(self) -> tuple[int, str]:
        """Exit status and code of a run with --format json that has no result."""
        document = self.document()
        assert document["status"] == self.status
        return self.status, document["error"]["code"]


def command(*arguments: object) -> list[str]:
    """The argument vector of ``hpbuild ARGUMENTS``."""
    return [sys.executable, "-m", "hpbuild", *map(str, arguments)]


def heed_interruption() -> None:
    """In the child: background jobs of a shell are born with the signal ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(root: Path, cache: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of the tests without any setting of hpbuild."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HPBUILD_")}
    for name in ("SOURCE_DATE_EPOCH", "NO_COLOR", "TZ", "PYTHONDONTWRITEBYTECODE"):
        kept.pop(name, None)
    return {**kept, "PYTHONPATH": str(root), "PYTHONPYCACHEPREFIX": str(cache), "COLUMNS": "100", **more}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where processes keep compiled modules; without it each of them would compile all of hpbuild again."""
    return tmp_path_factory.mktemp("pycache")


@pytest.fixture(scope="session")
def hpbuild(root: Path, cache: Path) -> Runner:
    """Runs a command line. Whatever it is about, no defect and no traceback may come out."""

    def run(*arguments: object, env: Mapping[str, str] | None = None, **how: Any) -> Run:
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        done = subprocess.run(
            command(*arguments),
            text=True,
            check=False,
            timeout=900,
            env=environment(root, cache, env or {}),
            **how,
        )
        result = Run(done.returncode, done.stdout or "", done.stderr or "")
        assert result.status in STATUSES, result
        assert "Traceback" not in result.out + result.err
        return result

    return run


@pytest.fixture(scope="session")
def start(root: Path, cache: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts a command line whose stdout and stderr are read by the test."""

    def popen(*arguments: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command(*arguments),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(root, cache, {"PYTHONUNBUFFERED": "1"}),
            preexec_fn=heed_interruption if os.name == "posix" else None,
        )

    return popen


@dataclass(frozen=True, slots=True)
class Release:
    """One signed package, its keys and the files that it is for."""

    folder: Path

    @property
    def baseline(self) -> Path:
        return self.folder / "installed" / "codec.dll"

    @property
    def fixed(self) -> Path:
        return self.folder / "release" / "codec.dll"

    @property
    def package(self) -> Path:
        return self.folder / "codec.hpb"

    @property
    def key(self) -> Path:
        return self.folder / "k.key"

    @property
    def public(self) -> Path:
        return self.folder / "k.pub"


def copy_sides(binaries: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Both builds of the libraries ``names``, with their symbols, as ``installed`` and ``release``."""
    for side, target in (("baseline", "installed"), ("fixed", "release")):
        (folder / target).mkdir(parents=True)
        for name in names:
            for suffix in (".dll", ".pdb"):
                shutil.copy(binaries / side / (name + suffix), folder / target)


@pytest.fixture(scope="session")
def release(hpbuild: Runner, binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Made with the commands of the quick start. Tests only read it."""
    made = Release(tmp_path_factory.mktemp("release"))
    copy_sides(binaries, made.folder, ("codec",))
    stem = made.public.with_suffix("")
    steps: tuple[tuple[object, ...], ...] = (
        ("keys", "generate", "--algorithm", "ed25519", "--no-passphrase", "-o", stem),
        ("build", made.baseline, made.fixed, "-o", made.package, *IDENTITY),
        ("sign", made.package, "--key", f"file:{made.key}"),
    )
    for step in steps:
        done = hpbuild(*step)
        assert done.status == 0, done
    return made


@pytest.fixture
def work(release: Release, tmp_path: Path) -> Release:
    """A copy of the release that a test may change."""
    return Release(Path(shutil.copytree(release.folder, tmp_path / "work")))
