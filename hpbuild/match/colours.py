"""Colour refinement over the reference graph: fragments whose surroundings are unique on both sides pair.

A fragment's colour is its form mixed with the labels of everything it refers to and of everything that
refers to it; labels of paired fragments name the pair, so every new pair sharpens its neighbours
(Weisfeiler and Leman's refinement, started from forms and known pairs). Only fragments that are not paired
have a colour, so only they and what touches them is looked at.
"""

import numpy as np

from hpbuild.code.model import I64
from hpbuild.match.agreement import expand
from hpbuild.match.mixing import mix, pair_labels, summed
from hpbuild.match.pairing import Level, Pairing, join_unique
from hpbuild.match.sides import Side


class _Colours:
    """Colours of one side's fragments ``nodes``, which were not paired when they were last counted.
    ``column`` are their colours after the last round."""

    __slots__ = ("_callers", "_labels", "_named", "_numbered", "_own", "_side", "column", "nodes")

    def __init__(self, side: Side, partners: I64, *, numbered: bool) -> None:
        """``partners`` are each fragment's, -1 when it has none. A pair has the number of its baseline
        fragment: ``numbered`` if that is on this side."""
        self._side, self._numbered = side, numbered
        forms = side.forms.view(np.uint64)
        numbers = np.arange(len(forms)) if numbered else partners
        self._labels = np.where(partners >= 0, pair_labels(numbers), forms)
        self._open(np.flatnonzero(partners < 0))
        self.column = side.forms[self.nodes]

    def refine(self, partners: I64) -> None:
        """One round: own form, what it refers to, in order, and who refers to it."""
        partner = partners[self.nodes]
        paired, numbers = partner >= 0, self.nodes if self._numbered else partner
        self._labels[self.nodes] = np.where(paired, pair_labels(numbers), self.column.view(np.uint64))
        if 4 * np.count_nonzero(paired) > len(paired):
            self._open(self.nodes[~paired])
        count, labels, links = len(self.nodes), self._labels, self._side.links
        node, target, offset, place = self._named
        outgoing = summed(mix(mix(labels[target], offset), place), node, count)
        outgoing += links.named[self.nodes]
        node, caller, offset, place = self._callers
        incoming = summed(mix(mix(labels[caller], place), offset), node, count)
        incoming += links.held[self.nodes]
        self.column = mix(mix(self._own, outgoing), incoming).view(np.int64)

    def free(self, partners: I64) -> I64:
        """Numbers of the ``nodes`` that are code and have no partner."""
        return np.flatnonzero((partners[self.nodes] < 0) & (self._own != 0))

    def everywhere(self) -> I64:
        """Colours by fragment, 0 where there is none."""
        colours = np.zeros(len(self._side.forms), dtype=np.int64)
        colours[self.nodes] = self.column
        return colours

    def _open(self, nodes: I64) -> None:
        self.nodes, self._own = nodes, self._side.forms[nodes].view(np.uint64)
        side, order = self._side, np.arange(len(nodes))
        number, row = expand(side.first[nodes], side.links.own[nodes], order)
        target = side.targets.code[row]
        code = np.flatnonzero(target >= 0)
        number, row, target = number[code], row[code], target[code]
        place = row - side.first[nodes[number]]
        offset = side.targets.offset[row]
        self._named = number, target, offset.view(np.uint64), place.view(np.uint64)
        number, at = expand(side.links.first[nodes], side.links.last[nodes], order)
        row = side.links.rows[at]
        caller = side.program.references.fragment[row]
        place, offset = row - side.first[caller], side.targets.offset[row]
        self._callers = number, caller, offset.view(np.uint64), place.view(np.uint64)


def pair_by_colour(fixed: Side, baseline: Side, pairing: Pairing, rounds: int) -> int:
    """Pair fragments that are alone with their colour on both sides, ``rounds`` times; pairs made."""
    made = 0
    left, right = _both(fixed, baseline, pairing)
    for number in range(rounds):
        left.refine(pairing.fixed)
        right.refine(pairing.baseline)
        rows, others = join_unique(
            left.column, right.column, left.free(pairing.fixed), right.free(pairing.baseline)
        )
        found = pairing.add(left.nodes[rows], right.nodes[others], Level.CONTEXT)
        made += found
        if number and not found:
            break
    return made


def pair_by_form(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Pair fragments that are alone with their form on both sides."""
    left, right = join_unique(
        fixed.forms, baseline.forms, _free(fixed, pairing.fixed), _free(baseline, pairing.baseline)
    )
    return pairing.add(left, right, Level.FORM)


def final_colours(fixed: Side, baseline: Side, pairing: Pairing, rounds: int) -> tuple[I64, I64]:
    """Colours of free fragments after ``rounds`` of refinement without pairing, comparable across the two
    sides; 0 for paired ones."""
    left, right = _both(fixed, baseline, pairing)
    for _ in range(rounds):
        left.refine(pairing.fixed)
        right.refine(pairing.baseline)
    return left.everywhere(), right.everywhere()


def _both(fixed: Side, baseline: Side, pairing: Pairing) -> tuple[_Colours, _Colours]:
    return (
        _Colours(fixed, pairing.fixed, numbered=False),
        _Colours(baseline, pairing.baseline, numbered=True),
    )


def _free(side: Side, partner: I64) -> I64:
    return np.flatnonzero((partner < 0) & (side.forms != 0))
