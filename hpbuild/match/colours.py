"""Colour refinement over the reference graph: fragments whose surroundings are unique on both sides pair.

A fragment's colour is its form mixed with the labels of everything it refers to and of everything that
refers to it; labels of paired fragments name the pair, so every new pair sharpens its neighbours
(Weisfeiler and Leman's refinement, started from forms and known pairs). Only fragments that are not paired
have a colour, so only they and what touches them is looked at.
"""

import numpy as np

from hpbuild.code.model import I64
from hpbuild.match.agreement import expand
from hpbuild.match.mixing import U64, mix, pair_labels
from hpbuild.match.pairing import Level, Pairing, join_unique
from hpbuild.match.sides import Side

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Colouring:
    """The colours of both sides; what one call of ``pair_by_colour`` finds out about references serves the
    next one, of the same two sides and a pairing that went on."""

    __slots__ = ("left", "right")

    def __init__(self, fixed: Side, baseline: Side) -> None:
        self.left, self.right = _Colours(fixed, numbered=False), _Colours(baseline, numbered=True)

    def start(self, pairing: Pairing) -> None:
        """Begin with forms and what is paired."""
        self.left.start(pairing.fixed)
        self.right.start(pairing.baseline)

    def refine(self, pairing: Pairing) -> None:
        """One round on both sides."""
        self.left.refine(pairing.fixed)
        self.right.refine(pairing.baseline)


_Edges = tuple[I64, U64, I64]
"""The fragments at the other ends of the references of all nodes, factors that stand for the places and
offsets of these, and where the references of each node begin, with the end of the last."""


class _Colours:
    """Colours of one side's fragments ``nodes``, which were not paired when they were last counted.
    ``column`` are their colours after the last round."""

    __slots__ = (
        "_callers",
        "_labels",
        "_named",
        "_numbered",
        "_own",
        "_partners",
        "_side",
        "column",
        "nodes",
    )

    def __init__(self, side: Side, *, numbered: bool) -> None:
        """A pair has the number of its baseline fragment: ``numbered`` if that is on this side."""
        self._side, self._numbered = side, numbered
        self._labels = side.forms.view(np.uint64).copy()
        self._partners = np.full(len(side.forms), -1, dtype=np.int64)
        self.nodes = self.column = np.zeros(0, dtype=np.int64)
        self._own = self.nodes.view(np.uint64)
        self._named: _Edges = self.nodes, self._own, np.zeros(1, dtype=np.int64)
        self._callers: _Edges = self._named

    def start(self, partners: I64) -> None:
        """Begin with the forms. ``partners`` are each fragment's, -1 when it has none."""
        changed = np.flatnonzero(self._partners != partners)
        self._partners[changed] = partners[changed]
        paired = changed[partners[changed] >= 0]
        self._labels[paired] = pair_labels(paired if self._numbered else partners[paired])
        kept = partners[self.nodes] < 0
        if np.count_nonzero(kept) == np.count_nonzero(partners < 0):
            self._keep(kept)
        else:
            self._open(np.flatnonzero(partners < 0))
        self.column = self._own.view(np.int64)
        self._labels[self.nodes] = self._own

    def refine(self, partners: I64) -> None:
        """One round: own form, what it refers to, in order, and who refers to it."""
        partner = partners[self.nodes]
        paired, numbers = partner >= 0, self.nodes if self._numbered else partner
        self._labels[self.nodes] = np.where(paired, pair_labels(numbers), self.column.view(np.uint64))
        if 4 * np.count_nonzero(paired) > len(paired):
            self._keep(~paired)
        links = self._side.links
        outgoing = self._gathered(self._named) + links.named[self.nodes]
        incoming = self._gathered(self._callers) + links.held[self.nodes]
        self.column = mix(mix(self._own, outgoing), incoming).view(np.int64)

    def free(self, partners: I64) -> I64:
        """Numbers of the ``nodes`` that are code and have no partner."""
        return np.flatnonzero((partners[self.nodes] < 0) & (self._own != 0))

    def everywhere(self) -> I64:
        """Colours by fragment, 0 where there is none."""
        colours = np.zeros(len(self._side.forms), dtype=np.int64)
        colours[self.nodes] = self.column
        return colours

    def _gathered(self, edges: _Edges) -> U64:
        """By node: the labels at the other ends of its edges, each times what stands for its place, summed
        modulo 2**64."""
        ends, factors, bounds = edges
        sums = np.zeros(len(ends) + 1, dtype=np.uint64)
        np.cumsum(self._labels[ends] * factors, out=sums[1:])
        sums = sums[bounds]
        return sums[1:] - sums[:-1]

    def _keep(self, kept: Bool) -> None:
        """Only these of the nodes."""
        if kept.all():
            return
        self.nodes, self._own = self.nodes[kept], self._own[kept]
        self._named, self._callers = _of_some(self._named, kept), _of_some(self._callers, kept)

    def _open(self, nodes: I64) -> None:
        self.nodes, self._own = nodes, self._side.forms[nodes].view(np.uint64)
        side, order = self._side, np.arange(len(nodes))
        number, row = expand(side.first[nodes], side.links.own[nodes], order)
        code = np.flatnonzero(side.targets.code[row] >= 0)
        number, row = number[code], row[code]
        place = row - side.first[nodes[number]]
        self._named = side.targets.code[row], self._factors(place, row), _bounds(number, len(nodes))
        number, at = expand(side.links.first[nodes], side.links.last[nodes], order)
        row = side.links.rows[at]
        caller = side.program.references.fragment[row]
        self._callers = caller, self._factors(row - side.first[caller], row), _bounds(number, len(nodes))

    def _factors(self, place: I64, row: I64) -> U64:
        """Odd numbers for the places and offsets of references."""
        offset = self._side.targets.offset[row]
        if not len(place):
            return place.view(np.uint64)
        every = np.arange(int(place.max()) + 1, dtype=np.uint64)
        factors = mix(every, np.zeros(1, dtype=np.uint64))[place]
        inner = np.flatnonzero(offset)
        factors[inner] = mix(place[inner].view(np.uint64), offset[inner].view(np.uint64))
        factors |= np.uint64(1)
        return factors


def _of_some(edges: _Edges, kept: Bool) -> _Edges:
    """The edges of the nodes that are kept."""
    ends, factors, bounds = edges
    sizes = np.diff(bounds)
    rows = np.flatnonzero(np.repeat(kept, sizes))
    return ends[rows], factors[rows], np.concatenate([bounds[:1], np.cumsum(sizes[kept])])


def _bounds(numbers: I64, count: int) -> I64:
    """Where each number begins in an ascending column of them, and the end of the last."""
    sizes = np.bincount(numbers, minlength=count)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])


def pair_by_colour(colouring: Colouring, pairing: Pairing, rounds: int) -> int:
    """Pair fragments that are alone with their colour on both sides, ``rounds`` times; pairs made."""
    made = 0
    colouring.start(pairing)
    left, right = colouring.left, colouring.right
    for number in range(rounds):
        colouring.refine(pairing)
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


def final_colours(colouring: Colouring, pairing: Pairing, rounds: int) -> tuple[I64, I64]:
    """Colours of free fragments after ``rounds`` of refinement without pairing, comparable across the two
    sides; 0 for paired ones."""
    colouring.start(pairing)
    for _ in range(rounds):
        colouring.refine(pairing)
    return colouring.left.everywhere(), colouring.right.everywhere()


def _free(side: Side, partner: I64) -> I64:
    return np.flatnonzero((partner < 0) & (side.forms != 0))
