"""The runs that two sequences have in common: the blocks of ``difflib.SequenceMatcher`` without junk.

The longest run, of several the first in the left sequence and then in the right one; then the same on either
side of it. The library looks at every pair of equal elements again at each step. Here such pairs are put
together once, to runs on the diagonals, and each step clips these to what is left.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

from hpbuild.code.model import I64

MAX_PAIRS = 4_000_000
"""Pairs of equal elements up to which there is room for all of them at once."""
FEW_PAIRS = 20_000
"""Up to so many pairs nothing shorter is worth looking for."""
GRAM = 16
"""Elements of a gram; a power of 2. Sequences that have much in common have few equal grams that are not
behind each other, but many equal elements."""
FEW_RUNS = 32
"""Runs up to which columns take longer than a list."""
Block = tuple[int, int, int]
"""Start in the left sequence, start in the right one, length."""
Run = tuple[int, int, int]
"""Start in the left sequence, that less the start in the right one, length."""
Runs = tuple[I64, I64, I64]
"""The same in columns."""
Bounds = tuple[int, int]


def common_runs(left: Sequence[bytes], right: Sequence[bytes]) -> list[Block]:
    """The blocks, ascending. Blocks that touch on both sides are not put together."""
    numbers: dict[bytes, int] = {}
    one, two = (
        np.array([numbers.setdefault(each, len(numbers)) for each in some], dtype=np.int64)
        for some in (left, right)
    )
    found: list[Block] = []
    work = [(one, two, 0, 0)]
    while work:
        one, two, begin, other = work.pop()
        pairs = _pairs(one, two)
        grams = (_grams(one, two)) if pairs > FEW_PAIRS else None
        if grams is not None and 0 < _pairs(*grams) <= MAX_PAIRS:
            # Of several that are longest the first one is found by its grams as by its elements.
            a, b, length = _longest(_diagonals(*grams))
            length += GRAM - 1
            found.append((begin + a, other + b, length))
            work.append((one[:a], two[:b], begin, other))
            work.append((one[a + length :], two[b + length :], begin + a + length, other + b + length))
        elif pairs > MAX_PAIRS:
            matcher = SequenceMatcher(None, one.tolist(), two.tolist(), autojunk=False)
            blocks = matcher.get_matching_blocks()
            found += [(begin + a, other + b, size) for a, b, size in blocks if size]
        elif pairs:
            found += [(begin + a, other + b, size) for a, b, size in _by_diagonals(one, two)]
    return sorted(found)


def _pairs(one: I64, two: I64) -> int:
    """Pairs of equal elements."""
    size = 1 + int(max(one.max(initial=0), two.max(initial=0)))
    return int(np.dot(np.bincount(one, minlength=size), np.bincount(two, minlength=size)))


def _grams(one: I64, two: I64) -> tuple[I64, I64]:
    """Numbers for the elements at each place with the ``GRAM - 1`` behind it: equal for equal ones."""
    span = 1
    while span < GRAM:
        width = 1 + int(max(one.max(initial=0), two.max(initial=0)))
        longer = [some[:-span] * width + some[span:] for some in (one, two)]
        numbers = np.unique(np.concatenate(longer), return_inverse=True)[1]
        one, two = numbers[: len(longer[0])], numbers[len(longer[0]) :]
        span *= 2
    return one, two


def _by_diagonals(one: I64, two: I64) -> list[Block]:
    found: list[Block] = []
    work = [(_diagonals(one, two), (0, len(one)), (0, len(two)))]
    while work:
        runs, (low, high), (bottom, top) = work.pop()
        runs = _clipped(runs, (low, high), (bottom, top))
        if len(runs[0]) <= FEW_RUNS:
            start, shift, size = (column.tolist() for column in runs)
            found += _of_few(list(zip(start, shift, size, strict=True)), (low, high), (bottom, top))
            continue
        a, b, length = _longest(runs)
        found.append((a, b, length))
        work.append((runs, (low, a), (bottom, b)))
        work.append((runs, (a + length, high), (b + length, top)))
    return found


def _of_few(runs: list[Run], left: Bounds, right: Bounds) -> list[Block]:
    """The blocks of so few runs that columns of them would take longer."""
    found: list[Block] = []
    work = [(runs, left, right)]
    while work:
        runs, (low, high), (bottom, top) = work.pop()
        clipped = [
            (begin, shift, end - begin)
            for start, shift, size in runs
            if (end := min(start + size, high, shift + top)) > (begin := max(start, low, shift + bottom))
        ]
        if not clipped:
            continue
        a, shift, length = min(clipped, key=_order)
        b = a - shift
        found.append((a, b, length))
        work.append((clipped, (low, a), (bottom, b)))
        work.append((clipped, (a + length, high), (b + length, top)))
    return found


def _order(run: Run) -> tuple[int, int, int]:
    """The longest run first; of several as ``_longest``."""
    start, shift, size = run
    return -size, start, -shift


def _longest(runs: Runs) -> Block:
    """The longest run; of several the first in the left sequence, and then in the right one."""
    start, shift, size = runs
    longest = np.flatnonzero(size == size.max())
    longest = longest[start[longest] == start[longest].min()]
    # The start in the right sequence is the start less the shift.
    best = int(longest[np.argmax(shift[longest])])
    return int(start[best]), int(start[best] - shift[best]), int(size[best])


def _diagonals(one: I64, two: I64) -> Runs:
    """Runs of equal elements on each diagonal: (start in ``one``, less that in ``two``, length)."""
    order = np.argsort(two, kind="stable")
    keys = two[order]
    first, last = np.searchsorted(keys, one), np.searchsorted(keys, one, side="right")
    counts = last - first
    left = np.repeat(np.arange(len(one)), counts)
    right = order[np.arange(len(left)) + np.repeat(first - np.cumsum(counts) + counts, counts)]
    # Along a diagonal neighbours are consecutive numbers.
    width = len(one) + 1
    places = np.sort((left - right + len(two)) * width + left)
    begins = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    size = np.diff(np.append(begins, len(places)))
    start, shift = places[begins] % width, places[begins] // width - len(two)
    return start, shift, size


def _clipped(runs: Runs, left: Bounds, right: Bounds) -> Runs:
    """What of the runs lies between the bounds in both sequences."""
    start, shift, size = runs
    begin = np.maximum(np.maximum(start, left[0]), shift + right[0])
    end = np.minimum(np.minimum(start + size, left[1]), shift + right[1])
    kept = np.flatnonzero(end > begin)
    return begin[kept], shift[kept], (end - begin)[kept]
