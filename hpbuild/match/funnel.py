"""The matching funnel: the widest level that gives a one-to-one answer, repeated to a fixed point."""

from hpbuild.match.callers import drop_denied, pair_by_callers
from hpbuild.match.changed import (
    drop_contradicted,
    pair_by_layout,
    pair_by_order,
    pair_by_reference,
    pair_by_similarity,
)
from hpbuild.match.colours import final_colours, pair_by_colour, pair_by_form
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
    shapes = (Shapes(fixed), Shapes(baseline))
    pair_by_name(fixed, baseline, pairing)
    pair_by_form(fixed, baseline, pairing)
    _settle(fixed, baseline, pairing, shapes)
    _witness(fixed, baseline, pairing, shapes)
    around = Surroundings(fixed, baseline, pairing)
    while pair_by_surroundings(around, pairing):
        _settle(fixed, baseline, pairing, shapes)
        _witness(fixed, baseline, pairing, shapes)
        around = Surroundings(fixed, baseline, pairing)
    if pair_twins(fixed, baseline, pairing, around, even=True):
        _settle(fixed, baseline, pairing, shapes)
    for step in (pair_by_layout, pair_by_similarity):
        if step(fixed, baseline, pairing, shapes):
            _settle(fixed, baseline, pairing, shapes)
    if pair_by_callers(fixed, baseline, pairing):
        _settle(fixed, baseline, pairing, shapes)
    for _ in range(REPAIRS):
        votes = witnesses(fixed, baseline, pairing)
        dropped = drop_outvoted(fixed, baseline, pairing, votes)
        if not dropped + drop_contradicted(fixed, baseline, pairing):
            break
        pair_by_witness(fixed, baseline, pairing, shapes, votes)
        _settle(fixed, baseline, pairing, shapes)
    around = Surroundings(fixed, baseline, pairing)
    if pair_twins(fixed, baseline, pairing, around, even=False):
        _settle(fixed, baseline, pairing, shapes)
    colours = final_colours(fixed, baseline, pairing, ROUNDS)
    if pair_by_order(fixed, baseline, pairing, colours):
        _settle(fixed, baseline, pairing, shapes)
    if pair_leftovers(fixed, baseline, pairing):
        _settle(fixed, baseline, pairing, shapes)
    pair_by_layout(fixed, baseline, pairing, shapes)
    drop_denied(fixed, baseline, pairing, shapes)
    return pairing


def _witness(fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes]) -> None:
    """Follow references through data too, until that makes no new pair."""
    for _ in range(ROUNDS):
        if not pair_by_witness(
            fixed, baseline, pairing, shapes, witnesses(fixed, baseline, pairing, free=True)
        ):
            return
        _settle(fixed, baseline, pairing, shapes)


def _settle(fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes]) -> None:
    """Refine and follow references until neither makes a new pair."""
    while True:
        made = pair_by_colour(fixed, baseline, pairing, ROUNDS)
        made += pair_by_form(fixed, baseline, pairing)
        made += pair_by_reference(fixed, baseline, pairing, shapes)
        if not made:
            return
