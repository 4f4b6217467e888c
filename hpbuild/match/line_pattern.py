"""What line numbers look like, as a set, in both versions of their file.

Inserted and deleted lines move everything behind them: old values map to new ones in order, and many
neighbours move by one distance. Functions do not overlap, so each has a range of its own. Lines are sparse,
and odd as often as even. Other constants are not all of that: error numbers and flags repeat and are dense;
sizes and offsets are multiples of four or eight, time limits of ten; a single limit that is raised moves
alone.
"""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Final

from hpbuild.match.line_sites import Site

LARGEST_LINE: Final = 1_000_000
SMALLEST_LINE: Final = 2
MIN_FUNCTIONS: Final = 3
MIN_VALUES: Final = 8
MIN_SPREAD: Final = 4
"""Lines for each distinct value, on the average, between the first and the last of a file."""
MIN_RUN: Final = 3
MIN_RUN_FUNCTIONS: Final = 2
"""Distinct values, and functions with them, that must have moved by one distance for one to be a line."""
MAX_OVERLAPS: Final = 0.1
"""Share of pairs of functions whose ranges may overlap (inlined functions bring lines of elsewhere)."""
MIN_ODD: Final = 0.25
MAX_ROUND: Final = 0.4
"""Share of values that may be multiples of 8 or 10; of numbers without a pattern it is a fifth."""
MAX_CONSECUTIVE: Final = 0.5
"""Share of neighbours that may follow each other immediately."""


def like_lines(files: Sequence[Sequence[Site]]) -> bool:
    """True when the sites, by file, are enough and look like line numbers."""
    values = [sorted({site.old for site in sites}) for sites in files]
    count = sum(len(each) for each in values)
    functions = {site.fragment for sites in files for site in sites}
    if count < MIN_VALUES or len(functions) < MIN_FUNCTIONS or not all(fits(sites) for sites in files):
        return False
    flat = [value for each in values for value in each]
    odd = sum(value % 2 for value in flat)
    even = sum(value % 8 == 0 or value % 10 == 0 for value in flat)
    gaps = [after - before for each in values for before, after in pairwise(each)]
    return (
        sum(gaps) >= MIN_SPREAD * count
        and odd >= MIN_ODD * count
        and even <= MAX_ROUND * count
        and gaps.count(1) <= MAX_CONSECUTIVE * len(gaps)
    )


def fits(sites: Sequence[Site]) -> bool:
    """True when the sites can be lines of one file."""
    return in_order(sites) and _in_runs(sites) and _ranges_apart(sites)


def in_order(sites: Sequence[Site]) -> bool:
    """True when old values map to new ones in order, each to one, and all can be lines."""
    pairs = _moves(sites)
    rising = all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(pairs))
    return rising and all(SMALLEST_LINE <= value < LARGEST_LINE for pair in pairs for value in pair)


def supported(lines: Sequence[Site], values: int = MIN_RUN, functions: int = MIN_RUN_FUNCTIONS) -> set[Site]:
    """Those that did not move alone: their neighbours moved with them, ``values`` distinct ones in as many as
    ``functions`` at least."""
    found: set[Site] = set()
    ordered = sorted(lines, key=lambda site: (site.old, site.new))
    for _, run in groupby(ordered, key=lambda site: site.new - site.old):
        together = set(run)
        distinct, owners = {site.old for site in together}, {site.fragment for site in together}
        if len(distinct) >= values and len(owners) >= functions:
            found |= together
    return found


def moves_along(site: Site, lines: Sequence[Site], *, own: bool) -> bool:
    """True when ``site`` moved as its neighbours among ``lines`` did: one of them, of its own function, if
    ``own``, else both."""
    below = max((line for line in lines if line.old < site.old), key=lambda line: line.old, default=None)
    above = min((line for line in lines if line.old > site.old), key=lambda line: line.old, default=None)
    beside = [line for line in (below, above) if line is not None]
    near = any(line.fragment == site.fragment for line in beside) if own else len(beside) == 2
    return near and all(line.new - line.old == site.new - site.old for line in beside)


def _moves(sites: Sequence[Site]) -> list[tuple[int, int]]:
    return sorted({(site.old, site.new) for site in sites})


def _distance(move: tuple[int, int]) -> int:
    return move[1] - move[0]


def _in_runs(sites: Sequence[Site]) -> bool:
    """True when neighbouring values mostly moved by one distance: edits are few, lines between them many."""
    moved = [_distance(pair) for pair in _moves(sites)]
    steps = sum(1 for a, b in pairwise(moved) if a != b)
    return 3 * steps <= len(moved)


def _ranges_apart(sites: Sequence[Site]) -> bool:
    """True when functions have ranges of lines that hardly overlap."""
    ranges: dict[int, tuple[int, int]] = {}
    for site in sites:
        low, high = ranges.get(site.fragment, (site.old, site.old))
        ranges[site.fragment] = (min(low, site.old), max(high, site.old))
    ordered = sorted(ranges.values())
    overlaps = sum(1 for before, after in pairwise(ordered) if after[0] <= before[1])
    return overlaps <= MAX_OVERLAPS * len(ordered)
