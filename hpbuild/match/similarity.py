"""How alike two fragments are, for functions that changed: counts of instruction kinds in sequence."""

from collections import Counter
from functools import lru_cache

from hpbuild.code.decode import instructions
from hpbuild.match.sides import Side

Shape = Counter[tuple[int, int]]


class Shapes:
    """Instruction-pair counts of one side's fragments, computed when first asked for."""

    __slots__ = ("_side", "of")

    def __init__(self, side: Side) -> None:
        self._side = side
        self.of = lru_cache(maxsize=None)(self._compute)

    def _compute(self, fragment: int) -> Shape:
        fragments = self._side.program.fragments
        start, end = int(fragments.start[fragment]), int(fragments.end[fragment])
        codes = [insn.code for insn in instructions(self._side.program.image.read(start, end - start), start)]
        return Counter(zip([0, *codes], [*codes, 0], strict=True))


def similarity(left: Shape, right: Shape) -> float:
    """Shared instruction pairs over all, 0 to 1 (Jaccard index of the two bags)."""
    count = right.get
    shared = sum(min(number, count(pair, 0)) for pair, number in left.items())
    return shared / max(1, left.total() + right.total() - shared)
