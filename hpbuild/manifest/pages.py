"""The pages of the baseline into which redirections are written."""

from collections.abc import Iterable
from itertools import pairwise

from hpbuild.values import Interval

PAGE = 0x1000


def page_range(rva: int, size_of_image: int) -> Interval:
    """The page at ``rva``, as far as the image reaches."""
    return Interval(rva, max(rva, min(rva + PAGE, size_of_image)))


def touched_pages(windows: Iterable[Interval]) -> tuple[int, ...]:
    """RVAs of the pages that hold a byte of ``windows``, ascending. Empty windows touch none."""
    found = {
        page
        for window in windows
        if len(window)
        for page in range(window.start - window.start % PAGE, window.end, PAGE)
    }
    return tuple(sorted(found))


def ascending(rvas: Iterable[int]) -> bool:
    """True when every number is greater than the one before it."""
    return all(left < right for left, right in pairwise(rvas))
