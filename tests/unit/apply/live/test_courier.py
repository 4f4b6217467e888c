"""A child process that answers lines, and every way in which it does not."""

import os
import sys
from pathlib import Path

import pytest

from hpbuild.apply.live.binaries import find_binaries
from hpbuild.apply.live.courier import Courier
from hpbuild.apply.live.host import Host
from hpbuild.codes import driver as codes
from hpbuild.codes import live
from hpbuild.errors import HpbuildError

PATIENCE = 300
"""Seconds to wait for what is bound to come."""
HOST = Host(loader=(sys.executable,), environment=dict(os.environ))
ECHO = "import sys\nfor line in sys.stdin:\n print('you said', line, end='', flush=True)\n"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No last word is given up on because the machine is busy."""
    monkeypatch.setattr("hpbuild.apply.live.courier.FAREWELL", float(PATIENCE))


def courier(folder: Path, text: str, *arguments: str) -> Courier:
    path = folder / "courier.py"
    path.write_text(text)
    return Courier(path, arguments, HOST)


def test_lines_go_and_come(tmp_path: Path) -> None:
    opened = courier(tmp_path, ECHO)
    assert opened.ask("hello", PATIENCE) == b"you said hello"
    assert opened.ask("again", PATIENCE) == b"you said again"
    opened.close()
    with pytest.raises(ProcessLookupError):
        os.kill(opened.pid, 0)


def test_one_that_ends_says_why(tmp_path: Path) -> None:
    opened = courier(tmp_path, "import sys\nsys.stdin.readline()\nsys.exit('no such process')\n")
    with pytest.raises(HpbuildError) as caught:
        opened.ask("hello", PATIENCE)
    assert caught.value.code is codes.COURIER_FAILED
    assert "status 1" in caught.value.finding.cause
    assert "no such process" in caught.value.finding.cause
    with pytest.raises(HpbuildError) as caught:
        opened.ask("hello", PATIENCE)
    assert caught.value.code is codes.COURIER_FAILED
    opened.close()


LATE = """import subprocess, sys
sys.stdin.readline()
late = "import sys, time; time.sleep(0.5); sys.exit('the last words')"
subprocess.Popen([sys.executable, "-c", late], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
sys.exit(1)
"""


def test_words_that_come_after_the_end_are_waited_for(tmp_path: Path) -> None:
    opened = courier(tmp_path, LATE)
    with pytest.raises(HpbuildError) as caught:
        opened.ask("hello", PATIENCE)
    assert caught.value.finding.cause == "it ended with status 1 at 'hello': the last words"
    opened.close()


def test_half_a_line_is_no_answer(tmp_path: Path) -> None:
    opened = courier(tmp_path, "import sys\nsys.stdin.readline()\nprint('{\"ok\": true', end='')\n")
    with pytest.raises(HpbuildError) as caught:
        opened.ask("hello", PATIENCE)
    assert caught.value.code is codes.COURIER_FAILED
    opened.close()


def test_a_silent_one_is_ended(tmp_path: Path) -> None:
    opened = courier(tmp_path, "import time\ntime.sleep(600)\n")
    with pytest.raises(HpbuildError) as caught:
        opened.ask("hello", 0.1)
    assert caught.value.code is codes.COURIER_SILENT
    with pytest.raises(ProcessLookupError):
        os.kill(opened.pid, 0)
    opened.close()


SLEEPS = "import time\ntime.sleep(600)\n"


def test_a_silent_one_whose_process_has_ended(tmp_path: Path) -> None:
    opened = courier(tmp_path, SLEEPS)
    with pytest.raises(HpbuildError) as caught:
        opened.ask("apply", 0.1, lambda: True)
    assert caught.value.code is live.PROCESS_GONE
    with pytest.raises(ProcessLookupError):
        os.kill(opened.pid, 0)
    opened.close()


def test_nobody_waits_long_for_the_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpbuild.apply.live.courier.LAST_WORDS", 0.05)
    asked: list[bool] = []

    def ended() -> bool:
        asked.append(len(asked) >= 2)
        return asked[-1]

    opened = courier(tmp_path, SLEEPS)
    with pytest.raises(HpbuildError) as caught:
        opened.ask("apply", PATIENCE, ended)
    assert caught.value.code is live.PROCESS_GONE
    assert asked == [False, False, True, True], "once to see it, and once more when it had time to tell"
    opened.close()


def test_the_last_words_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpbuild.apply.live.courier.LAST_WORDS", 0.05)
    opened = courier(
        tmp_path, "import sys\nsys.stdin.readline()\nprint(sys.stdin.readline(), end='', flush=True)\n"
    )
    asked: list[bool] = []

    def ended() -> bool:
        if not asked:  # only now does it get what it waits for
            opened._input.write(b"told\n")
            opened._input.flush()
        asked.append(True)
        return len(asked) == 1

    assert opened.ask("apply", PATIENCE, ended) == b"told"
    opened.close()


def test_one_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(HpbuildError) as caught:
        Courier(tmp_path / "x", (), Host(loader=(str(tmp_path / "missing"),), environment={}))
    assert caught.value.code is codes.COURIER_FAILED


def test_an_agent_that_was_not_built(tmp_path: Path) -> None:
    (tmp_path / "hpagent.exe").write_bytes(b"MZ")
    with pytest.raises(HpbuildError) as caught:
        find_binaries(tmp_path)
    assert caught.value.code is codes.AGENT_MISSING
    assert "hpagent.dll" in caught.value.finding.place
    (tmp_path / "hpagent.dll").write_bytes(b"MZ")
    assert find_binaries(tmp_path).courier == tmp_path / "hpagent.exe"
