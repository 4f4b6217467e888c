"""Commands that work on large columns keep memory for the next column, in one heap, and in small pages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from threading import Thread
from hpbuild.cli.heap import prepare_heap
prepare_heap(sys.argv[1:])
import numpy as np
def heap():
    line = next(line for line in open("/proc/self/maps") if line.rstrip().endswith("[heap]"))
    return [int(end, 16) for end in line.split()[0].split("-")]
def in_heap(column):
    low, high = heap()
    return low <= column.ctypes.data < high
columns = [np.zeros(16 << 20, dtype=np.uint8)]
thread = Thread(target=lambda: columns.append(np.zeros(16 << 20, dtype=np.uint8)))
thread.start(); thread.join()
found = [in_heap(column) for column in columns]
size = heap()[1] - heap()[0]
del columns[:]
kept = heap()[1] - heap()[0] == size
print(*found, kept)
"""
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""),
    reason="the settings are glibc's",
)


def run(program: str, *words: str, **variables: str) -> str:
    """What a program says that has these words."""
    plain = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env=plain | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("command", ["diff", "build", "prove"])
def test_columns_lie_in_one_heap_that_is_kept(command: str) -> None:
    assert run(PROGRAM, command, "a.dll", "b.dll") == "True True True", "in it: here, of a thread; kept"


@pytest.mark.parametrize("words", [(), ("inspect", "diff"), ("verify", "a.hpb")])
def test_other_commands_have_it_as_it_was(words: tuple[str, ...]) -> None:
    assert run(PROGRAM, *words).split()[:2] == ["False", "False"], "each has a mapping of its own"


def test_what_somebody_has_set_up_stays() -> None:
    found = run(PROGRAM, "diff", GLIBC_TUNABLES="glibc.malloc.arena_max=4").split()
    assert found[:2] == ["False", "False"]


def test_nobody_asks_for_huge_pages_unless_told_to() -> None:
    program = (
        "import os; from hpbuild.cli.heap import prepare_heap; prepare_heap([]);"
        "print(os.environ['NUMPY_MADVISE_HUGEPAGE'])"
    )
    assert run(program) == "0"
    assert run(program, NUMPY_MADVISE_HUGEPAGE="1") == "1"


def test_a_command_line_prepares_its_heap() -> None:
    """In time: before anything imports numpy."""
    program = """
import sys, hpbuild.cli.main as main
def told(arguments):
    print(*arguments, "numpy" in sys.modules)
    raise SystemExit
main.prepare_heap = told
main.run()
"""
    assert run(program, "diff", "a.dll", "b.dll") == "diff a.dll b.dll False"
