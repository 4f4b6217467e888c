"""Fetching releases: only the pinned file is unpacked, and never half of it."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from bench import corpus


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder below which the wheels of two releases lie."""
    folder = tmp_path / "have" / "deeper"
    folder.mkdir(parents=True)
    for version in ("1", "2"):
        with zipfile.ZipFile(folder / f"thing-{version}.whl", "w") as archive:
            archive.writestr("thing/core.dll", b"MZ" + version.encode())
            archive.writestr("thing/core.pdb", b"symbols")
            archive.writestr("thing/__init__.py", b"")
    return tmp_path / "have"


def thing(wheels: Path) -> corpus.Package:
    def wheel(version: str) -> corpus.Wheel:
        path = wheels / "deeper" / f"thing-{version}.whl"
        return corpus.Wheel(version, path.name, hashlib.sha256(path.read_bytes()).hexdigest())

    return corpus.Package("thing", "", wheel("1"), wheel("2"))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_list_pins_two_releases_of_each_package() -> None:
    listed = corpus.packages()
    assert {package.name for package in listed} >= {"PySide6-Essentials", "cryptography", "numpy"}
    for package in listed:
        for wheel in (package.baseline, package.fixed):
            assert wheel.file.endswith("win_amd64.whl")
            assert f"-{wheel.version}-" in wheel.file
            assert len(bytes.fromhex(wheel.sha256)) == 32
        assert package.baseline.sha256 != package.fixed.sha256


def test_only_binaries_are_unpacked_and_only_once(wheels: Path, tmp_path: Path) -> None:
    package = thing(wheels)
    corpus.provide(package, tmp_path / "corpus", wheels)
    pairs = tmp_path / "corpus" / "pairs" / "thing"
    assert files(pairs) == [f"{side}/{name}" for side in corpus.SIDES for name in (".sha256", *DLL_AND_PDB)]
    assert (pairs / "fixed" / "thing" / "core.dll").read_bytes() == b"MZ2"
    (pairs / "fixed" / "thing" / "core.dll").write_bytes(b"kept")
    corpus.provide(package, tmp_path / "corpus", None)
    assert (pairs / "fixed" / "thing" / "core.dll").read_bytes() == b"kept"


DLL_AND_PDB = ("thing/core.dll", "thing/core.pdb")


def test_folder_of_another_release_is_replaced(wheels: Path, tmp_path: Path) -> None:
    package = thing(wheels)
    corpus.provide(package, tmp_path / "corpus", wheels)
    stale = corpus.Package("thing", "", package.fixed, package.fixed)
    corpus.provide(stale, tmp_path / "corpus", wheels)
    assert (tmp_path / "corpus/pairs/thing/baseline/thing/core.dll").read_bytes() == b"MZ2"


def test_interrupted_unpacking_leaves_nothing_behind(wheels: Path, tmp_path: Path) -> None:
    damaged = wheels / "deeper" / "thing-1.whl"
    with zipfile.ZipFile(damaged, "w") as archive:
        archive.writestr("ok.dll", b"MZ")
        archive.writestr("../outside.dll", b"MZ")
    with pytest.raises(SystemExit, match="unsafe path"):
        corpus.provide(thing(wheels), tmp_path / "corpus", wheels)
    assert files(tmp_path / "corpus") == []
    assert not (tmp_path / "corpus" / "pairs" / "thing" / "baseline").exists()
    assert not list((tmp_path / "corpus" / "pairs" / "thing").iterdir())


def test_file_with_another_digest_is_not_taken(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = thing(wheels)
    wheel = wheels / "deeper" / "thing-1.whl"
    wheel.write_bytes(wheel.read_bytes() + b"\0")

    def pip_brings_it_too(command: list[str], check: bool) -> None:
        Path(command[command.index("--dest") + 1], wheel.name).write_bytes(wheel.read_bytes())

    monkeypatch.setattr(corpus.subprocess, "run", pip_brings_it_too)
    with pytest.raises(SystemExit, match="gave another file"):
        corpus.provide(package, tmp_path / "corpus", wheels)
    assert files(tmp_path / "corpus") == []
