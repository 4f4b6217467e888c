"""The matching funnel: the widest level that gives a one-to-one answer, repeated to a fixed point."""

from copy import deepcopy
from functools import partial
from itertools import cycle

import numpy as np

from hpbuild.match.both import both
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
    given = fixed, baseline, pairing
    shapes = (Shapes(fixed), Shapes(baseline))
    funnel = _Funnel(fixed, baseline, pairing, shapes)
    pair_by_name(*given)
    pair_by_form(*given)
    funnel.settle()
    testified, known = DataTestimony(fixed, baseline), deepcopy(pairing)
    # The most part of what data says is known by now: it is asked for while the rest is looked for.
    both(partial(testified.pairs, known), funnel.follow, len(fixed.forms))
    around = Surroundings(*given, testified)
    while pair_by_surroundings(around, pairing):
        funnel.settle()
        funnel.follow()
        around = Surroundings(*given, testified, around)
    if pair_twins(*given, around, even=True):
        funnel.settle()
    for step in (pair_by_layout, pair_by_similarity):
        if step(*given, shapes):
            funnel.settle()
    if pair_by_callers(*given):
        funnel.settle()
    funnel.repair()
    around = Surroundings(*given, testified, around)
    if pair_twins(*given, around, even=False):
        funnel.settle()
    if pair_by_order(*given, final_colours(funnel.colouring, pairing, ROUNDS)):
        funnel.settle()
    if pair_leftovers(*given):
        funnel.settle()
    pair_by_layout(*given, shapes)
    drop_denied(*given, shapes)
    return pairing


class _Funnel:
    """The steps that are taken more than once."""

    __slots__ = ("_baseline", "_fixed", "_pairing", "_shapes", "colouring")

    def __init__(self, fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes]) -> None:
        self._fixed, self._baseline, self._pairing, self._shapes = fixed, baseline, pairing, shapes
        self.colouring = Colouring(fixed, baseline)

    def settle(self) -> None:
        """Refine and follow references until no step makes a new pair, each after the last pair was made."""
        given = self._fixed, self._baseline, self._pairing
        steps = (
            partial(pair_by_colour, self.colouring, self._pairing, ROUNDS),
            partial(pair_by_form, *given),
            partial(pair_by_reference, *given, self._shapes),
        )
        idle = 0
        for step in cycle(steps):
            idle = 0 if step() else idle + 1
            if idle == len(steps):
                return

    def follow(self) -> None:
        """Follow references through data too, until that makes no new pair."""
        given = self._fixed, self._baseline, self._pairing
        for _ in range(ROUNDS):
            if not pair_by_witness(*given, self._shapes, witnesses(*given, free=True)):
                return
            self.settle()

    def repair(self) -> None:
        """Take back what testimony speaks against, and let the witnesses say who it is."""
        given = self._fixed, self._baseline, self._pairing
        for _ in range(REPAIRS):
            before = self._pairing.fixed.copy(), self._pairing.level.copy()
            votes = witnesses(*given)
            dropped = drop_outvoted(*given, votes)
            if not dropped + drop_contradicted(*given):
                return
            pair_by_witness(*given, self._shapes, votes)
            self.settle()
            if all(map(np.array_equal, before, (self._pairing.fixed, self._pairing.level))):
                return  # what was undone came back, and would again
