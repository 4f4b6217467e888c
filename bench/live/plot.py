"""The latency of requests over time, as SVG: no library, the same bytes for the same samples."""

import math
from collections.abc import Callable, Sequence
from html import escape

from bench.live.experiment import Document
from bench.live.summary import percentiles, switches

WIDTH, HEIGHT = 1000, 430
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 48, 82
BINS = 300
LOWEST, HIGHEST = 1.0, 10000.0
"""Milliseconds at the ends of the axis."""
LINES = ("#3465a4", "#f57900", "", "#888a85")
"""Colours of the median, the 99 % and the longest of each bin: places in ``percentiles``."""
ANSWERS = {"old": "#cc0000", "new": "#4e9a06"}
BAND = "#f3e2b3"
Across = Callable[[float], float]
"""From a time to its place on the picture."""


def svg(run: Document) -> str:
    """The picture: latencies of bins of time, a band for each command that runs, a line where its work
    showed, and below the answers of the requests that reach a patched function."""
    first, last = run["phases"][0]["begin"], run["phases"][-1]["end"]

    def across(at: float) -> float:
        share: float = (at - first) / (last - first)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="16" font-size="14">Latency of requests to node.exe, milliseconds</text>',
    ]
    parts += _phases(run, across)
    parts += _axis()
    parts += _latencies(run["samples"]["requests"], (first, last), across)
    for line, kind in enumerate(("breaches", "workers")):
        parts += _answers(run["samples"][kind], line, kind, (first, last), across)
    parts += _legend()
    return "\n".join([*parts, "</svg>\n"])


def _phases(run: Document, across: Across) -> list[str]:
    parts = []
    for row in run["phases"]:
        begin, end = across(row["begin"]), across(row["end"])
        if not row["quiet"]:
            parts.append(_rect(begin, TOP, end - begin, HEIGHT - TOP - BOTTOM, BAND))
        middle = f'x="{(begin + end) / 2:.1f}" y="{TOP - 8}" text-anchor="middle"'
        parts.append(f"<text {middle}>{escape(row['name'])}</text>")
    for at in switches(run):
        parts.append(f'<path d="M{across(at):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#cc0000"/>')
    return parts


def _latencies(
    rows: Sequence[tuple[float, float, int]], ends: tuple[float, float], across: Across
) -> list[str]:
    width = (ends[1] - ends[0]) / BINS
    bins: list[list[float]] = [[] for _ in range(BINS)]
    for at, seconds, _ in rows:
        if ends[0] <= at < ends[1]:
            bins[min(int((at - ends[0]) / width), BINS - 1)].append(seconds)
    parts = []
    for place, colour in enumerate(LINES):
        points = [
            f"{across(ends[0] + (number + 0.5) * width):.1f},{_down(percentiles(values)[place]):.1f}"
            for number, values in enumerate(bins)
            if values
        ]
        if colour and points:
            parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}"/>')
    return parts


def _down(milliseconds: float) -> float:
    inside = min(max(milliseconds, LOWEST), HIGHEST)
    share: float = math.log(inside / LOWEST) / math.log(HIGHEST / LOWEST)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _axis() -> list[str]:
    parts = []
    for power in range(5):
        y = _down(10.0**power)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d3d7cf"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>')
    return parts


def _answers(
    rows: Sequence[tuple[float, str, float]], line: int, kind: str, ends: tuple[float, float], across: Across
) -> list[str]:
    """One path for each answer: a bar for each request."""
    y = HEIGHT - BOTTOM + 18 + 18 * line
    parts = [f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{kind}</text>']
    for answer in sorted({answer for _, answer, _ in rows}):
        times = [at for at, said, _ in rows if said == answer and ends[0] <= at <= ends[1]]
        bars = "".join(f"M{across(at):.1f} {y - 5}v10" for at in times)
        if bars:
            parts.append(f'<path d="{bars}" stroke="{ANSWERS.get(answer, "#000000")}"/>')
    return parts


def _legend() -> list[str]:
    words = (
        (LINES[0], "median"),
        (LINES[1], "99 %"),
        (LINES[3], "longest"),
        (BAND, "command runs"),
        ("#cc0000", "its work shows"),
        (ANSWERS["old"], "answer of 22.13.0"),
        (ANSWERS["new"], "answer of 22.13.1"),
    )
    parts = []
    for index, (colour, text) in enumerate(words):
        x = LEFT + 130 * index
        parts.append(_rect(x, HEIGHT - 20, 10, 10, colour))
        parts.append(f'<text x="{x + 15}" y="{HEIGHT - 11}">{escape(text)}</text>')
    return parts
