"""How alike two fragments are, for functions that changed: counts of instruction kinds in sequence."""

from functools import lru_cache, partial

from hpbuild.code.decode import instructions
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
    codes = [insn.code for insn in instructions(side.program.image.read(start, end - start), start)]
    seen: dict[int, int] = {}
    shape = set()
    for one, two in zip([0, *codes], [*codes, 0], strict=True):
        pair = one << 16 | two
        seen[pair] = number = seen.get(pair, 0) + 1
        shape.add(pair << 32 | number)
    return frozenset(shape)


def similarity(left: Shape, right: Shape) -> float:
    """Shared instruction pairs over all, 0 to 1 (Jaccard index of the two bags)."""
    shared = len(left & right)
    return shared / max(1, len(left) + len(right) - shared)
