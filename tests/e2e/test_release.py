"""The life of a package: what the release engineer, the gate and the auditor do."""

import shutil
from pathlib import Path
from typing import Any

import pytest


def verify(hpbuild: Any, release: Any, installed: Path, *more: object) -> tuple[int, str, str]:
    """Exit status, state and tier of the only module."""
    run = hpbuild(
        "verify",
        release.package,
        "--key",
        release.public,
        "--installed",
        installed,
        "--format",
        "json",
        *more,
    )
    document = run.document()
    assert document["status"] == run.status
    (module,) = document["packages"][0]["modules"]
    return run.status, module["state"], module["tier"]


def test_the_baseline_is_applicable(hpbuild: Any, release: Any) -> None:
    assert verify(hpbuild, release, release.baseline) == (0, "applicable", "exact")


def test_the_fixed_build_needs_nothing(hpbuild: Any, release: Any) -> None:
    status, state, _ = verify(hpbuild, release, release.fixed)
    assert (status, state) == (3, "not-needed")


def test_any_other_file_is_unknown(hpbuild: Any, release: Any, binaries: Path, tmp_path: Path) -> None:
    whole = release.baseline.read_bytes()
    others = [b"", b"MZ", b"text\n", b"\0" * len(whole), whole[:-1], whole + b"\0"]
    for position in (0x402, 0x1500, len(whole) - 1):
        others.append(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
    for number, content in enumerate(others):
        path = tmp_path / str(number) / "codec.dll"
        path.parent.mkdir()
        path.write_bytes(content)
    files = sorted(tmp_path.rglob("*.dll"))
    files += [binaries / "baseline" / "throwing.dll", binaries / "baseline" / "codec.pdb"]
    for path in files:
        status, state, _ = verify(hpbuild, release, path)
        assert (status, state) == (3, "unknown-baseline"), path


def test_a_missing_file_is_not_a_success(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    run = hpbuild("verify", release.package, "--key", release.public, "--installed", tmp_path / "absent.dll")
    assert run.status in (2, 3)
    assert "HP60" in run.out


def test_nobody_is_trusted_by_default(hpbuild: Any, release: Any) -> None:
    run = hpbuild("verify", release.package, "--format", "json")
    assert run.error() == (2, "HP9001")


def test_an_unsigned_package_is_refused(hpbuild: Any, work: Any) -> None:
    bare = work.package.with_name("bare.hpb")
    made = hpbuild("build", work.baseline, work.fixed, "-o", bare, "--id", "T-1", "--sequence", 1)
    assert made.status == 0
    assert hpbuild("verify", bare, "--key", work.public).status == 1


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-p384"])
def test_another_key_is_refused(hpbuild: Any, work: Any, algorithm: str) -> None:
    stem = work.folder / "other"
    assert hpbuild("keys", "generate", "--algorithm", algorithm, "--no-passphrase", "-o", stem).status == 0
    run = hpbuild("verify", work.package, "--key", f"{stem}.pub", "--format", "json")
    assert (run.status, run.document()["verdict"]) == (1, "failed")
    both = ("verify", work.package, "--key", f"{stem}.pub", "--key", work.public, "--threshold", 2)
    assert hpbuild(*both).status == 1
    assert hpbuild("sign", work.package, "--key", f"file:{stem}.key").status == 0
    assert hpbuild(*both).status == 0


def test_prove_and_rebuild_and_compare(hpbuild: Any, work: Any) -> None:
    run = hpbuild(
        "prove", work.package, "--baseline", work.baseline, "--fixed", work.fixed, "--format", "json"
    )
    assert (run.status, run.document()["verdict"]) == (0, "proved")
    run = hpbuild("rebuild", "--check", work.package, work.baseline, work.fixed, "--format", "json")
    assert (run.status, run.document()["verdict"]) == (0, "reproduced")
    run = hpbuild("compare", work.package, work.package, "--format", "json")
    assert (run.status, run.document()["verdict"]) == (0, "same")
    other = work.folder / "other.hpb"
    built = hpbuild("build", work.baseline, work.fixed, "-o", other, "--id", "T-2", "--sequence", 2)
    assert built.status == 0
    run = hpbuild("compare", work.package, other, "--format", "json")
    assert (run.status, run.document()["verdict"]) == (1, "different")
    run = hpbuild("rebuild", "--check", work.package, work.baseline, work.baseline, "--format", "json")
    assert (run.status, run.document()["verdict"]) == (1, "different")


def test_prove_with_other_files_proves_nothing(hpbuild: Any, release: Any) -> None:
    arguments = ("prove", release.package, "--baseline", release.fixed, "--fixed", release.baseline)
    assert hpbuild(*arguments, "--format", "json").error() == (3, "HP7004")


def test_the_same_bytes_in_another_folder_and_time_zone(hpbuild: Any, work: Any, tmp_path: Path) -> None:
    other = Path(shutil.copytree(work.folder, tmp_path / "elsewhere" / "deep er"))
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    arguments = ("--id", "T-1", "--sequence", 1, "-o")
    first, second = work.folder / "1.hpb", other / "2.hpb"
    one = hpbuild(
        "build", work.baseline, work.fixed, *arguments, first, env={**epoch, "TZ": "Pacific/Auckland"}
    )
    two = hpbuild(
        "build",
        "installed/codec.dll",
        "release/codec.dll",
        *arguments,
        "2.hpb",
        env={**epoch, "TZ": "America/Los_Angeles", "PYTHONHASHSEED": "7", "LC_ALL": "C"},
        cwd=other,
    )
    assert (one.status, two.status) == (0, 0)
    assert first.read_bytes() == second.read_bytes()


@pytest.fixture(scope="session")
def trees(hpbuild: Any, binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two release trees with two changed modules, an unchanged one and other files; their package."""
    folder = tmp_path_factory.mktemp("trees")
    for side in ("baseline", "fixed"):
        (folder / side / "bin" / "plugins").mkdir(parents=True)
        for suffix in (".dll", ".pdb"):
            shutil.copy(binaries / side / f"codec{suffix}", folder / side / "bin" / f"Codec{suffix}")
        gadget = binaries / "variants" / "pad_jump" / side / "gadget.dll"
        shutil.copy(gadget, folder / side / "bin" / "plugins" / "gadget.dll")
        shutil.copy(binaries / "baseline" / "throwing.dll", folder / side / "same.dll")
        (folder / side / "readme.txt").write_text(side)
    arguments = ("-o", folder / "t.hpb", "--id", "T-9", "--sequence", 9, "--format", "json")
    run = hpbuild("build", folder / "baseline", folder / "fixed", *arguments)
    assert run.status == 0, run
    document = run.document()
    assert [proof["verdict"] for proof in document["proofs"]] == ["proved", "proved"]
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", folder / "k").status == 0
    assert hpbuild("sign", folder / "t.hpb", "--key", f"file:{folder / 'k.key'}").status == 0
    return folder


def verify_tree(hpbuild: Any, folder: Path, installed: Path) -> tuple[int, dict[str, str]]:
    run = hpbuild(
        "verify", folder / "t.hpb", "--key", folder / "k.pub", "--installed", installed, "--format", "json"
    )
    modules = run.document()["packages"][0]["modules"]
    return run.status, {module["path"]: module["state"] for module in modules}


def test_a_package_of_a_tree(hpbuild: Any, trees: Path) -> None:
    both = ("bin/Codec.dll", "bin/plugins/gadget.dll")
    assert verify_tree(hpbuild, trees, trees / "baseline") == (0, dict.fromkeys(both, "applicable"))
    status, states = verify_tree(hpbuild, trees, trees / "fixed")
    assert (status, states) == (3, dict.fromkeys(both, "not-needed"))
    sides = ("--baseline", trees / "baseline", "--fixed", trees / "fixed")
    assert hpbuild("prove", trees / "t.hpb", *sides).status == 0
    assert hpbuild("rebuild", "--check", trees / "t.hpb", trees / "baseline", trees / "fixed").status == 0


def test_a_tree_that_is_half_updated(hpbuild: Any, trees: Path, tmp_path: Path) -> None:
    mixed = Path(shutil.copytree(trees / "baseline", tmp_path / "mixed"))
    shutil.copy(trees / "fixed" / "bin" / "plugins" / "gadget.dll", mixed / "bin" / "plugins")
    status, states = verify_tree(hpbuild, trees, mixed)
    assert status in (0, 3)
    assert states == {"bin/Codec.dll": "applicable", "bin/plugins/gadget.dll": "not-needed"}
    (mixed / "bin" / "Codec.dll").write_bytes(b"MZ")
    status, states = verify_tree(hpbuild, trees, mixed)
    assert (status, states["bin/Codec.dll"]) == (3, "unknown-baseline")


def test_a_tree_that_lacks_a_module(hpbuild: Any, trees: Path, tmp_path: Path) -> None:
    lacking = Path(shutil.copytree(trees / "baseline", tmp_path / "lacking"))
    (lacking / "bin" / "Codec.dll").unlink()
    status, _ = verify_tree(hpbuild, trees, lacking)
    assert status in (2, 3)
