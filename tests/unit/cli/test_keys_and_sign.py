"""keys generate, sign."""

import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild.sign.algorithms import Algorithm, spki_sha256
from hpbuild.sign.keys import read_private, read_public

Runner = Callable[..., Any]


@pytest.mark.parametrize("algorithm", Algorithm)
def test_generate_writes_a_pair(hpbuild: Runner, tmp_path: Path, algorithm: str) -> None:
    run = hpbuild(
        "keys",
        "generate",
        "--algorithm",
        algorithm,
        "--no-passphrase",
        "-o",
        tmp_path / "k",
        "--format",
        "json",
    )
    document = run.document()
    assert run.status == 0
    assert document["algorithm"] == algorithm
    assert document["protected"] is False
    assert document["spki_sha256"] == spki_sha256(read_public(tmp_path / "k.pub"))
    read_private(tmp_path / "k.key", None)


@pytest.mark.skipif(sys.platform == "win32", reason="no permission bits on Windows")
def test_the_private_key_is_the_owners_alone(hpbuild: Runner, tmp_path: Path) -> None:
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", tmp_path / "k").status == 0
    assert stat.S_IMODE((tmp_path / "k.key").stat().st_mode) == 0o600


def test_text_warns_of_an_open_key(hpbuild: Runner, tmp_path: Path) -> None:
    assert "has no passphrase" in hpbuild("keys", "generate", "--no-passphrase", "-o", tmp_path / "k").out


def test_passphrase_from_the_environment(
    hpbuild: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPBUILD_PASSPHRASE", "correct horse")
    run = hpbuild("keys", "generate", "-o", tmp_path / "k", "--format", "json")
    assert run.document()["protected"] is True
    read_private(tmp_path / "k.key", b"correct horse")


def test_empty_passphrase_is_refused(
    hpbuild: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPBUILD_PASSPHRASE", "")
    run = hpbuild("keys", "generate", "-o", tmp_path / "k")
    assert run.status == 2
    assert "HP9001" in run.err
    assert not (tmp_path / "k.key").exists()


def test_nobody_to_ask_for_a_passphrase(process: Runner, tmp_path: Path) -> None:
    run = process("keys", "generate", "-o", tmp_path / "k", "--format", "json")
    assert run.status == 6
    assert run.document()["error"]["code"] == "HP9013"


def test_a_key_is_never_overwritten(hpbuild: Runner, package: Any) -> None:
    before = package.key.read_bytes()
    run = hpbuild("keys", "generate", "--no-passphrase", "-o", package.key.with_suffix(""))
    assert run.status != 0
    assert "HP4807" in run.err
    assert package.key.read_bytes() == before


def test_show_tells_who_a_key_is(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    key = spki_sha256(read_public(package.public))
    for name in (package.public, f"file:{package.key}"):
        document = hpbuild("keys", "show", name, "--format", "json").document()
        assert (document["algorithm"], document["spki_sha256"]) == ("ed25519", key)
        assert document["private"] is document["public"] is document["protected"] is None
    assert key in hpbuild("keys", "show", package.public).out


def test_show_writes_the_public_key_once(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    target = tmp_path / "again.pub"
    run = hpbuild("keys", "show", f"file:{package.key}", "-o", target, "--format", "json")
    assert run.document()["public"] == str(target)
    assert target.read_bytes() == package.public.read_bytes()
    run = hpbuild("keys", "show", f"file:{package.key}", "-o", target)
    assert run.status == 2
    assert "HP4807" in run.err


def test_show_takes_no_private_key_for_a_public_one(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("keys", "show", package.key)
    assert run.status == 2
    assert "HP5002" in run.err


def test_sign_adds_a_signature(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", tmp_path / "second").status == 0
    run = hpbuild(
        "sign",
        package.path,
        "--key",
        f"file:{tmp_path / 'second.key'}",
        "-o",
        tmp_path / "y.hpb",
        "--format",
        "json",
    )
    document = run.document()
    assert run.status == 0
    assert document["path"] == str(tmp_path / "y.hpb")
    assert [entry["algorithm"] for entry in document["signatures"]] == ["ed25519"]
    keys = ("--key", package.public, "--key", tmp_path / "second.pub")
    assert hpbuild("verify", tmp_path / "y.hpb", *keys, "--threshold", 2).status == 0
    assert hpbuild("verify", package.path, *keys, "--threshold", 2).status == 1


def test_sign_twice_with_one_key_is_refused(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("sign", package.path, "--key", f"file:{package.key}")
    assert run.status != 0
    assert "HP5204" in run.err or "signed already" in run.err


def test_sign_with_a_protected_key(
    hpbuild: Runner, package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPBUILD_PASSPHRASE", "right")
    assert hpbuild("keys", "generate", "-o", tmp_path / "p").status == 0
    target = ("--key", f"file:{tmp_path / 'p.key'}", "-o", tmp_path / "y.hpb")
    monkeypatch.setenv("HPBUILD_PASSPHRASE", "wrong")
    run = hpbuild("sign", package.path, *target)
    assert run.status == 6
    assert "HP5004" in run.err
    monkeypatch.setenv("HPBUILD_PASSPHRASE", "right")
    assert hpbuild("sign", package.path, *target).status == 0


def test_sign_needs_a_package(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("sign", package.baseline, "--key", f"file:{package.key}")
    assert run.status == 4
    assert "HP4201" in run.err
