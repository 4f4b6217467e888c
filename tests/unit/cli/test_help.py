"""Help pages, and what is imported to show them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild import __version__
from hpbuild.cli.commands import COMMANDS
from hpbuild.cli.ready import PAGES

Runner = Callable[..., Any]

NAMES = [name for _, name, _ in COMMANDS]
HEAVY = (
    "numpy",
    "lief",
    "pefile",
    "rich",
    "cryptography",
    "jsonschema",
    "iced_x86",
    "capstone",
    "hpbuild.pipeline",
)


def modules_of(process: Runner, *arguments: object) -> tuple[int, set[str]]:
    """Exit status, and the modules that a command imported."""
    run = process(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
    rows = (
        line.rsplit("|", 1)[-1].strip() for line in run.err.splitlines() if line.startswith("import time:")
    )
    return run.status, set(rows)


def test_help_of_the_program(hpbuild: Runner) -> None:
    run = hpbuild("--help")
    assert run.status == 0
    assert run.out == (Path(PAGES) / "hpbuild.txt").read_text()


@pytest.mark.parametrize("name", ["build", "verify"])
def test_help_of_a_command(hpbuild: Runner, name: str) -> None:
    assert hpbuild(name, "--help").out == (Path(PAGES) / f"hpbuild.{name}.txt").read_text()


@pytest.mark.parametrize("name", [*NAMES, "keys", "line"])
def test_every_command_has_help(hpbuild: Runner, name: str) -> None:
    run = hpbuild(name, "-h")
    assert run.status == 0
    assert run.out.startswith(f"Usage: hpbuild {name} ")
    assert "\n\n  " in run.out


def test_version(hpbuild: Runner) -> None:
    assert hpbuild("--version").out == f"hpbuild {__version__}\n"


def test_help_imports_nothing_heavy(process: Runner) -> None:
    for line in (["--help"], ["build", "--help"], ["keys", "generate", "-h"], ["--version"]):
        status, modules = modules_of(process, *line)
        assert status == 0
        assert "hpbuild.cli.ready" in modules
        assert not modules & {*HEAVY, "typer", "dataclasses", "pathlib", "hpbuild.errors"}, line


def test_help_for_another_width_imports_typer_and_nothing_heavy(
    process: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    status, modules = modules_of(process, "--help")
    assert status == 0
    assert "typer" in modules
    assert not modules & set(HEAVY)


def test_a_command_imports_no_other(process: Runner, package: Any) -> None:
    status, modules = modules_of(process, "explain", "HP1001")
    assert status == 0
    assert "hpbuild.cli.options" in modules
    others = {"trust", "verify_options", "sign_options", "rehearse_options", "bound_options"}
    assert not modules & {f"hpbuild.cli.{name}" for name in others}
    for line in (["inspect", package.path], ["verify", package.path, "--key", package.public]):
        status, modules = modules_of(process, *line)
        assert status == 0
        assert not modules & {"typer", "jsonschema", "hpbuild.cli.app", "hpbuild.servicing"}, line
        if line[0] == "inspect":
            assert not modules & {*HEAVY, "dataclasses", "inspect", "typing", "pathlib", "_hashlib", "uuid"}


def test_comparing_imports_nothing_of_what_makes_packages(process: Runner, root: Path) -> None:
    files = [root / "testdata" / "bin" / side / "codec.dll" for side in ("baseline", "fixed")]
    status, modules = modules_of(process, "diff", *files, "--no-cache")
    assert status == 0
    assert "hpbuild.plan.planner" in modules
    others = {"lief", "capstone", "typer", "rich", "jsonschema", "rfc8785"}
    ours = {"prove.proof", "patchimage", "attachments", "bundle.writer", "manifest.codec", "sign"}
    assert not modules & {*others, *(f"hpbuild.{name}" for name in ours)}


def test_inspect_and_verify_import_neither_lief_nor_a_decoder(process: Runner, package: Any) -> None:
    arguments = [
        ("inspect", package.path),
        ("inspect", package.baseline),
        ("verify", package.path, "--key", package.public, "--installed", package.baseline),
        ("compare", package.path, package.path),
    ]
    for line in arguments:
        status, modules = modules_of(process, *line)
        assert status == 0, line
        assert "hpbuild.report.document" in modules
        assert not modules & {"lief", "iced_x86", "capstone", "rich", "hpbuild.pipeline"}, line
