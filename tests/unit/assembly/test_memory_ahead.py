"""Memory that a thread gets in time."""

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpbuild.assembly.memory_ahead import memory_ahead

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")

PROGRAM = """
import resource, sys
from types import SimpleNamespace
from hpbuild.assembly.memory_ahead import memory_ahead

def kib(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key))

limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_AS, ((kib("VmSize:") + limit) << 10, -1))
before = kib("VmHWM:")
with memory_ahead((SimpleNamespace(references=range(int(sys.argv[1]))),)):
    pass
print((kib("VmHWM:") - before) >> 10)
"""


def _used(root: Path, references: int, limit: int = 0) -> int:
    """MiB that were got for a program with so many references, in a process that may have ``limit`` KiB
    more."""
    command = [sys.executable, "-c", PROGRAM, str(references), str(limit)]
    done = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True)
    assert done.stderr == ""
    return int(done.stdout)


def test_a_large_program_gets_memory_by_its_references(root: Path) -> None:
    assert 120 <= _used(root, 2_097_152) <= 140
    assert 250 <= _used(root, 4_194_304) <= 270


def test_a_small_one_gets_none(root: Path) -> None:
    assert _used(root, 1_000_000) == 0


def test_where_memory_ends_nothing_happens(root: Path) -> None:
    assert _used(root, 4_194_304, limit=100 << 10) < 110


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with pytest.raises(KeyError), memory_ahead((SimpleNamespace(references=range(2_097_152)),)):  # type: ignore[arg-type]
        raise KeyError
    assert threading.active_count() == before
