"""Every case of the suite with hpbuild itself, and proof that the runner can say no."""

import io
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpbuild.cli.main import main
from tests.conftest import ROOT
from tests.vectors.case import Case, all_cases, read_case
from tests.vectors.running import Ended, external, run_case

CASES = all_cases()


@pytest.fixture
def hpbuild(monkeypatch: pytest.MonkeyPatch):
    """hpbuild in this process: a few times faster than a new one."""

    def run(words: Sequence[str]) -> Ended:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            status = main(words)
            out.flush()
            err.flush()
        return Ended(status, out.buffer.getvalue(), err.buffer.getvalue())

    return run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case(case: Case, hpbuild) -> None:
    outcome = run_case(case, hpbuild)
    assert not outcome.complaint, f"{outcome.complaint}\n{(case.folder / 'README.md').read_text()}"
    assert outcome.codes or not case.codes, "no JSON document came out"


def test_the_runner_complains_about_a_verifier_that_says_yes_to_everything() -> None:
    refusing = next(case for case in CASES if case.status)
    assert "expected" in run_case(refusing, external(["true"])).complaint


def test_the_runner_complains_about_a_missing_code() -> None:
    refusing = next(case for case in CASES if case.status)
    said = b'{"code": "HP0000"}'
    outcome = run_case(refusing, lambda _: Ended(refusing.status, said, b""))
    assert outcome.complaint.startswith("no finding")


def test_a_case_whose_name_contradicts_it_is_no_case(tmp_path: Path) -> None:
    folder = tmp_path / "something_fail"
    folder.mkdir()
    (folder / "README.md").write_text("word " * 20)
    (folder / "case.json").write_text('{"arguments": ["verify"], "status": 0, "codes": [], "rules": []}')
    with pytest.raises(ValueError, match="the name says otherwise"):
        read_case(folder)


HANDFUL = ("accepted", "rollback_fail", "json-long-string_fail", "part-of-a-set-missing_fail")


@pytest.mark.parametrize("name", HANDFUL)
def test_a_handful_through_the_real_command(name: str) -> None:
    (case,) = (case for case in CASES if case.name == name)
    outcome = run_case(case, external([sys.executable, "-m", "hpbuild"]))
    assert not outcome.complaint
    assert outcome.codes or not case.codes


def test_the_runner_as_a_command() -> None:
    program = [sys.executable, "-m", "hpbuild"]
    command = [sys.executable, "-m", "tests.vectors", "--cli", shlex.join(program), "--only", "json-nan"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200)
    assert (done.returncode, "1 of 1 cases" in done.stdout) == (0, True), done.stdout


def test_another_verifier_that_is_wrong_is_told_so() -> None:
    command = [sys.executable, "-m", "tests.vectors", "--cli", "true", "--only", "json-deep"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 1
    assert "0 of 2 cases" in done.stdout
