"""Run one command: its wall time, CPU time and peak memory, of all its processes together (Linux)."""

import ctypes
import os
import resource
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.performance.memory import tree_kib

FIRST_LOOK, LONGEST_PAUSE = 0.004, 1.0
"""Seconds until memory is looked at for the first time, and at most between two looks."""
SHARE_OF_LOOKS = 0.04
"""Most of a processor that looking at memory may take."""
ORPHANS = 5.0
"""Seconds that processes may outlive the one that was started."""
KEPT = 1 << 16
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """``status`` is None for a command that was ended at its limit. ``wall`` and ``cpu`` are seconds: until
    the first process ended, and user and system time of all. ``peak`` is in MiB, see ``run``."""

    status: int | None
    wall: float
    cpu: float
    peak: float
    output: str
    errors: str


def adopt_orphans() -> None:
    """Let this process inherit the processes that its children leave behind, so that their time counts."""
    if not hasattr(os, "pidfd_open") or not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit("bench.performance needs Linux: memory is read from /proc, ends are seen by pidfd")
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SystemExit(f"prctl: {os.strerror(ctypes.get_errno())}")


def run(command: Sequence[str], *, folder: Path, environment: dict[str, str], limit: float) -> Run:
    """Run *command* in *folder*, at most *limit* seconds.

    The peak is the larger of two figures: the largest that ``tree_kib`` says, asked every 4 ms to every
    second; and the largest resident size of a single process, which the kernel keeps. The second is used only
    when it is above that of this process, because a new process begins with the mark of its parent."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            process_group=0,  # by which its processes are told from other children of this one
        )
        peak, in_time = _watch(process.pid, begin + limit)
        wall = time.perf_counter() - begin
        if not in_time:
            process.kill()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime + _reaped(process.pid)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        highest = usage.ru_maxrss if usage.ru_maxrss > own else 0
        texts = []
        for stream in (output, errors):
            stream.seek(0)
            texts.append(stream.read(KEPT).decode(errors="replace"))
    return Run(
        status=process.returncode if in_time else None,
        wall=wall,
        cpu=cpu,
        peak=max(peak, highest) / 1024,
        output=texts[0],
        errors=texts[1],
    )


def _watch(pid: int, deadline: float) -> tuple[int, bool]:
    """Look at the memory of *pid* and all below it until it ends: the largest sum in KiB, and whether it
    ended before *deadline*."""
    peak, pause = 0, FIRST_LOOK
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(1000 * pause):
            if time.perf_counter() > deadline:
                return peak, False
            begin = time.process_time()
            peak = max(peak, tree_kib(pid))
            took = time.process_time() - begin
            pause = min(max(took / SHARE_OF_LOOKS, FIRST_LOOK), LONGEST_PAUSE)
    finally:
        os.close(descriptor)
    return peak, True


def _reaped(group: int) -> float:
    """Wait for what the process left behind; the CPU seconds of that. What stays longer is not waited for."""
    total, deadline = 0.0, time.monotonic() + ORPHANS
    while time.monotonic() < deadline:
        try:
            pid, _, usage = os.wait4(-group, os.WNOHANG)
        except ChildProcessError:
            break
        if pid:
            total += usage.ru_utime + usage.ru_stime
        else:
            time.sleep(0.01)
    return total
