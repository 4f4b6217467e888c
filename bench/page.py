"""The results of bench.pairs as a page in Markdown."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

from bench.measure import Result

COMPARED = ("hotpatchable", "nothing-to-patch", "identical", "refused")
"""Verdicts of a comparison; any other outcome is a failure or a file that is not supported."""
HEAD = """# Comparing real binaries

One `hpbuild diff` for each pair of files that `make docs` finds: the examples of the test suite, security
patches of C and C++ libraries, and consecutive releases of well-known programs (`make corpus`). Files that
are equal byte for byte are left out. *Size* and *functions* are those of the fixed file; *data* counts
changed, added and removed data; *known* is the number of functions that the objects of the build show to be
changed, where these are at hand; *account* says whether every byte of the fixed file has a class. Time is
wall time with {workers} comparisons at once, memory the largest resident size of the process.
"""
COLUMNS = (
    "file", "size", "symbols", "functions", "changed", "added", "removed", "data", "known", "account",
    "verdict", "findings", "seconds", "MiB",
)  # fmt: skip


def page(results: Sequence[Result], workers: int) -> str:
    """The whole page: a summary by group, then one table for each group."""
    parts = [HEAD.format(workers=workers), "## Summary\n", *_summary(results)]
    for group, rows in itertools.groupby(results, key=lambda row: row.group):
        parts += ["", f"## {group}\n", *_table(COLUMNS, (_row(row) for row in rows))]
    return "\n".join(parts) + "\n"


def _summary(results: Sequence[Result]) -> list[str]:
    head = (
        "group",
        "pairs",
        "MB",
        "functions",
        *COMPARED,
        "other",
        "seconds",
        "MiB",
    )
    rows = []
    for group, items in itertools.groupby(results, key=lambda row: row.group):
        members = list(items)
        verdicts = Counter(row.outcome for row in members)
        known = [verdicts.pop(name, 0) for name in COMPARED]
        rows.append(
            (
                group,
                f"{len(members)}",
                f"{sum(row.size for row in members) / 1e6:.1f}",
                f"{sum(row.functions for row in members):,}",
                *map(str, known),
                ", ".join(f"{name} x {count}" for name, count in sorted(verdicts.items())) or "0",
                f"{sum(row.seconds for row in members):.0f}",
                f"{max(row.peak_mib for row in members)}",
            )
        )
    return _table(head, rows)


def _row(row: Result) -> tuple[str, ...]:
    compared = row.outcome in COMPARED
    counts = (row.functions, row.changed, row.added, row.removed, row.data)
    return (
        row.name,
        f"{row.size:,}",
        row.symbols,
        *(f"{count:,}" if compared else "" for count in counts),
        "" if row.truth is None else f"{row.truth}",
        ("complete" if row.accounted else "incomplete") if compared else "",
        row.outcome,
        ", ".join(f"{code} x {count}" for code, count in row.findings.items()),
        f"{row.seconds:.1f}",
        f"{row.peak_mib}",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
