"""The agent's courier as a child process: a line goes in, a line comes out, no wait is without end."""

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from hpbuild.apply.live.host import Host
from hpbuild.codes.driver import COURIER_FAILED, COURIER_SILENT
from hpbuild.codes.live import PROCESS_GONE
from hpbuild.errors import HpbuildError

FAREWELL = 5.0
"""Seconds that the courier has to end after its input was closed."""
LONGEST_LINE = 1 << 20
"""Bytes of one answer that are read."""
SHOWN = 300
"""Characters of the courier's own log that a message repeats."""
LAST_WORDS = 10.0
"""Seconds that the courier has to say that the process it works on has ended."""


class Courier:
    """A running courier. Not for several threads at once."""

    def __init__(self, program: Path, arguments: Sequence[str], host: Host) -> None:
        """Start ``program``. Raises HpbuildError HP7353 when that fails."""
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._log: list[bytes] = []
        command = [*host.loader, str(program), *arguments]
        try:
            self._child = subprocess.Popen(  # noqa: S603 - the agent's own program
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(host.environment),
                **_ownership(host),
            )
        except (OSError, ValueError) as error:
            raise HpbuildError(COURIER_FAILED, command[0], f"it could not be started: {error}") from error
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._input: IO[bytes] = self._child.stdin
        self._readers = (
            threading.Thread(target=self._listen, args=(self._child.stdout,), daemon=True),
            threading.Thread(target=self._collect, args=(self._child.stderr,), daemon=True),
        )
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The courier's process id on this system."""
        return self._child.pid

    def ask(self, line: str, limit: float, ended: Callable[[], bool] = lambda: False) -> bytes:
        """Send ``line`` and return the answer without its line end, waiting at most ``limit`` seconds.
        ``ended`` tells whether the process that the courier works on has ended.

        Raises HpbuildError: HP7353 when the courier is gone, HP7354 when it is silent, HP7323 when it is
        silent and the process has ended: a call into that may never come back. After each of them the
        session is over; what happened in the process is told by its journal alone."""
        try:
            self._input.write(line.encode() + b"\n")
            self._input.flush()
        except (OSError, ValueError) as error:
            raise self._gone(line) from error
        answer = self._answer(line, limit, ended)
        if not answer.endswith(b"\n"):
            raise self._gone(line)
        return answer.rstrip(b"\r\n")

    def _answer(self, line: str, limit: float, ended: Callable[[], bool]) -> bytes:
        until, seen = time.monotonic() + limit, False
        while True:
            left = until - time.monotonic()
            try:
                return self._lines.get(timeout=max(0.0, min(left, LAST_WORDS)))
            except queue.Empty:
                gone = ended()
            if left <= LAST_WORDS or (gone and seen):
                self.kill()
                if gone:
                    raise HpbuildError(PROCESS_GONE, "the process", f"no answer to {line!r} either")
                raise HpbuildError(COURIER_SILENT, line, f"no answer in {limit:g} seconds")
            seen = gone

    def close(self) -> None:
        """Let the courier end, which leaves the process as it is."""
        with contextlib.suppress(OSError):  # it may be gone already
            self._input.close()
        try:
            self._child.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            self.kill()
        for reader in self._readers:
            reader.join(FAREWELL)  # a program that the courier started could hold the pipes

    def kill(self) -> None:
        """End the courier at once; the process it works on finishes by itself what it has begun."""
        self._child.kill()
        self._child.wait()

    def _gone(self, line: str) -> HpbuildError:
        try:
            status: int | None = self._child.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            status = None
        self._readers[1].join(FAREWELL)  # its last words may still be in the pipe
        log = b"".join(self._log).decode("utf-8", "replace").strip()[-SHOWN:]
        cause = f"it ended with status {status} at {line!r}" + (f": {log}" if log else "")
        return HpbuildError(COURIER_FAILED, "courier", cause)

    def _listen(self, stream: IO[bytes]) -> None:
        with stream:
            while answer := stream.readline(LONGEST_LINE):
                self._lines.put(answer)
            self._lines.put(b"")

    def _collect(self, stream: IO[bytes]) -> None:
        with stream:
            while text := stream.read1(4096):  # type: ignore[attr-defined]
                self._log.append(text)
                del self._log[:-16]


def _ownership(host: Host) -> dict[str, Any]:
    """What makes the courier run as the process's user, where there is something to change."""
    if os.name == "nt" or host.user is None:
        return {}
    return {"user": host.user, "group": host.group, "extra_groups": []}
