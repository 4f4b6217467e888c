"""The rule of tests/conftest.py: with CI set, a missing tool fails a test; any other skip stays a skip."""

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

CASES = """
import pytest

def test_tool(require_tool):
    require_tool("no-such-program-anywhere")

def test_other():
    pytest.skip("not on this system")

def test_present(require_tool):
    assert require_tool("sh")
"""
MODULE = 'import pytest\npytest.skip("missing tool: another", allow_module_level=True)\n'


@pytest.mark.parametrize(
    ("ci", "expected"),
    [("true", {"failed": 1, "skipped": 1, "passed": 1, "error": 1}), ("", {"skipped": 3, "passed": 1})],
)
def test_skips_for_want_of_a_tool(root: Path, tmp_path: Path, ci: str, expected: dict[str, int]) -> None:
    shutil.copyfile(root / "tests" / "conftest.py", tmp_path / "conftest.py")
    tmp_path.joinpath("test_cases.py").write_text(CASES)
    tmp_path.joinpath("test_module.py").write_text(MODULE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        ".",
    ]
    environment = {**os.environ, "CI": ci, "PYTEST_ADDOPTS": ""}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    words = result.stdout.splitlines()[-1].replace(",", "").split()
    counts = {word: int(count) for count, word in pairwise(words) if count.isdigit()}
    assert counts == expected, result.stdout
