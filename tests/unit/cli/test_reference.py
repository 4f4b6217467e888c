"""explain, schema, completion."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild.codes import all_codes
from hpbuild.manifest.schema import names

Runner = Callable[..., Any]


def test_explain_says_what_why_and_what_to_do(hpbuild: Runner) -> None:
    run = hpbuild("explain", "hp9001")
    assert run.status == 0
    assert run.out.startswith("HP9001 the command line is not understood\n  refuse, exit status 2\n")
    assert "  why     " in run.out
    assert "  remedy  " in run.out


def test_explain_all_lists_every_code(hpbuild: Runner) -> None:
    listed = [row["code"] for row in hpbuild("explain", "--all", "--format", "json").document()["codes"]]
    assert listed == [row.id for row in all_codes()]
    assert "HP9001" in listed


@pytest.mark.parametrize("arguments", [(), ("HP9001", "--all")])
def test_explain_wants_one_code_or_all(hpbuild: Runner, arguments: tuple[str, ...]) -> None:
    run = hpbuild("explain", *arguments)
    assert run.status == 2
    assert "HP9001" in run.err


def test_explain_unknown_code(hpbuild: Runner) -> None:
    run = hpbuild("explain", "HP0000", "--format", "json")
    assert run.status == 2
    assert run.document()["error"]["code"] == "HP9008"


def test_the_documentation_page_is_current(hpbuild: Runner, root: Path) -> None:
    page = hpbuild("explain", "--all", "--format", "markdown").out
    assert page == (root / "docs" / "codes.md").read_text(), (
        "hpbuild explain --all --format markdown > docs/codes.md"
    )


def test_schema_lists_and_prints(hpbuild: Runner) -> None:
    assert hpbuild("schema").out.split() == sorted(names())
    for name in ("manifest", "manifest-1"):
        assert json.loads(hpbuild("schema", name).out)["$id"] == "urn:hpbuild:schema:manifest:1"


def test_schema_unknown_name(hpbuild: Runner) -> None:
    run = hpbuild("schema", "nonsense")
    assert run.status == 2
    assert "HP9008" in run.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_script(hpbuild: Runner, shell: str) -> None:
    run = hpbuild("completion", shell)
    assert run.status == 0
    assert "_HPBUILD_COMPLETE" in run.out


def test_completion_answers(process: Runner) -> None:
    asked = {"_HPBUILD_COMPLETE": "complete_bash", "COMP_WORDS": "hpbuild ver", "COMP_CWORD": "1"}
    assert process(env=asked).out.split() == ["verify"]


def test_completion_unknown_shell(hpbuild: Runner) -> None:
    assert hpbuild("completion", "tcsh").status == 2


@pytest.mark.parametrize("asked", ["source_bash", "complete_bash", "complete_zsh", "bash_source"])
def test_fail_a_stray_variable_completes_no_command(process: Runner, tmp_path: Path, asked: str) -> None:
    stray = {"_HPBUILD_COMPLETE": asked, "COMP_WORDS": "hpbuild ver", "COMP_CWORD": "1"}
    run = process("verify", tmp_path / "missing.hpb", "--allow-unsigned", env=stray)
    assert (run.status, "HP4801" in run.out) == (2, True)
