"""apply and revert: usage, text, documents, exit status."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Runner = Callable[..., Any]


@pytest.mark.parametrize("command", ["apply", "revert"])
@pytest.mark.parametrize("left_out", ["--offline", "--installed", "-o"])
def test_it_wants_to_know_what_to_do(
    hpbuild: Runner, package: Any, tmp_path: Path, command: str, left_out: str
) -> None:
    options = {"--offline": (), "--installed": (package.baseline,), "-o": (tmp_path / "out.dll",)}
    del options[left_out]
    words = [word for name, values in options.items() for word in (name, *values)]
    run = hpbuild(command, package.path, *words, "--key", package.public)
    assert run.status == 2
    assert "HP9001" in run.err
    assert f"hpbuild {command}" in run.err
    assert not (tmp_path / "out.dll").exists()


@pytest.mark.parametrize("command", ["apply", "revert"])
def test_somebody_has_to_be_trusted(hpbuild: Runner, package: Any, tmp_path: Path, command: str) -> None:
    run = hpbuild(
        command, package.path, "--offline", "--installed", package.baseline, "-o", tmp_path / "out.dll"
    )
    assert run.status == 2
    assert "HP9001" in run.err
    assert f"hpbuild {command}" in run.err


def test_text(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    out, back = tmp_path / "out.dll", tmp_path / "back.dll"
    trust = ("--key", package.public)
    run = hpbuild(
        "apply", package.path, "--offline", "--installed", package.baseline, "-o", out, *trust, "-v"
    )
    assert run.status == 0
    assert run.out.startswith(f"{package.path}: applied\n")
    assert "signed by trusted keys" in run.out
    assert ".hptext" in run.out
    assert "findings" not in run.out
    assert hpbuild("verify", package.path, *trust, "--installed", out).status == 0
    run = hpbuild("revert", package.path, "--offline", "--installed", out, "-o", back, *trust)
    assert run.status == 0
    assert run.out.startswith(f"{package.path}: reverted\n")
    assert back.read_bytes() == package.baseline.read_bytes()


def test_documents(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.dll"
    how = ("--offline", "--allow-unsigned", "--format", "json")
    document = hpbuild("apply", package.path, *how, "--installed", package.baseline, "-o", out).document()
    assert (document["verdict"], document["status"], document["output"]) == ("applied", 0, str(out))
    (module,) = document["modules"]
    assert module["written"]["redirections"] == 2
    assert module["after"]["size"] == out.stat().st_size
    assert [finding["code"] for finding in document["findings"]] == ["HP6004"]
    document = hpbuild(
        "revert", package.path, *how, "--installed", out, "-o", tmp_path / "back.dll"
    ).document()
    assert (document["verdict"], document["authenticity"]) == ("reverted", "waived")
    assert document["modules"][0]["before"] == module["after"]
    assert document["modules"][0]["after"] == module["before"]
    assert "written" not in document["modules"][0]


def test_refused(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", tmp_path / "other").status == 0
    where = ("--offline", "--installed", package.baseline, "-o", tmp_path / "out.dll")
    for command in ("apply", "revert"):
        how = (command, package.path, *where, "--key", tmp_path / "other.pub")
        run = hpbuild(*how)
        assert run.status == 1
        assert "refused, nothing was written" in run.out
        assert "HP7201" in run.out
        assert "HP6003" in run.out
        document = hpbuild(*how, "--format", "json").document()
        assert (document["verdict"], document["output"], document["modules"]) == ("refused", None, [])
    assert not (tmp_path / "out.dll").exists()


def test_the_package_cannot_be_read(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    where = ("--offline", "--installed", package.baseline, "-o", tmp_path / "out.dll")
    run = hpbuild("apply", tmp_path / "absent.hpb", *where, "--allow-unsigned", "--format", "json")
    assert run.document()["error"]["code"] == "HP4801"


@pytest.mark.parametrize(
    "option", [("--key", "x.pub"), ("--threshold", 2), ("--lowest-tier", "exact"), ("--no-record",)]
)
@pytest.mark.parametrize("what", [("x.hpb",), ("--all",)])
def test_fail_an_option_that_would_ask_for_nothing(
    hpbuild: Runner, option: tuple[object, ...], what: tuple[str, ...]
) -> None:
    """Whoever says --key believes that somebody else's package will not do."""
    run = hpbuild("revert", *what, "--pid", 2**22 + 1, *option)
    assert run.status == 2
    assert "HP9001" in run.err
