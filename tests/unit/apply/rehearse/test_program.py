"""Starting, watching and ending a program."""

import os
import sys
import time
from pathlib import Path

import pytest

from hpbuild.apply.rehearse.model import End
from hpbuild.apply.rehearse.program import Program
from hpbuild.codes import rehearse as codes
from hpbuild.errors import HpbuildError

PATIENCE = 300
"""Seconds to wait for what is bound to come."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="programs of a Unix system")


def program(folder: Path, *command: str) -> Program:
    return Program(command, folder / "out", folder / "err")


def test_its_output_and_its_end(tmp_path: Path) -> None:
    started = program(tmp_path, "sh", "-c", "echo said; echo complained >&2; read x || exit 3")
    ending = started.wait(PATIENCE)
    assert ending is not None
    assert (ending.end, ending.status) == (End.BY_ITSELF, 3)
    assert not started.running
    assert started.end() == ending
    assert (tmp_path / "out").read_bytes() == b"said\n"
    assert (tmp_path / "err").read_bytes() == b"complained\n"


def test_it_is_ended_with_all_its_processes(tmp_path: Path) -> None:
    script = (
        "import os, time\nparent = os.fork()\n"
        "if parent:\n os.waitpid(parent, 0)\nelif os.fork():\n os._exit(0)\n"
        "os.write(1, b'1')\ntime.sleep(600)\n"
    )
    started = program(tmp_path, sys.executable, "-c", script)
    try:
        deadline = time.monotonic() + PATIENCE
        while (tmp_path / "out").read_bytes().count(b"1") < 2 and time.monotonic() < deadline:
            assert started.wait(0.05) is None
        pids = started.pids()
        assert len(pids) == 2  # the second one's parent is gone
    finally:
        ending = started.end()
    assert (ending.end, ending.status) == (End.BY_REHEARSAL, None)
    deadline = time.monotonic() + PATIENCE
    while any((Path("/proc") / str(pid) / "exe").exists() for pid in pids):
        assert time.monotonic() < deadline, "a process goes on"
        time.sleep(0.05)


def test_it_can_ignore_to_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpbuild.apply.rehearse.program.PATIENCE", 0.2)
    started = program(tmp_path, "sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done")
    try:
        while not (tmp_path / "out").read_bytes():
            assert started.wait(0.05) is None
    finally:
        ending = started.end()
    assert ending.end is End.BY_REHEARSAL
    assert not started.running


@pytest.mark.parametrize("command", [("/missing/program",), ("missing.exe",), ()])
def test_it_cannot_be_started(tmp_path: Path, command: tuple[str, ...]) -> None:
    with pytest.raises(HpbuildError) as caught:
        program(tmp_path, *command)
    assert caught.value.code is codes.CANNOT_START
