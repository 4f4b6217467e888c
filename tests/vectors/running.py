"""Runs a case with a program and says what was wrong."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vectors.case import FILES, Case

TIMEOUT = 600
"""Seconds for one command line."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``complaint`` is '' when the program did what the case asks for; ``codes`` is False when it gave no
    JSON document in which codes could be looked for."""

    complaint: str
    codes: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """Exit status and output of one command line."""

    status: int
    output: bytes
    errors: bytes


Verifier = Callable[[Sequence[str]], Ended]
"""Runs one command line, given without the program."""


def external(program: Sequence[str]) -> Verifier:
    """The verifier that is called with ``program``, the words before the arguments."""

    def run(words: Sequence[str]) -> Ended:
        done = subprocess.run([*program, *words], capture_output=True, timeout=TIMEOUT, check=False)
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def run_case(case: Case, verifier: Verifier) -> Outcome:
    """Run the steps of ``case``."""
    ended = Ended(0, b"", b"")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for source, target in case.copies:
            shutil.copyfile(_filled(source, case, scratch), _filled(target, case, scratch))
        for item in case.inserts:
            data = Path(_filled(item.source, case, scratch)).read_bytes()
            grown = data[: item.at] + item.text.encode() * item.count + data[item.at :]
            Path(_filled(item.target, case, scratch)).write_bytes(grown)
        for number, step in enumerate(case.steps, 1):
            ended = verifier([*(_filled(word, case, scratch) for word in step), "--format", "json"])
            if number < len(case.steps) and ended.status:
                said = _excerpt(ended.errors or ended.output)
                return Outcome(f"step {number} ended with {ended.status}: {said}", False)
    return _judged(case, ended)


def _filled(word: str, case: Case, scratch: Path) -> str:
    for name, folder in (("{case}", case.folder), ("{files}", FILES), ("{scratch}", scratch)):
        word = word.replace(name, str(folder))
    return word


def _judged(case: Case, ended: Ended) -> Outcome:
    found = _codes(ended.output)
    if ended.status != case.status:
        said = ", ".join(sorted(found or ())) or _excerpt(ended.errors)
        return Outcome(f"exit status {ended.status}, expected {case.status} ({said})", found is not None)
    missing = case.codes - found if found is not None else set()
    if missing:
        said = ", ".join(sorted(found or ())) or "none"
        return Outcome(f"no finding {', '.join(sorted(missing))}; found: {said}", True)
    return Outcome("", found is not None)


def _codes(output: bytes) -> set[str] | None:
    """Codes of all findings in the JSON document ``output``; None when it is no JSON."""
    try:
        document = json.loads(output)
    except ValueError:
        return None
    found: set[str] = set()
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            code = value.get("code")
            if isinstance(code, str):
                found.add(code)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found


def _excerpt(data: bytes) -> str:
    return " ".join(data.decode("utf-8", "replace").split())[:200]
