"""The growing one-to-one relation between the fragments of two programs, each pair with its level."""

from enum import IntEnum

import numpy as np

from hpbuild.code.columns import distinct_pairs
from hpbuild.code.model import I64


class Level(IntEnum):
    """What evidence made a pair, strongest first. A pair keeps the level that made it."""

    NONE = 0
    SYMBOL = 1
    EXPORT = 2
    FORM = 3
    CONTEXT = 4
    REFERENCE = 5
    LAYOUT = 6
    SIMILARITY = 7
    CALLERS = 8
    ORDER = 9

    @property
    def label(self) -> str:
        """Name for reports."""
        return self.name.lower()


class Pairing:
    """``fixed[i]`` is the baseline fragment paired with fixed fragment ``i``, -1 when none; ``baseline``
    the inverse; ``level[i]`` the level of fixed fragment ``i``."""

    __slots__ = ("baseline", "fixed", "level")

    def __init__(self, fixed: int, baseline: int) -> None:
        self.fixed: I64 = np.full(fixed, -1, dtype=np.int64)
        self.baseline: I64 = np.full(baseline, -1, dtype=np.int64)
        self.level: I64 = np.zeros(fixed, dtype=np.int64)

    def add(self, fixed: I64, baseline: I64, level: Level) -> int:
        """Pair where both sides are free and nothing in this call contradicts; the number of pairs made."""
        if not len(fixed):
            return 0
        free = (self.fixed[fixed] < 0) & (self.baseline[baseline] < 0)
        fixed, baseline = distinct_pairs(fixed[free], baseline[free])
        single = once(fixed) & once(baseline)
        return self.add_distinct(fixed[single], baseline[single], level)

    def add_distinct(self, fixed: I64, baseline: I64, level: Level) -> int:
        """``add`` for fragments that are free, each named once."""
        self.fixed[fixed] = baseline
        self.baseline[baseline] = fixed
        self.level[fixed] = level
        return len(fixed)

    def add_one(self, fixed: int, baseline: int, level: Level) -> int:
        """``add`` for a single pair, without the cost of columns."""
        if self.fixed[fixed] >= 0 or self.baseline[baseline] >= 0:
            return 0
        self.fixed[fixed] = baseline
        self.baseline[baseline] = fixed
        self.level[fixed] = level
        return 1

    def made_by(self, levels: tuple[Level, ...]) -> I64:
        """The fixed fragments whose pairs are of one of these levels."""
        chosen = np.zeros(len(Level), dtype=np.bool_)
        chosen[list(levels)] = True
        return np.flatnonzero(chosen[self.level])

    def drop(self, fixed: I64) -> None:
        """Undo the pairs of these fixed fragments."""
        paired = fixed[self.fixed[fixed] >= 0]
        self.baseline[self.fixed[paired]] = -1
        self.fixed[paired] = -1
        self.level[paired] = Level.NONE


def once(values: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """True where a value occurs exactly once. The values are numbers of things: from 0, and not many."""
    single: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.bincount(values)[values] == 1
    return single


def balanced(fixed: I64, baseline: I64, pairing: Pairing) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """By fixed fragment: it is free, and as many free fragments of the baseline have its value. ``fixed`` and
    ``baseline`` are one value for each fragment, such as its form."""
    free, other = np.flatnonzero(pairing.fixed < 0), np.flatnonzero(pairing.baseline < 0)
    values, inverse, counts = np.unique(fixed[free], return_inverse=True, return_counts=True)
    theirs, numbers = np.unique(baseline[other], return_counts=True)
    _, i, j = np.intersect1d(values, theirs, assume_unique=True, return_indices=True)
    equal = np.zeros(len(values), dtype=np.bool_)
    equal[i] = counts[i] == numbers[j]
    even = np.zeros(len(fixed), dtype=np.bool_)
    even[free] = equal[inverse]
    return even


def counted_pairs(left: I64, right: I64) -> tuple[I64, I64, I64]:
    """The pairs of two columns of numbers in [0, 2**31), ascending, each once, and how often each occurs."""
    keys = np.sort(left << 32 | right)
    if not len(keys):
        return keys, keys, keys
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    counts = np.diff(np.append(first, len(keys)))
    keys = keys[first]
    return keys >> 32, keys & 0xFFFFFFFF, counts


def join_unique(left: I64, right: I64, left_free: I64, right_free: I64) -> tuple[I64, I64]:
    """Indices (into the whole columns) of rows whose key occurs once among the free rows of each side.
    ``left_free`` and ``right_free`` are the indices to consider."""
    if not len(left_free) or not len(right_free):
        return left_free[:0], right_free[:0]
    one, two = unique_on_both(left[left_free], right[right_free])
    return left_free[one], right_free[two]


def unique_on_both(left: I64, right: I64) -> tuple[I64, I64]:
    """Numbers of the rows of two columns whose key occurs once in either."""
    keys = np.concatenate([left, right])
    (order, ordered), middle = in_order(keys), len(left)
    # Pairs stand alone, the left one first, where nothing before and behind has their key.
    differs = np.ones(len(keys) + 1, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=differs[1:-1])
    first = np.flatnonzero(differs[:-2] & ~differs[1:-1] & differs[2:])
    one, two = order[first], order[first + 1]
    apart = (one < middle) & (two >= middle)
    return one[apart], two[apart] - middle


def in_order(keys: I64) -> tuple[I64, I64]:
    """Numbers of the keys, ascending by key, of equal ones by number; and the keys in this order. To sort
    what the high bits of the keys and the numbers make takes a quarter of the time of ``argsort``."""
    bits = max(len(keys) - 1, 1).bit_length()
    mask = (1 << bits) - 1
    packed = keys & ~mask
    packed |= np.arange(len(keys))
    packed.sort()
    order: I64 = packed & mask
    ordered = keys.take(order)
    packed >>= bits
    mixed = (packed[1:] == packed[:-1]) & (ordered[1:] != ordered[:-1])
    if mixed.any():
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
    return order, ordered
