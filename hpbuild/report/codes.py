"""The table of codes as a result document, as text and as the documentation page."""

from collections.abc import Iterable, Sequence

from hpbuild.errors import Code
from hpbuild.report.blocks import Block, Heading, Line, Pairs
from hpbuild.report.document import Document, start

STAGES = {
    "1": "Reading a PE image",
    "2": "Code and matching",
    "3": "Plan",
    "4": "Manifest and bundle",
    "5": "Signatures and keys",
    "6": "Verification",
    "7": "Proof and application",
    "8": "Servicing",
    "9": "Command line",
}


def document(rows: Iterable[Code]) -> Document:
    """The rows with all their texts."""
    return {
        **start("explain"),
        "codes": [
            {
                "code": row.id,
                "title": row.title,
                "severity": row.severity.value,
                "status": int(row.exit),
                "why": row.why,
                "remedy": row.remedy,
            }
            for row in rows
        ],
    }


def blocks(entries: Document) -> list[Block]:
    """Each code as a heading and its texts."""
    result: list[Block] = []
    for entry in entries["codes"]:
        result.append(Heading(f"{entry['code']} {entry['title']}"))
        if entry["severity"] == "refuse":
            result.append(Line(f"  {entry['severity']}, exit status {entry['status']}"))
        else:
            result.append(Line(f"  {entry['severity']}"))
        result.append(Pairs((("  why", entry["why"]), ("  remedy", entry["remedy"]))))
    return result


def markdown(rows: Sequence[Code]) -> str:
    """The documentation page: one section per stage, one entry per code."""
    lines = [
        "# Codes",
        "",
        "Every refusal, warning and note has a stable code; `hpbuild explain CODE` prints its entry.",
        "This page is printed by `hpbuild explain --all --format markdown`.",
        "",
        "| exit status | meaning |",
        "|---|---|",
        *(f"| {status} | {meaning} |" for status, meaning in STATUSES),
    ]
    for digit, stage in STAGES.items():
        chosen = [row for row in rows if row.id.startswith(f"HP{digit}")]
        if chosen:
            lines += ["", f"## HP{digit}xxx: {stage}"]
        for row in chosen:
            kind = (
                "refuses" if row.severity == "refuse" else {"warn": "warning", "note": "note"}[row.severity]
            )
            status = f", exit status {int(row.exit)}" if row.severity == "refuse" else ""
            lines += ["", f"### {row.id}: {row.title}", "", f"*{kind}{status}*", "", row.why, "", row.remedy]
    return "\n".join(lines) + "\n"


STATUSES = (
    ("0", "yes"),
    ("1", "no: verification failed, build refused, contents differ, interrupted"),
    ("2", "usage: wrong command line, unusable path or environment"),
    ("3", "not applicable, baseline mismatch, nothing to patch"),
    ("4", "malformed input"),
    ("5", "resource limit"),
    ("6", "key or service unavailable"),
    ("70", "bug in hpbuild"),
)
