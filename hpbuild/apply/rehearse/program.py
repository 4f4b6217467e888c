"""The program of a rehearsal: started with its output in files, watched, and ended when it does not end."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpbuild.apply.live.host import wine_host
from hpbuild.apply.rehearse.model import End, Ending
from hpbuild.codes.rehearse import CANNOT_START
from hpbuild.errors import HpbuildError

PATIENCE = 5.0
"""Seconds between asking a process to end and ending it."""
MOST_PROCESSES = 256
"""Processes of the program that are looked at."""


class Program:
    """A started program. Its processes are those of its session (setsid(2)), where there are sessions: Wine
    starts programs in ways that leave no parent, and its servers in sessions of their own."""

    def __init__(self, command: Sequence[str], output: Path, errors: Path) -> None:
        """Start ``command``; a .exe through Wine, except on Windows. Raises HpbuildError: HP7400 when that
        fails, HP7350 without Wine."""
        words, environment = _words(command)
        try:
            with output.open("wb") as out, errors.open("wb") as err:
                self._child = subprocess.Popen(  # noqa: S603 - what the user asked for
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=environment,
                    **_session(),
                )
        except (OSError, ValueError) as error:
            raise HpbuildError(CANNOT_START, command[0], str(error)) from error
        self.started = time.monotonic()

    def pids(self) -> tuple[int, ...]:
        """The program's processes, the started one first."""
        return (
            self._child.pid,
            *(pid for pid in _session_members(self._child.pid) if pid != self._child.pid),
        )

    @property
    def running(self) -> bool:
        """True until the started process has ended."""
        return self._child.poll() is None

    def wait(self, limit: float) -> Ending | None:
        """How it ended, None when it still runs after ``limit`` seconds."""
        try:
            status = self._child.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        return Ending(end=End.BY_ITSELF, status=status)

    def end(self) -> Ending:
        """End every process of the program that still runs."""
        before = self.wait(0)
        rest = [pid for pid in _session_members(self._child.pid) if pid != self._child.pid]
        if before is None:
            self._child.terminate()
            if self.wait(PATIENCE) is None:
                self._child.kill()
                self._child.wait()
        for pid in rest:
            _terminate(pid, self._child.pid)
        return before or Ending(end=End.BY_REHEARSAL, status=None)


def _words(command: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command line to start, and its environment."""
    if not command:
        raise HpbuildError(CANNOT_START, "--", "there is no command")
    if os.name == "nt" or not command[0].lower().endswith(".exe"):
        return list(command), dict(os.environ)
    if not Path(command[0]).is_file():
        raise HpbuildError(CANNOT_START, command[0], "there is no such file")
    host = wine_host()
    return [*host.loader, *command], {"WINEDEBUG": "-all", **host.environment}


def _session() -> dict[str, Any]:
    return {} if os.name == "nt" else {"start_new_session": True}


def _session_members(session: int) -> tuple[int, ...]:
    """Processes of a session, oldest first (proc_pid_stat(5), field 6), none where there is no /proc."""
    found: list[int] = []
    try:
        numbers = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    except OSError:
        return ()
    for pid in numbers:
        if len(found) < MOST_PROCESSES and _session_of(pid) == session:
            found.append(pid)
    return tuple(found)


def _session_of(pid: int) -> int:
    try:
        text = (Path("/proc") / str(pid) / "stat").read_bytes()
        state, _, _, session = text.rpartition(b")")[2].split()[:4]
    except (OSError, ValueError):
        return -1
    return -1 if state in (b"Z", b"X") else int(session)


def _terminate(pid: int, session: int) -> None:
    """End a process that is still one of the program's, and wait a moment until it has ended."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if _session_of(pid) != session:
            return
        try:
            os.kill(pid, how)
        except OSError:
            return
        deadline = time.monotonic() + PATIENCE
        while _session_of(pid) == session and time.monotonic() < deadline:
            time.sleep(0.05)
