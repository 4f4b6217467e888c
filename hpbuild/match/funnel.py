"""The matching funnel: the widest level that gives a one-to-one answer, repeated to a fixed point."""

from hpbuild.match.changed import (
    drop_contradicted,
    pair_by_layout,
    pair_by_order,
    pair_by_reference,
    pair_by_similarity,
)
from hpbuild.match.colours import final_colours, pair_by_colour, pair_by_form
from hpbuild.match.names import pair_by_name
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side
from hpbuild.match.similarity import Shapes

ROUNDS = 6
REPAIRS = 3


def pair_fragments(fixed: Side, baseline: Side) -> Pairing:
    """Pair the code fragments of two programs; the same input gives the same pairs."""
    pairing = Pairing(len(fixed.forms), len(baseline.forms))
    shapes = (Shapes(fixed), Shapes(baseline))
    pair_by_name(fixed, baseline, pairing)
    pair_by_form(fixed, baseline, pairing)
    _settle(fixed, baseline, pairing, shapes)
    for step in (pair_by_layout, pair_by_similarity):
        if step(fixed, baseline, pairing, shapes):
            _settle(fixed, baseline, pairing, shapes)
    for _ in range(REPAIRS):
        if not drop_contradicted(fixed, baseline, pairing):
            break
        _settle(fixed, baseline, pairing, shapes)
    colours = final_colours(fixed, baseline, pairing, ROUNDS)
    if pair_by_order(fixed, baseline, pairing, colours):
        _settle(fixed, baseline, pairing, shapes)
    pair_by_layout(fixed, baseline, pairing, shapes)
    return pairing


def _settle(fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes]) -> None:
    """Refine and follow references until neither makes a new pair."""
    while True:
        made = pair_by_colour(fixed, baseline, pairing, ROUNDS)
        made += pair_by_form(fixed, baseline, pairing)
        made += pair_by_reference(fixed, baseline, pairing, shapes)
        if not made:
            return
