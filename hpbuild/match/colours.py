"""Colour refinement over the reference graph: fragments whose surroundings are unique on both sides pair.

A fragment's colour is its form mixed with the labels of everything it refers to and of everything that
refers to it; labels of paired fragments name the pair, so every new pair sharpens its neighbours
(Weisfeiler and Leman's refinement, started from forms and known pairs). Only fragments that are not paired
have a colour, so only they and what touches them is looked at.
"""

from functools import partial

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.model import I64
from hpbuild.match.both import both
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
        both(
            partial(self.left.start, pairing.fixed),
            partial(self.right.start, pairing.baseline),
            _free(pairing),
        )

    def refine(self, pairing: Pairing) -> None:
        """One round on both sides."""
        both(
            partial(self.left.refine, pairing.fixed),
            partial(self.right.refine, pairing.baseline),
            min(len(self.left.nodes), len(self.right.nodes)),
        )


class _Edges:
    """References between some nodes and others, those of each node together: ``ends`` are the fragments at
    the other ends, ``factors`` stand for the places and offsets, ``bounds`` say where the references of each
    node begin, with the end of the last. ``settled`` is by node the sum of what does not change any more:
    what a pair is called, and what no code says."""

    __slots__ = ("_bounds", "_ends", "_factors", "_settled")

    def __init__(self, ends: I64, factors: U64, bounds: I64, settled: U64) -> None:
        self._ends, self._factors, self._bounds, self._settled = ends, factors, bounds, settled

    def gathered(self, labels: U64) -> U64:
        """By node: the labels at the other ends of its references, each times its factor, summed modulo
        2**64."""
        return self._settled + _run_sums(labels[self._ends] * self._factors, self._bounds)

    def of(self, kept: Bool, labels: U64, partners: I64) -> "_Edges":
        """Those of some of the nodes; what leads to fragments with partners, which have the labels of pairs,
        is settled."""
        sizes = np.diff(self._bounds)
        rows = np.flatnonzero(np.repeat(kept, sizes))
        ends, factors, bounds = self._ends[rows], self._factors[rows], _bounds(sizes[kept])
        free = partners[ends] < 0
        open_bounds = _bounds(free)[bounds]
        rows = np.flatnonzero(~free)
        settled = self._settled[kept] + _run_sums(labels[ends[rows]] * factors[rows], bounds - open_bounds)
        rows = np.flatnonzero(free)
        return _Edges(ends[rows], factors[rows], open_bounds, settled)


