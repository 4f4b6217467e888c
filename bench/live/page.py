"""A run in Markdown, for docs/live.md."""

from collections.abc import Sequence

from bench.live.experiment import Document
from bench.live.summary import Phase, complaints, phases


def page(run: Document) -> str:
    """Tables of the phases and of what hpbuild did in them."""
    rows = phases(run)
    total, failed = len(run["samples"]["requests"]), len(run["samples"]["failures"])
    wrong = complaints(run)
    lines = [
        f"{total:,} requests were answered at {run['rate']:.0f} a second over {run['connections']} open "
        f"connections, half HTTP/1.1, half HTTP/2; {failed:,} failed. "
        f"Answers of the wrong build: {len(wrong) - failed if wrong else 0}.",
        "",
        *_table(
            ("phase", "seconds", "requests", "failed", "median ms", "99 % ms", "99.9 % ms", "longest ms",
             "breach answered", "worker", "sessions made", "still held"),
            [_phase(row) for row in rows],
        ),
        "",
        *_table(
            ("command", "result", "redirected", "agent at work", "written in", "waits", "longest wait",
             "looks at threads", "longest look", "command took"),
            [_command(row) for row in run["commands"]],
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _phase(row: Phase) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.seconds:.1f}",
        f"{row.requests:,}",
        f"{row.failures:,}",
        *(f"{value:,.1f}" for value in row.latency),
        _counts(row.breaches),
        _counts(row.workers),
        "" if row.opened is None else f"{row.opened:,}",
        "" if row.held is None else f"{row.held:,}",
    )


def _counts(answers: dict[str, int]) -> str:
    return ", ".join(f"{answer} x {count}" for answer, count in answers.items())


def _command(row: Document) -> tuple[str, ...]:
    answer = row["answer"]
    waits, looks = answer["waits"], answer["looks"]
    return (
        row["name"],
        answer["verdict"],
        f"{sum(module['redirections'] for module in answer['modules']):,}",
        f"{1000 * answer['seconds']:,.0f} ms",
        f"{answer['commit_us']:,.0f} µs",
        f"{waits['count']:,}",
        f"{waits['longest_us']:,.0f} µs",
        f"{looks['count']:,}",
        f"{looks['longest_us']:,.0f} µs",
        f"{row['seconds']:.1f} s",
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
