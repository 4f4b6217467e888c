"""How alike two fragments are, for functions that changed: counts of instruction kinds in sequence."""

from functools import lru_cache, partial

import numpy as np

from hpbuild.code.decode import opcodes
from hpbuild.match.sides import Side

Shape = frozenset[int]
"""The pairs of neighbouring instructions, each with its number among its equals: what two bags of pairs share
is what two sets of these do."""


class Shapes:
    """The shapes of one side's fragments, computed when first asked for."""

    __slots__ = ("of",)

    def __init__(self, side: Side) -> None:
        # Of the side, not of this object: a circle would keep the whole program after its comparison.
        self.of = lru_cache(maxsize=None)(partial(_shape, side))


def _shape(side: Side, fragment: int) -> Shape:
    fragments = side.program.fragments
    start, end = int(fragments.start[fragment]), int(fragments.end[fragment])
    codes = np.array([0, *opcodes(side.program.image.read(start, end - start)), 0], dtype=np.int64)
    pairs = codes[:-1] << 16 | codes[1:]
    pairs.sort()
    row = np.arange(len(pairs))
    first = np.zeros_like(row)
    np.maximum.accumulate(row[1:] * (pairs[1:] != pairs[:-1]), out=first[1:])
    return frozenset((pairs << 32 | row - first + 1).tolist())


def similarity(left: Shape, right: Shape) -> float:
    """Shared instruction pairs over all, 0 to 1 (Jaccard index of the two bags)."""
    shared = len(left & right)
    return shared / max(1, len(left) + len(right) - shared)