class _Colours:
    """Colours of one side's fragments ``nodes``, which were not paired when they were last counted.
    ``column`` are their colours after the last round, ``free`` the numbers of those of them that are code and
    had no partner in it."""

    __slots__ = (
        "_callers",
        "_labels",
        "_named",
        "_numbered",
        "_own",
        "_partners",
        "_side",
        "column",
        "free",
        "nodes",
    )

    def __init__(self, side: Side, *, numbered: bool) -> None:
        """A pair has the number of its baseline fragment: ``numbered`` if that is on this side."""
        self._side, self._numbered = side, numbered
        self._labels = side.forms.view(np.uint64).copy()
        self._partners = np.full(len(side.forms), -1, dtype=np.int64)
        self.nodes = self.column = self.free = np.zeros(0, dtype=np.int64)
        self._own = self.nodes.view(np.uint64)
        self._named = self._callers = _Edges(self.nodes, self._own, np.zeros(1, dtype=np.int64), self._own)

    def start(self, partners: I64) -> None:
        """Begin with the forms. ``partners`` are each fragment's, -1 when it has none."""
        changed = np.flatnonzero(self._partners != partners)
        undone = (self._partners[changed] >= 0).any()
        self._name(changed[partners[changed] >= 0], partners)
        self._partners[changed] = partners[changed]
        kept = partners[self.nodes] < 0
        if undone or np.count_nonzero(kept) != np.count_nonzero(partners < 0):
            self._open(np.flatnonzero(partners < 0))
        else:
            self._keep(kept)
        self.column = self._own.view(np.int64)
        self._labels[self.nodes] = self._own

    def refine(self, partners: I64) -> None:
        """One round: own form, what it refers to, in order, and who refers to it."""
        kept = partners[self.nodes] < 0
        self._labels[self.nodes] = self.column.view(np.uint64)
        paired = self.nodes[np.flatnonzero(~kept)]
        self._name(paired, partners)
        if 4 * len(paired) > len(kept):
            self._partners[paired] = partners[paired]
            self._keep(kept)
            kept = kept[kept]
        self.free = np.flatnonzero(kept & (self._own != 0))
        outgoing, incoming = self._named.gathered(self._labels), self._callers.gathered(self._labels)
        self.column = mix(mix(self._own, outgoing), incoming).view(np.int64)

    def everywhere(self) -> I64:
        """Colours by fragment, 0 where there is none."""
        colours = np.zeros(len(self._side.forms), dtype=np.int64)
        colours[self.nodes] = self.column
        return colours

    def _name(self, paired: I64, partners: I64) -> None:
        """Give the labels of their pairs to fragments."""
        self._labels[paired] = pair_labels(paired if self._numbered else partners[paired])

    def _keep(self, kept: Bool) -> None:
        """Only these of the nodes; all others of them are paired, and named so."""
        rows = np.flatnonzero(kept)
        if len(rows) == len(kept):
            return
        self.nodes, self._own = self.nodes[rows], self._own[rows]
        self._named = self._named.of(kept, self._labels, self._partners)
        self._callers = self._callers.of(kept, self._labels, self._partners)

    def _open(self, nodes: I64) -> None:
        self.nodes, self._own = nodes, self._side.forms[nodes].view(np.uint64)
        side, links = self._side, self._side.links
        begin, end = side.first[nodes], links.own[nodes]
        row, target = members(begin, end), side.targets.code
        place = row - np.repeat(begin, end - begin)
        known = target[row] >= 0
        before = _bounds(known)[_bounds(end - begin)]
        code = np.flatnonzero(known)
        row = row[code]
        self._named = _Edges(target[row], self._factors(place[code], row), before, links.named[nodes])
        begin, end = links.first[nodes], links.last[nodes]
        row = links.rows[members(begin, end)]
        caller = side.program.references.fragment[row]
        factors = self._factors(row - side.first[caller], row)
        self._callers = _Edges(caller, factors, _bounds(end - begin), links.held[nodes])

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


def _run_sums(values: U64, bounds: I64) -> U64:
    """Sums modulo 2**64 of runs of values, each of which ends where the next one begins."""
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values, out=sums[1:])
    sums = sums[bounds]
    return sums[1:] - sums[:-1]


def _bounds(sizes: I64 | Bool) -> I64:
    """Where each run of these sizes begins when one is behind the other, and the end of the last."""
    bounds = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=bounds[1:])
    return bounds


def pair_by_colour(colouring: Colouring, pairing: Pairing, rounds: int) -> int:
    """Pair fragments that are alone with their colour on both sides, ``rounds`` times; pairs made."""
    made = 0
    colouring.start(pairing)
    left, right = colouring.left, colouring.right
    for number in range(rounds):
        colouring.refine(pairing)
        rows, others = join_unique(left.column, right.column, left.free, right.free)
        found = pairing.add_distinct(left.nodes[rows], right.nodes[others], Level.CONTEXT)
        made += found
        if number and not found:
            break
    return made


def pair_by_form(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Pair fragments that are alone with their form on both sides."""
    free, others = np.flatnonzero(pairing.fixed < 0), np.flatnonzero(pairing.baseline < 0)
    left, right = join_unique(
        fixed.forms, baseline.forms, free[fixed.forms[free] != 0], others[baseline.forms[others] != 0]
    )
    return pairing.add_distinct(left, right, Level.FORM)


def final_colours(colouring: Colouring, pairing: Pairing, rounds: int) -> tuple[I64, I64]:
    """Colours of free fragments after ``rounds`` of refinement without pairing, comparable across the two
    sides; 0 for paired ones."""
    colouring.start(pairing)
    for _ in range(rounds):
        colouring.refine(pairing)
    return colouring.left.everywhere(), colouring.right.everywhere()


def _free(pairing: Pairing) -> int:
    """Fragments without a partner, of the side that has fewer of them."""
    return int(min(np.count_nonzero(side < 0) for side in (pairing.fixed, pairing.baseline)))
