"""What a run amounts to: counts and percentiles by phase, and whether it was as it should be."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench.live.experiment import Document

EXPECTED = {"before": "old", "applied": "new", "reverted": "old", "applied again": "new"}
"""Which answer a request that reaches a patched function must get in each quiet phase."""
SHARES = (0.5, 0.99, 0.999, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Requests by the time they were due. ``latency`` are milliseconds: median, 99 %, 99.9 %, longest.
    ``breaches`` and ``workers`` count the answers. ``held`` is the growth of sessions that the server keeps,
    ``opened`` that of those it made; None while a command runs."""

    name: str
    seconds: float
    requests: int
    failures: int
    latency: tuple[float, ...]
    breaches: dict[str, int]
    workers: dict[str, int]
    opened: int | None
    held: int | None


def percentiles(seconds: Sequence[float]) -> tuple[float, ...]:
    """Milliseconds at the shares, by nearest rank; zeros for nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return (0.0,) * len(SHARES)
    return tuple(1000 * ordered[max(-(-int(1000 * share) * len(ordered) // 1000), 1) - 1] for share in SHARES)


def phases(run: Document) -> tuple[Phase, ...]:
    """All phases in order."""
    return tuple(_phase(run["samples"], row) for row in run["phases"])


def _phase(samples: Document, row: Document) -> Phase:
    def inside(rows: list[list[Any]]) -> list[list[Any]]:
        return [item for item in rows if row["begin"] <= item[0] < row["end"]]

    requests, states = inside(samples["requests"]), row.get("states")
    return Phase(
        name=row["name"],
        seconds=row["end"] - row["begin"],
        requests=len(requests),
        failures=len(inside(samples["failures"])),
        latency=percentiles([item[1] for item in requests]),
        breaches=dict(sorted(Counter(str(item[1]) for item in inside(samples["breaches"])).items())),
        workers=dict(sorted(Counter(str(item[1]) for item in inside(samples["workers"])).items())),
        opened=states[1]["opened"] - states[0]["opened"] if states else None,
        held=states[1]["held"] - states[0]["held"] if states else None,
    )


def switches(run: Document) -> list[float]:
    """When the work of each command showed: between the last answer of one build and the first of the other
    of requests that were sent while it ran. A command of which that cannot be said has none."""
    found = []
    for row in run["phases"]:
        rows = [item for item in run["samples"]["breaches"] if row["begin"] <= item[0] < row["end"]]
        turns = [(one[0] + two[0]) / 2 for one, two in pairwise(rows) if one[1] != two[1]]
        if not row["quiet"] and len(turns) == 1:
            found += turns
    return found


def complaints(run: Document) -> list[str]:
    """What was not as it should be; empty when all was well."""
    found = [f"failed request: {text}" for _, text in run["samples"]["failures"]]
    if not run["alive"]:
        found.append("the server ended")
    for row in run["phases"]:
        if not row["quiet"]:
            continue
        for kind in ("breaches", "workers"):
            # One that was answered only after the end may have met what comes next.
            answers = [
                answer
                for sent, answer, answered in run["samples"][kind]
                if row["begin"] <= sent and answered < row["end"]
            ]
            wrong = Counter(answer for answer in answers if answer != EXPECTED[row["name"]])
            found += [f"{row['name']}: {count} {kind} answered {answer}" for answer, count in wrong.items()]
            if not answers:
                found.append(f"{row['name']}: no {kind} were tried")
    return found
