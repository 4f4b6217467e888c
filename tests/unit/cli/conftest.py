"""The command line, run inside this process or in its own, and packages to run it on."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hpbuild.cli.main import main
from hpbuild.manifest.schema import validate

ENTRY = "import sys; sys.argv[0] = 'hpbuild'; from hpbuild.cli.main import run; run()"


@dataclass(frozen=True, slots=True)
class Run:
    """What a command gave."""

    status: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        """The JSON document on stdout, checked against the schema that it names."""
        document = json.loads(self.out)
        validate(document, document["schema"], "stdout")
        return document


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("HPBUILD_") or name == "_HPBUILD_COMPLETE"]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


@pytest.fixture
def hpbuild(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Runs a command line in this process."""

    def run(*arguments: object) -> Run:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Run(status, captured.out, captured.err)

    return run


@pytest.fixture
def process(root: Path) -> Callable[..., Run]:
    """Runs a command line in a process of its own, whose exit status is the real one."""

    def run(*arguments: object, env: Mapping[str, str] | None = None, **how: Any) -> Run:
        done = subprocess.run(
            [sys.executable, "-c", ENTRY, *map(str, arguments)],
            capture_output="stdout" not in how,
            text=True,
            check=False,
            timeout=600,
            stdin=how.pop("stdin", subprocess.DEVNULL),
            env={**os.environ, "PYTHONPATH": str(root), **(env or {})},
            **({"stderr": subprocess.PIPE} if "stdout" in how else {}),
            **how,
        )
        return Run(done.returncode, done.stdout or "", done.stderr)

    return run


@pytest.fixture(scope="session")
def making(root: Path) -> ModuleType:
    """How the tests of the verifier make packages without the pipeline."""
    path = root / "tests" / "unit" / "verify" / "conftest.py"
    spec = importlib.util.spec_from_file_location("packages_for_cli", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True, slots=True)
class Package:
    """A signed package on disk, its key, and the files that it is for."""

    path: Path
    key: Path
    public: Path
    release: Any

    @property
    def baseline(self) -> Path:
        installed: Path = self.release.installed
        return installed

    def beside(self, name: str, **changes: object) -> Path:
        """Another unsigned package: this one with other fields in its manifest."""
        path = self.path.with_name(name)
        path.write_bytes(self.release.with_manifest(**changes).bundle(signers=()))
        return path

    def other_module(self, name: str, **changes: object) -> Path:
        """Another unsigned package: this one with other fields in its module."""
        path = self.path.with_name(name)
        path.write_bytes(self.release.with_module(**changes).bundle(signers=()))
        return path


@pytest.fixture
def package(tmp_path: Path, binaries: Path, making: ModuleType, hpbuild: Callable[..., Run]) -> Package:
    """codec.dll's package, signed by the command line itself."""
    release = making.make_release(["codec.dll"], tmp_path / "files", binaries, ())
    path, stem = tmp_path / "x.hpb", tmp_path / "release"
    path.write_bytes(release.bundle(signers=()))
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", stem).status == 0
    key, public = stem.with_suffix(".key"), stem.with_suffix(".pub")
    assert hpbuild("sign", path, "--key", f"file:{key}").status == 0
    return Package(path, key, public, release)


@pytest.fixture
def replaced() -> Callable[..., Any]:
    """dataclasses.replace, for tests that change parts of a manifest."""
    return dataclasses.replace
