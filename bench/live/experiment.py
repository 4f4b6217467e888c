"""Apply, revert and apply a package again while the server answers: all that was seen, as one document."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.live.serving import Server

Document = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
WARMUP = 4.0
NICE = 10
"""hpbuild reads and compares 114 MB; it gives way to the server that shares the machine with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``package`` is signed by the key behind ``public``; ``seconds`` is the length of each quiet phase."""

    package: Path
    public: Path
    folder: Path
    seconds: float
    rate: float
    connections: int


def hpbuild(*words: str, expect: tuple[int, ...] = (0,)) -> tuple[Document, float]:
    """Run a command of hpbuild with JSON output, with low priority: its document and its seconds. Raises
    SystemExit for another exit status."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "hpbuild", *words, "--format", "json"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, check=False, preexec_fn=lambda: os.nice(NICE)
    )
    if done.returncode not in expect:
        raise SystemExit(f"hpbuild {' '.join(words)}: exit status {done.returncode}\n{_tail(done)}")
    return json.loads(done.stdout), time.monotonic() - begin


def _tail(done: "subprocess.CompletedProcess[bytes]") -> str:
    return (done.stdout + done.stderr)[-4000:].decode(errors="replace")


def run(plan: Plan, server: Server) -> Document:
    """The whole run: ``phases`` with their times, ``commands`` with what hpbuild said, ``samples``."""
    output = plan.folder / "samples.json"
    load = subprocess.Popen(
        [sys.executable, "-m", "bench.live.load", str(server.port), "--output", str(output),
         "--rate", str(plan.rate), "--connections", str(plan.connections)],
        cwd=ROOT, stdin=subprocess.PIPE,
    )  # fmt: skip
    package, pid = str(plan.package), ["--pid", str(server.pid)]
    commands: list[tuple[str, Callable[[], tuple[Document, float]]]] = [
        ("apply", lambda: hpbuild("apply", package, *pid, "--key", str(plan.public))),
        ("revert", lambda: hpbuild("revert", package, *pid)),
        ("apply again", lambda: hpbuild("apply", package, *pid, "--key", str(plan.public))),
    ]
    quiet = iter(("before", "applied", "reverted", "applied again"))
    phases: list[Document] = []
    said: list[Document] = []
    time.sleep(WARMUP)
    phases.append(_quiet(next(quiet), plan.seconds, server))
    for name, command in commands:
        begin = time.monotonic()
        document, seconds = command()
        said.append({"name": name, "seconds": seconds, "answer": document})
        phases.append({"name": name, "begin": begin, "end": time.monotonic(), "quiet": False})
        phases.append(_quiet(next(quiet), plan.seconds, server))
    status, _ = hpbuild("status", package, *pid)
    alive = server.alive
    load.communicate(timeout=120)
    if load.returncode:
        raise SystemExit(f"the load ended with status {load.returncode}")
    return {
        "phases": phases,
        "commands": said,
        "status": status,
        "alive": alive,
        "rate": plan.rate,
        "connections": plan.connections,
        "samples": json.loads(output.read_text()),
    }


def _quiet(name: str, seconds: float, server: Server) -> Document:
    """A phase in which nothing happens but requests, with the server's counts at both ends."""
    first, begin = json.loads(server.state()), time.monotonic()
    time.sleep(seconds)
    end = time.monotonic()
    return {
        "name": name,
        "begin": begin,
        "end": end,
        "quiet": True,
        "states": [first, json.loads(server.state())],
    }
