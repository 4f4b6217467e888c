"""Which system's way of reading a process is taken; the ways themselves have tests with real processes."""

import sys

import pytest

from hpbuild.codes import process as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.processes import open_process


def test_a_system_without_windows_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(HpbuildError) as caught:
        open_process(1)
    assert caught.value.code is codes.PROCESSES_NOT_HERE
    assert "darwin" in caught.value.finding.cause


@pytest.mark.parametrize("pid", [0, -1])
def test_numbers_that_no_process_has(pid: int) -> None:
    with pytest.raises(HpbuildError) as caught:
        open_process(pid)
    assert caught.value.code is codes.NO_SUCH_PROCESS
