"""The results of bench.accuracy as text, Markdown and JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from bench.scoring import CHANGES, Tally
from bench.trial import Outcome
from hpbuild.match.model import Change

NOTES = """Functions and data: how many of those that differ were found, and how many reports were false (+n).
*line-only*: functions that differ by `__LINE__` alone and were told apart; *unknown*: reported as such where
the truth does not say. *bytes*: bytes of the fixed image that no class explains. An answer is wrong when the
truth gives no reason for it.
"""
HEAD = (
    "pair", "build", "symbols", "changed", "recall", "precision", "added", "removed", "data", "line-only",
    "bytes", "answer",
)  # fmt: skip
TOTALS = (
    "build", "symbols", "runs", "changed", "recall", "precision", "added", "removed", "data", "line-only",
    "unexplained", "right answer", "builds", "proves",
)  # fmt: skip


def rows(outcomes: Iterable[Outcome]) -> list[tuple[str, ...]]:
    """One row for each run."""
    return [
        (
            outcome.name,
            outcome.build,
            outcome.symbols,
            *_counts([outcome]),
            str(outcome.unexplained),
            outcome.answer + ("" if outcome.right else " (wrong)"),
        )
        for outcome in outcomes
    ]


def totals(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """One row for each build with and without symbols, and one for all."""
    groups = sorted({(outcome.build, outcome.symbols) for outcome in outcomes}, reverse=True)
    table = []
    for build, symbols in [*groups, ("all", "")]:
        here = [item for item in outcomes if build == "all" or (item.build, item.symbols) == (build, symbols)]
        count = len(here)
        shares = [sum(getattr(item, what) for item in here) for what in ("right", "builds", "proves")]
        table.append(
            (
                build,
                symbols,
                str(count),
                *_counts(here),
                str(sum(item.unexplained for item in here)),
                *(f"{share}/{count}" for share in shares),
            )
        )
    return table


def _counts(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    functions = {change: summed(item.score.functions[change] for item in outcomes) for change in CHANGES}
    data = summed(item.score.data[change] for item in outcomes for change in CHANGES)
    changed = functions[Change.CHANGED]
    apart = sum(item.score.told_apart for item in outcomes)
    unproven = sum(item.score.unproven for item in outcomes)
    lines = apart + sum(item.score.carried + item.score.unseen for item in outcomes)
    return (
        _tally(changed),
        _share(changed.recall),
        _share(changed.precision),
        _tally(functions[Change.ADDED]),
        _tally(functions[Change.REMOVED]),
        _tally(data),
        (f"{apart}/{lines}" if lines else "") + (f" ({unproven} unknown)" if unproven else ""),
    )


def summed(tallies: Iterable[Tally]) -> Tally:
    """The sum of some tallies."""
    total = Tally()
    for tally in tallies:
        total += tally
    return total


def _tally(tally: Tally) -> str:
    """Found of the truth, and how many reports were false; '' when there was neither."""
    if not tally.truth and not tally.reported:
        return ""
    false = tally.reported - tally.right
    return f"{tally.found}/{tally.truth}" + (f" +{false}" if false else "")


def _share(value: float) -> str:
    """A percentage that says 100 only when nothing is missing."""
    return "100 %" if value == 1 else f"{min(value * 100, 99.99):.2f} %"


def text(outcomes: Sequence[Outcome]) -> str:
    """Everything, for a terminal: shortfalls of each run, the runs, the totals."""
    parts = []
    for outcome in outcomes:
        if outcome.score.shortfalls:
            parts.append(f"{outcome.name} {outcome.build} {outcome.symbols}: {outcome.answer}")
            parts += [f"    {line}" for line in shortfall_lines(outcome)] + [""]
    parts += [*_columns(HEAD, rows(outcomes)), "", *_columns(TOTALS, totals(outcomes))]
    return "\n".join(parts) + "\n"


def shortfall_lines(outcome: Outcome) -> list[str]:
    """One line for each thing that fell short."""
    lines = []
    for item in outcome.score.shortfalls:
        size = f" ({item.size} bytes)" if item.size else ""
        lines.append(f"{item.what}: {item.name}{size}" + (f": {item.detail}" if item.detail else ""))
    return lines


def _columns(head: Sequence[str], table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *table)
    ]


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The totals, the runs and what fell short, as tables and lists in Markdown."""
    parts = [NOTES, *_table(TOTALS, totals(outcomes)), "", *_table(HEAD, rows(outcomes))]
    for outcome in outcomes:
        if outcome.score.shortfalls:
            parts += [
                "",
                f"**{outcome.name}**, {outcome.build}, symbols {outcome.symbols}: {outcome.answer}",
                "",
            ]
            parts += [f"- {_escaped(line)}" for line in shortfall_lines(outcome)]
    return "\n".join(parts) + "\n"


def _table(head: Sequence[str], table: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(map(_escaped, row)) + " |" for row in table]


def _escaped(line: str) -> str:
    for character in "\\|<>*_`":
        line = line.replace(character, f"\\{character}")
    return line


def document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All figures, for JSON. Times are left out: the same corpus and code give the same document."""
    runs = []
    for outcome in outcomes:
        run = asdict(outcome)
        del run["seconds"]
        runs.append(run)
    return {
        "totals": [dict(zip(TOTALS, row, strict=True)) for row in totals(outcomes)],
        "runs": runs,
    }
