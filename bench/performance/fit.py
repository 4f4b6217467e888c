"""Lines through measured points."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """``start`` + ``slope`` * x."""

    start: float
    slope: float

    def at(self, x: float) -> float:
        """The line's value."""
        return self.start + self.slope * x

    def distance(self, point: Point) -> float:
        """How many times the line's value the point has: 1 is on the line, below 1 is better."""
        return point[1] / self.at(point[0])


def line(points: Sequence[Point]) -> Line:
    """The line with the least sum of squares of *relative* errors (weights 1/y**2), so that a small file
    counts as much as a large one; one that would begin below zero goes through the origin. Raises
    ValueError for fewer than two sizes."""
    weights = [1 / (y * y) for _, y in points]
    total = sum(weights)
    if len({x for x, _ in points}) < 2:
        raise ValueError("a line needs two different sizes")
    middle_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    middle_y = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    over = sum(w * (x - middle_x) * (y - middle_y) for w, (x, y) in zip(weights, points, strict=True))
    under = sum(w * (x - middle_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    slope = over / under
    start = middle_y - slope * middle_x
    if start >= 0:
        return Line(start, slope)
    over = sum(w * x * y for w, (x, y) in zip(weights, points, strict=True))
    return Line(0.0, over / sum(w * x * x for w, (x, _) in zip(weights, points, strict=True)))


def exponent(points: Sequence[Point]) -> float:
    """The slope of the least-squares line through the logarithms: 1 when y grows as x does, 2 when it grows
    as its square. Raises ValueError for fewer than two sizes."""
    logs = [(log(x), log(y)) for x, y in points]
    if len({x for x, _ in logs}) < 2:
        raise ValueError("a slope needs two different sizes")
    middle_x = sum(x for x, _ in logs) / len(logs)
    middle_y = sum(y for _, y in logs) / len(logs)
    over = sum((x - middle_x) * (y - middle_y) for x, y in logs)
    return over / sum((x - middle_x) ** 2 for x, _ in logs)
