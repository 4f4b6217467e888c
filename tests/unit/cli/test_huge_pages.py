"""Commands that go through large files begin once more, with huge pages; every other command does not."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpbuild.errors import ExitStatus

ROOT = Path(__file__).parents[3]
BASELINE, FIXED = (ROOT / "testdata" / "bin" / side / "codec.dll" for side in ("baseline", "fixed"))
LARGE = 2 << 20
WITNESS = """
import os, signal, sys
line = " ".join(sys.orig_argv)
with open(os.environ["WITNESS"], "a", encoding="utf-8") as file:
    print(os.environ.get("GLIBC_TUNABLES", "-"), line, file=file)
if "begun-again" in line and "PRESS" in os.environ:
    os.kill(os.getpid(), signal.SIGINT)
"""
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""),
    reason="huge pages are asked of glibc",
)


@dataclass(frozen=True)
class Outcome:
    """What a command ended with, and a line for each time that an interpreter began."""

    status: int
    stdout: str
    stderr: str
    begins: list[str]


Runner = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Run Python with words behind it; ``stdin`` and variables by keyword."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITNESS)
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    plain = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}

    def start(*words: object, stdin: str = "", **variables: str) -> Outcome:
        log = tmp_path / "begins"
        log.write_text("")
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            env=plain | {"PYTHONPATH": path, "WITNESS": str(log)} | variables,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr, log.read_text().splitlines())

    return start


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, Path]:
    """The baseline and the fixed image with bytes behind their last section that make them large."""
    files = tmp_path / "baseline.dll", tmp_path / "fixed.dll"
    for file, source in zip(files, (BASELINE, FIXED), strict=True):
        file.write_bytes(source.read_bytes().ljust(LARGE, b"\0"))
    return files


def test_large_files_begin_again(run: Runner, large: tuple[Path, Path]) -> None:
    again = run("-m", "hpbuild", "diff", *large, "--no-cache")
    first, second = again.begins
    assert first.startswith("- ")
    assert "-X" not in first
    assert second.startswith("glibc.malloc.hugetlb=1:")
    assert second.endswith(f"-X begun-again -m hpbuild diff {large[0]} {large[1]} --no-cache")
    as_it_is = run("-m", "hpbuild", "diff", *large, "--no-cache", GLIBC_TUNABLES="glibc.malloc.arena_max=4")
    assert len(as_it_is.begins) == 1, "somebody has set the library up; that is not to be overruled"
    assert (again.status, again.stdout, again.stderr) == (as_it_is.status, as_it_is.stdout, as_it_is.stderr)
    assert again.stdout


def test_folders_begin_again(run: Runner, tmp_path: Path) -> None:
    for side, source in (("old", BASELINE), ("new", FIXED)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "codec.dll").write_bytes(source.read_bytes())
    assert len(run("-m", "hpbuild", "diff", tmp_path / "old", tmp_path / "new", "--no-cache").begins) == 2


def test_small_files_and_other_commands_do_not(run: Runner, large: tuple[Path, Path]) -> None:
    assert len(run("-m", "hpbuild", "diff", BASELINE, FIXED, "--no-cache").begins) == 1
    assert len(run("-m", "hpbuild", "inspect", large[0]).begins) == 1
    assert len(run("-m", "hpbuild", "diff", "missing.dll", "\N{SNOWMAN}" * 200).begins) == 1
    assert len(run("-m", "hpbuild").begins) == 1


def test_a_program_from_standard_input_does_not(run: Runner, large: tuple[Path, Path]) -> None:
    """It would find nothing there the second time."""
    program = "from hpbuild.cli.main import run; run()"
    found = run("-", "diff", *large, "--no-cache", stdin=program)
    assert len(found.begins) == 1
    assert found.stdout == run("-m", "hpbuild", "diff", *large, "--no-cache").stdout


def test_other_arguments_than_the_process_was_given_do_not(run: Runner, large: tuple[Path, Path]) -> None:
    program = "import sys; sys.argv[1:] = sys.argv[1:][::-1]; from hpbuild.cli.main import run; run()"
    assert len(run("-c", program, "--no-cache", large[1], large[0], "diff").begins) == 1


def test_programs_that_are_started_know_nothing_of_it(run: Runner, large: tuple[Path, Path]) -> None:
    ours = run("-m", "hpbuild", "diff", *large, "--no-cache").begins[1].split()[0]
    program = "import os; from hpbuild.cli.huge_pages import begin_again; begin_again([]); print(os.environ)"
    found = run("-X", "begun-again", "-c", program, GLIBC_TUNABLES=ours)
    assert "GLIBC_TUNABLES" not in found.stdout
    found = run("-X", "begun-again", "-c", program, GLIBC_TUNABLES="glibc.malloc.arena_max=4")
    assert "GLIBC_TUNABLES" in found.stdout, "that is not ours"


def test_fail_interrupted_in_between(run: Runner, large: tuple[Path, Path]) -> None:
    found = run("-m", "hpbuild", "diff", *large, "--no-cache", PRESS="1")
    assert len(found.begins) == 2
    assert found.status == ExitStatus.NO, found.stderr
    assert "HP9002" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("watch", ["setprofile", "settrace"])
def test_a_watched_process_does_not(run: Runner, large: tuple[Path, Path], watch: str) -> None:
    program = f"import sys; sys.{watch}(lambda *_: None); from hpbuild.cli.main import run; run()"
    assert len(run("-c", program, "diff", *large, "--no-cache").begins) == 1
    program = "import sys; from hpbuild.cli.main import run; run()"
    assert len(run("-c", program, "diff", *large, "--no-cache").begins) == 2
