"""The matching funnel: the widest level that gives a one-to-one answer, repeated to a fixed point."""

from functools import partial
from itertools import cycle

import numpy as np

from hpbuild.match.callers import drop_denied, pair_by_callers
from hpbuild.match.changed import (
    drop_contradicted,
    pair_by_layout,
    pair_by_order,
    pair_by_reference,
    pair_by_similarity,
)
from hpbuild.match.colours import Colouring, final_colours, pair_by_colour, pair_by_form
from hpbuild.match.data_testimony import DataTestimony
from hpbuild.match.leftovers import pair_leftovers
from hpbuild.match.names import pair_by_name
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side
from hpbuild.match.similarity import Shapes
from hpbuild.match.surroundings import Surroundings, pair_by_surroundings, pair_twins
from hpbuild.match.witness import drop_outvoted, pair_by_witness, witnesses

ROUNDS = 6
REPAIRS = 3


def pair_fragments(fixed: Side, baseline: Side) -> Pairing:
    """Pair the code fragments of two programs; the same input gives the same pairs."""
    pairing = Pairing(len(fixed.forms), len(baseline.forms))
    both = fixed, baseline, pairing
    shapes = (Shapes(fixed), Shapes(baseline))
    funnel = _Funnel(fixed, baseline, pairing, shapes)
    pair_by_name(*both)
    pair_by_form(*both)
    funnel.settle()
    funnel.follow()
    testified = DataTestimony(fixed, baseline)
    around = Surroundings(*both, testified)
    while pair_by_surroundings(around, pairing):
        funnel.settle()
        funnel.follow()
        around = Surroundings(*both, testified)
    if pair_twins(*both, around, even=True):
        funnel.settle()
    for step in (pair_by_layout, pair_by_similarity):
        if step(*both, shapes):
            funnel.settle()
    if pair_by_callers(*both):
        funnel.settle()
    funnel.repair()
    around = Surroundings(*both, testified)
    if pair_twins(*both, around, even=False):
        funnel.settle()
    if pair_by_order(*both, final_colours(funnel.colouring, pairing, ROUNDS)):
        funnel.settle()
    if pair_leftovers(*both):
        funnel.settle()
    pair_by_layout(*both, shapes)
    drop_denied(*both, shapes)
    return pairing


class _Funnel:
    """The steps that are taken more than once."""

    __slots__ = ("_baseline", "_fixed", "_pairing", "_shapes", "colouring")

    def __init__(self, fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes]) -> None:
        self._fixed, self._baseline, self._pairing, self._shapes = fixed, baseline, pairing, shapes
        self.colouring = Colouring(fixed, baseline)

    def settle(self) -> None:
        """Refine and follow references until no step makes a new pair, each after the last pair was made."""
        both = self._fixed, self._baseline, self._pairing
        steps = (
            partial(pair_by_colour, self.colouring, self._pairing, ROUNDS),
            partial(pair_by_form, *both),
            partial(pair_by_reference, *both, self._shapes),
        )
        idle = 0
        for step in cycle(steps):
            idle = 0 if step() else idle + 1
            if idle == len(steps):
                return

    def follow(self) -> None:
        """Follow references through data too, until that makes no new pair."""
        both = self._fixed, self._baseline, self._pairing
        for _ in range(ROUNDS):
            if not pair_by_witness(*both, self._shapes, witnesses(*both, free=True)):
                return
            self.settle()

    def repair(self) -> None:
        """Take back what testimony speaks against, and let the witnesses say who it is."""
        both = self._fixed, self._baseline, self._pairing
        for _ in range(REPAIRS):
            before = self._pairing.fixed.copy(), self._pairing.level.copy()
            votes = witnesses(*both)
            dropped = drop_outvoted(*both, votes)
            if not dropped + drop_contradicted(*both):
                return
            pair_by_witness(*both, self._shapes, votes)
            self.settle()
            if all(map(np.array_equal, before, (self._pairing.fixed, self._pairing.level))):
                return  # what was undone came back, and would again
