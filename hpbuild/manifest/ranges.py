"""Relations between ranges, in words for findings."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from hpbuild.values import Interval


def range_defect(interval: Interval, image: Interval) -> str:
    """What is wrong with ``interval`` as a part of ``image``; '' when it is a non-empty part."""
    if not len(interval):
        return f"{interval} is empty"
    if not image.covers(interval):
        return f"{interval} is not inside {image}"
    return ""


def overlaps(intervals: Iterable[Interval]) -> Iterator[tuple[Interval, Interval]]:
    """Neighbours, by start, that share a byte. When there is none, no two intervals do."""
    for left, right in pairwise(sorted(intervals)):
        if left.overlaps(right):
            yield left, right
