"""Run ``hpbuild diff`` on one pair in a process of its own and keep what it said and what it took."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, Any

from bench.sources import Pair

RUN = "from hpbuild.cli.main import run; run()"
POLL = 0.02
"""Seconds between two looks at a running process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One comparison. ``outcome`` is the verdict, or the code of the error, or 'timeout' or 'crash'.
    ``seconds`` is wall time, ``peak_mib`` the largest resident size; ``accounted`` says whether the byte
    account adds up to the mapped bytes of the fixed file."""

    group: str
    name: str
    size: int
    outcome: str
    seconds: float
    peak_mib: int
    symbols: str = ""
    functions: int = 0
    changed: int = 0
    added: int = 0
    removed: int = 0
    data: int = 0
    truth: int | None = None
    accounted: bool = False
    findings: dict[str, int] = field(default_factory=dict)


def measure(pair: Pair, limit: float, symbols: str = "auto") -> Result:
    """Compare *pair* with at most *limit* seconds."""
    command = [sys.executable, "-c", RUN, "diff", "--quiet", "--format", "json", "--symbols", symbols]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begin = time.monotonic()
        process = subprocess.Popen(
            [*command, str(pair.baseline), str(pair.fixed)], stdout=output, stderr=errors
        )
        status, peak = _wait(process, begin + limit)
        seconds = time.monotonic() - begin
        facts = _facts(output) if status in (0, 1) else {"outcome": _failure(status, output, errors)}
    return Result(
        group=pair.group,
        name=pair.name,
        size=pair.fixed.stat().st_size,
        truth=pair.truth,
        seconds=round(seconds, 2),
        peak_mib=round(peak / 1024),
        **facts,
    )


def _wait(process: subprocess.Popen[bytes], deadline: float) -> tuple[int | None, int]:
    """Wait for *process*; returns its exit status (None: killed at the deadline) and its peak size in KiB."""
    killed = False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return (None if killed else process.returncode), usage.ru_maxrss
        if not killed and time.monotonic() > deadline:
            process.kill()
            killed = True
        time.sleep(POLL)


def _document(output: IO[bytes]) -> dict[str, Any]:
    output.seek(0)
    try:
        document = json.load(output)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _facts(output: IO[bytes]) -> dict[str, Any]:
    """The counts of a result document."""
    document = _document(output)
    if "summary" not in document:
        return {"outcome": _code(document) or "no result"}
    summary, account = document["summary"], document["account"]
    return {
        "outcome": document["verdict"],
        "symbols": document["symbols"],
        "functions": summary["functions_fixed"],
        "changed": summary["changed"],
        "added": summary["added"],
        "removed": summary["removed"],
        "data": summary["data_changed"] + summary["data_added"] + summary["data_removed"],
        "accounted": sum(entry["size"] for entry in account["classes"]) == account["total"],
        "findings": dict(sorted(Counter(finding["code"] for finding in document["findings"]).items())),
    }


def _failure(status: int | None, output: IO[bytes], errors: IO[bytes]) -> str:
    """What to call a run without a result."""
    if status is None:
        return "timeout"
    code = _code(_document(output))
    if code:
        return code
    errors.seek(0)
    return "crash" if b"Traceback" in errors.read() or status < 0 else f"exit status {status}"


def _code(document: dict[str, Any]) -> str:
    """The code of an error document, '' if it is none."""
    entry = document.get("error", document)
    return str(entry.get("code", "")) if isinstance(entry, dict) else ""
