"""Time and memory of ``diff`` over size, as SVG: no library, the same bytes for the same figures."""

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10

from bench.performance.fit import Line
from bench.performance.rows import OFF, Series

WIDTH, HEIGHT = 1000, 400
LEFT, BETWEEN, RIGHT, TOP, BOTTOM = 70, 90, 20, 40, 50
PANEL = (WIDTH - LEFT - BETWEEN - RIGHT) / 2
POINT, MARKED, LINE, BAND, GRID = "#3465a4", "#cc0000", "#f57900", "#f3e2b3", "#d3d7cf"
STEPS = 60
Across = Callable[[float], float]


def svg(series: Series) -> str:
    """Two panels with logarithmic axes: each pair a point, the fitted line, the band of OFF times above and
    below it; points outside are red."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    panels = (
        ("hpbuild diff: seconds", series.seconds, series.time),
        ("hpbuild diff: MiB at the peak", series.mib, series.memory),
    )
    for index, (title, values, line) in enumerate(panels):
        parts += _panel(LEFT + index * (PANEL + BETWEEN), title, series, values, line)
    return "\n".join([*parts, "</svg>\n"])


def _panel(left: float, title: str, series: Series, values: Sequence[float], line: Line) -> list[str]:
    ends = _decades(series.sizes)
    lows = [min(value, line.at(size) / OFF) for size, value in zip(series.sizes, values, strict=True)]
    highs = [max(value, line.at(size) * OFF) for size, value in zip(series.sizes, values, strict=True)]
    heights = _decades([*lows, *highs])

    def across(size: float) -> float:
        return left + PANEL * (log10(size) - ends[0]) / (ends[1] - ends[0])

    def down(value: float) -> float:
        return (
            HEIGHT
            - BOTTOM
            - (HEIGHT - TOP - BOTTOM) * (log10(value) - heights[0]) / (heights[1] - heights[0])
        )

    parts = [f'<text x="{left:.1f}" y="22" font-size="14">{escape(title)}</text>']
    parts += _axes(left, ends, heights, across, down)
    parts += _line(series.sizes, line, across, down)
    for name, size, value in zip(series.names, series.sizes, values, strict=True):
        inside = 1 / OFF <= line.distance((size, value)) <= OFF
        place = f'cx="{across(size):.1f}" cy="{down(value):.1f}"'
        colour = POINT if inside else MARKED
        parts.append(f'<circle {place} r="4" fill="{colour}"><title>{escape(name)}</title></circle>')
    return parts


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten below and above all values, at least one apart."""
    low = floor(log10(min(values)))
    return low, max(ceil(log10(max(values))), low + 1)


def _axes(
    left: float, ends: tuple[int, int], heights: tuple[int, int], across: Across, down: Across
) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, left + PANEL
    parts = []
    for power in range(ends[0], ends[1] + 1):
        x = across(10.0**power)
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{GRID}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{10.0**power:g}</text>')
    for power in range(heights[0], heights[1] + 1):
        y = down(10.0**power)
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="{GRID}"/>')
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    middle = left + PANEL / 2
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 12}" text-anchor="middle">MB of both files</text>')
    return parts


def _line(sizes: Sequence[float], line: Line, across: Across, down: Across) -> list[str]:
    """The band and the line in it; a straight line is curved where the axes are logarithmic."""
    low, high = log10(min(sizes)), log10(max(sizes))
    places = [10 ** (low + (high - low) * step / STEPS) for step in range(STEPS + 1)]

    def points(factor: float, order: Sequence[float]) -> str:
        return " ".join(f"{across(x):.1f},{down(factor * line.at(x)):.1f}" for x in order)

    return [
        f'<polygon points="{points(OFF, places)} {points(1 / OFF, places[::-1])}" fill="{BAND}"/>',
        f'<polyline points="{points(1, places)}" fill="none" stroke="{LINE}" stroke-width="1.5"/>',
    ]
