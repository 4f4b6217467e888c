"""The result of ``rehearse``: what was done, what the program noticed, and whether it did what it should."""

from pathlib import Path

from hpbuild.apply.rehearse.judging import described as exit_words
from hpbuild.apply.rehearse.model import End, Ending, Rehearsal, Step
from hpbuild.errors import ExitStatus
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, counted, finding, finding_blocks, shortened, start
from hpbuild.report.live import described, micro, times

SECONDS = 6
"""Digits behind the point."""


def document(path: str, result: Rehearsal) -> Document:
    """The document; ``path`` is the package's file."""
    package = result.verification
    return {
        **start("rehearse"),
        "verdict": "passed" if result.status is ExitStatus.YES else "failed",
        "status": int(result.status),
        "path": path,
        "sha256": package.sha256,
        "id": package.id,
        "sequence": package.sequence,
        "authenticity": package.authenticity.value,
        "command": list(result.command),
        "pid": result.pid,
        "ready_seconds": None if result.ready is None else round(result.ready, SECONDS),
        "rounds": result.rounds,
        "applied": result.applied,
        "reverted": result.reverted,
        "waits": times(result.waits),
        "looks": times(result.looks),
        "longest_commit_us": micro(max((step.commit_ns for step in result.steps), default=0)),
        "ending": None if result.ending is None else _ending(result.ending),
        "output": _path(result.output),
        "errors": _path(result.errors),
        "reference": _path(result.reference),
        "modules": [{"path": name, "state": state} for name, state in result.modules],
        "steps": [_step(step) for step in result.steps],
        "findings": [finding(item) for item in result.findings],
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _ending(ending: Ending) -> Document:
    return {"by": "itself" if ending.end is End.BY_ITSELF else "rehearsal", "status": ending.status}


def _step(step: Step) -> Document:
    return {
        "action": step.action.value,
        "round": step.round,
        "ok": step.ok,
        "seconds": round(step.seconds, SECONDS),
        "commit_us": micro(step.commit_ns),
        "waits": times(step.waits),
        "looks": times(step.looks),
        "code": None if step.finding is None else step.finding.code.id,
    }


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """The verdict, the program, the pauses, and with ``full`` every step."""
    good = result["verdict"] == "passed"
    parts: list[Block] = [
        Line(f"{result['path']}: rehearsal {result['verdict']}", Tone.GOOD if good else Tone.BAD),
        Pairs(tuple(_facts(result))),
    ]
    if result["modules"]:
        rows = tuple((module["path"], module["state"]) for module in result["modules"])
        parts += [Heading("modules, at the end of the rounds"), Table(("module", "state"), rows)]
    if result["steps"] and (full or not good):
        columns = ("step", "round", "result", "whole command", "written in", "waits", "longest wait")
        table = Table(columns, tuple(map(_row, result["steps"])), frozenset({1, 3, 4, 5, 6}))
        parts += [Heading("steps"), *shortened(table, full=full)]
    return parts + finding_blocks(result["findings"])


def _facts(result: Document) -> list[tuple[str, str]]:
    rows = [
        ("package", f"{result['id'] or '-'} (sequence {result['sequence']})"),
        ("program", " ".join(result["command"])),
    ]
    if result["pid"] is None and result["ending"] is None:
        return [*rows, ("run", "not started: the package was not accepted")]
    done = f"applied {counted(result['applied'], 'time')}, reverted {counted(result['reverted'], 'time')}"
    rows += [
        ("rounds", f"{result['rounds']:,} asked for; {done} while it ran"),
        ("threads that waited", described(result["waits"])),
        ("looks at threads", described(result["looks"])),
        ("longest write", f"{result['longest_commit_us']:,.0f} µs from the first byte to the last"),
        ("end", _end_words(result["ending"])),
        ("output", result["output"]),
        ("errors", result["errors"]),
    ]
    if result["reference"]:
        rows.append(("without package", result["reference"]))
    return rows


def _end_words(ending: Document) -> str:
    if ending["by"] == "rehearsal":
        return "it was still running and was ended by the rehearsal"
    return f"it ended by itself with {exit_words(ending['status'])}"


def _row(step: Document) -> tuple[str, ...]:
    return (
        step["action"],
        str(step["round"]),
        "done" if step["ok"] else step["code"],
        f"{step['seconds'] * 1000:,.1f} ms",
        f"{step['commit_us']:,.0f} µs",
        f"{step['waits']['count']:,}",
        f"{step['waits']['longest_us']:,.1f} µs",
    )
