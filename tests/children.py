"""The processes that this one has forked, and not waited for."""

import os
import signal
import time
from pathlib import Path

_SECONDS = 60


def children() -> list[int]:
    """Those that run no other program; ended ones too, as long as nobody has waited for them. Source:
    proc_pid_task(5)."""
    lists = (path.read_text(encoding="ascii").split() for path in Path("/proc/self/task").glob("*/children"))
    return sorted(int(word) for words in lists for word in words if _program(word) in (b"", _program("self")))


def _program(process: str) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


def has_ended(process: int) -> bool:
    """Whether a process is gone, or nobody has waited for it."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def await_end(process: int) -> None:
    """Until ``process`` has ended: its memory is gone then."""
    deadline = time.monotonic() + _SECONDS
    while not has_ended(process):
        assert time.monotonic() < deadline, f"process {process} goes on"
        time.sleep(0.01)


def kill(process: int) -> None:
    """End a process, and wait until it has."""
    os.kill(process, signal.SIGKILL)
    await_end(process)
