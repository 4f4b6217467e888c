"""diff, build, prove, rebuild on the committed binaries, through the real pipeline."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Runner = Callable[..., Any]


def variant(binaries: Path, name: str) -> tuple[Path, Path]:
    folder = binaries / "variants" / name
    (old,) = (folder / "baseline").glob("*.dll")
    (new,) = (folder / "fixed").glob("*.dll")
    return old, new


@pytest.fixture
def files(binaries: Path) -> tuple[Path, Path]:
    """A library whose functions can be patched, old and new."""
    return variant(binaries, "pad_jump")


def build(hpbuild: Runner, files: tuple[Path, Path], out: Path, *more: object) -> Any:
    return hpbuild("build", *files, "-o", out, "--id", "T-1", "--sequence", 3, "--format", "json", *more)


@pytest.fixture
def built(hpbuild: Runner, files: tuple[Path, Path], tmp_path: Path) -> Path:
    out = tmp_path / "built.hpb"
    assert build(hpbuild, files, out).status == 0
    return out


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_diff_of_a_fix(hpbuild: Runner, files: tuple[Path, Path], symbols: str) -> None:
    run = hpbuild("diff", *files, "--symbols", symbols, "--format", "json")
    document = run.document()
    assert run.status == 0
    assert document["verdict"] == "hotpatchable"
    assert document["summary"]["changed"] >= 1
    assert len(document["functions"]) >= 1
    assert sum(row["size"] for row in document["account"]["classes"]) == document["account"]["total"]
    assert "verdict: hotpatchable" in hpbuild("diff", *files, "--symbols", symbols).out


def test_diff_of_a_file_with_itself(hpbuild: Runner, files: tuple[Path, Path]) -> None:
    run = hpbuild("diff", files[0], files[0], "--format", "json")
    assert (run.status, run.document()["verdict"]) == (0, "identical")


def test_diff_that_is_refused(hpbuild: Runner, binaries: Path) -> None:
    run = hpbuild("diff", *variant(binaries, "data_init"), "--format", "json")
    document = run.document()
    assert (run.status, document["verdict"]) == (1, "refused")
    assert [item["code"] for item in document["findings"] if item["severity"] == "refuse"]


def test_diff_of_trees(hpbuild: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    for side, file in zip(("old", "new"), files, strict=True):
        for name in ("a", "b"):
            (tmp_path / side / name).mkdir(parents=True)
            source = files[0] if name == "a" else file
            shutil.copy(source, tmp_path / side / name / "gadget.dll")
    run = hpbuild("diff", tmp_path / "old", tmp_path / "new", "--format", "json")
    document = run.document()
    assert (run.status, document["verdict"]) == (0, "hotpatchable")
    (module,) = document["modules"]
    assert module["fixed"].endswith("gadget.dll")
    assert module["verdict"] == "hotpatchable"


def test_diff_of_no_image(hpbuild: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "text.dll").write_text("text, not a DLL")
    run = hpbuild("diff", files[0], tmp_path / "text.dll")
    assert run.status == 4
    assert "HP10" in run.err


def test_build_writes_and_proves(hpbuild: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "x.hpb"
    run = build(hpbuild, files, out, "--advisory", "CVE-2024-0001", "--product", "Codec")
    document = run.document()
    assert run.status == 0
    assert document["verdict"] == "built"
    assert document["size"] == out.stat().st_size
    assert [proof["verdict"] for proof in document["proofs"]] == ["proved"]
    inspected = hpbuild("inspect", out, "--format", "json").document()
    assert inspected["advisories"] == ["CVE-2024-0001"]
    assert inspected["sha256"] == document["sha256"]
    assert inspected["created"] == ""


def test_build_takes_its_time_from_the_environment(
    hpbuild: Runner, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    assert build(hpbuild, files, tmp_path / "x.hpb").document()["created"] == "2026-01-01T00:00:00Z"


def test_build_of_nothing(hpbuild: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    run = build(hpbuild, (files[0], files[0]), tmp_path / "x.hpb")
    assert run.status == 3
    assert run.document()["error"]["code"] == "HP9011"
    assert not (tmp_path / "x.hpb").exists()


def test_build_that_is_refused_writes_nothing(hpbuild: Runner, binaries: Path, tmp_path: Path) -> None:
    run = build(hpbuild, variant(binaries, "data_init"), tmp_path / "x.hpb")
    document = run.document()
    assert (run.status, document["verdict"]) == (1, "refused")
    assert not (tmp_path / "x.hpb").exists()


def test_prove_again(hpbuild: Runner, built: Path, files: tuple[Path, Path]) -> None:
    run = hpbuild("prove", built, "--baseline", files[0], "--fixed", files[1], "--format", "json")
    assert (run.status, run.document()["verdict"]) == (0, "proved")
    assert "proved: " in hpbuild("prove", built, "--baseline", files[0], "--fixed", files[1]).out


def test_prove_with_other_files(
    hpbuild: Runner, built: Path, files: tuple[Path, Path], binaries: Path
) -> None:
    other = binaries / "fixed" / "throwing.dll"
    run = hpbuild("prove", built, "--baseline", files[0], "--fixed", other)
    assert run.status == 3
    assert "HP7004" in run.err


def test_prove_a_package_that_lacks_a_member(
    hpbuild: Runner, package: Any, replaced: Callable[..., Any], binaries: Path
) -> None:
    image = replaced(package.release.module.image, member="images/absent.dll")
    other = package.other_module("other.hpb", image=image)
    fixed = binaries / "fixed" / "codec.dll"
    run = hpbuild("prove", other, "--baseline", package.baseline, "--fixed", fixed, "--format", "json")
    assert run.status in (1, 4)
    assert run.document()["error"]["code"].startswith(("HP4", "HP7"))


def test_rebuild_gives_the_same_bytes(
    hpbuild: Runner, built: Path, files: tuple[Path, Path], package: Any
) -> None:
    assert hpbuild("sign", built, "--key", f"file:{package.key}").status == 0
    run = hpbuild("rebuild", "--check", built, *files, "--format", "json")
    document = run.document()
    assert (run.status, document["verdict"]) == (0, "reproduced")
    assert "signatures.dsse.json" not in [member["name"] for member in document["members"]]


def test_rebuild_of_another_package_differs(hpbuild: Runner, files: tuple[Path, Path], package: Any) -> None:
    run = hpbuild("rebuild", "--check", package.path, *files, "--format", "json")
    document = run.document()
    assert (run.status, document["verdict"]) == (1, "different")
    assert "HP9009" in hpbuild("rebuild", "--check", package.path, *files).out


def test_rebuild_needs_check(hpbuild: Runner, package: Any, files: tuple[Path, Path]) -> None:
    run = hpbuild("rebuild", package.path, *files)
    assert run.status == 2
    assert "HP9001" in run.err
