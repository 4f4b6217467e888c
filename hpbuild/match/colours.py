"""Colour refinement over the reference graph: fragments whose surroundings are unique on both sides pair.

A fragment's colour is its form mixed with the labels of everything it refers to and of everything that
refers to it; labels of paired fragments name the pair, so every new pair sharpens its neighbours
(Weisfeiler and Leman's refinement, started from forms and known pairs). Only fragments that are not paired
have a colour, so only they and what touches them is looked at; and of these, again and again only those that
stand next to each other. The colour of one whose neighbours all have partners does not change any more.
"""

from functools import partial

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.model import I64
from hpbuild.match.both import both
from hpbuild.match.mixing import U64, mix, pair_labels
from hpbuild.match.pairing import Level, Pairing, join_unique, unique_on_both
from hpbuild.match.sides import Side

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Colouring:
    """The colours of both sides; what one call of ``pair_by_colour`` finds out about references serves the
    next one, of the same two sides and a pairing that went on."""

    __slots__ = ("_fresh", "left", "right")

    def __init__(self, fixed: Side, baseline: Side) -> None:
        self.left, self.right = _Colours(fixed, numbered=False), _Colours(baseline, numbered=True)
        self._fresh = True

    def start(self, pairing: Pairing) -> None:
        """Begin with forms and what is paired."""
        sides = (self.left, pairing.fixed), (self.right, pairing.baseline)
        begin, rows = _Colours.begin, min(len(side.nodes) for side, _ in sides)
        # Who has no partner any more had one on the other side: to ask one of the two is enough.
        if self.left.outdated(pairing.fixed):
            begin, rows = _Colours.open, min(len(partners) for _, partners in sides)
        both(partial(begin, *sides[0]), partial(begin, *sides[1]), rows)
        self._fresh = True

    def refine(self, pairing: Pairing) -> None:
        """One round on both sides."""
        sides = (self.left, pairing.fixed), (self.right, pairing.baseline)
        rows = min(len(side.nodes) for side, _ in sides)
        for side, partners in sides:
            side.look(partners)
        # Both sides or none: whoever is alone here stands beside whoever is alone there.
        if any(side.many_paired() for side, _ in sides):
            both(partial(_Colours.leave_out, *sides[0]), partial(_Colours.leave_out, *sides[1]), rows)
            self._fresh = True
        both(partial(_Colours.refine, *sides[0]), partial(_Colours.refine, *sides[1]), rows)

    def unique(self) -> tuple[I64, I64]:
        """The fragments, in pairs, that were alone with their colour on both sides in the last round."""
        left, right = (side.coloured(settled=self._fresh) for side in (self.left, self.right))
        self._fresh = False  # until another of them has a partner, they are what they are
        rows, others = unique_on_both(left[0], right[0])
        return left[1][rows], right[1][others]


class _Edges:
    """References between some nodes and other fragments that are not paired either, in two runs for each
    node: first for each what it names, then for each who names it. ``ends`` are the fragments at the other
    ends, ``factors`` stand for the places and offsets, ``bounds`` say where each run begins, with the end of
    the last. ``settled`` is by run the sum of what does not change any more: what a pair is called, and what
    no code says."""

    __slots__ = ("_bounds", "_ends", "_factors", "_settled")

    def __init__(self, ends: I64, factors: U64, bounds: I64, settled: U64) -> None:
        self._ends, self._factors, self._bounds, self._settled = ends, factors, bounds, settled

    def gathered(self, labels: U64) -> tuple[U64, U64]:
        """By node, of what it names and of who names it: the labels, each times its factor, summed modulo
        2**64."""
        values = labels.take(self._ends)
        values *= self._factors
        sums = _run_sums(values, self._bounds)
        sums += self._settled
        return sums[: len(sums) // 2], sums[len(sums) // 2 :]

    def settled(self, nodes: I64) -> tuple[U64, U64]:
        """``gathered``, for nodes that have no edges."""
        middle = len(self._settled) // 2
        return self._settled[nodes], self._settled[nodes + middle]

    def alone(self) -> Bool:
        """Which nodes have no edges."""
        middle = len(self._bounds) // 2
        empty: Bool = self._bounds[1:] == self._bounds[:-1]
        return empty[:middle] & empty[middle:]

    def of(self, kept: Bool, labels: U64, partners: I64) -> "_Edges":
        """Those of some of the nodes; what leads to fragments with partners, which have the labels of pairs,
        is settled."""
        runs = np.flatnonzero(np.concatenate([kept, kept]))
        begin, end = self._bounds.take(runs), self._bounds.take(runs + 1)
        rows, bounds = members(begin, end), _bounds(end - begin)
        ends, factors = self._ends.take(rows), self._factors.take(rows)
        free = partners[ends] < 0
        open_bounds = _bounds(free)[bounds]
        rows = np.flatnonzero(~free)
        settled = self._settled[runs] + _run_sums(labels[ends[rows]] * factors[rows], bounds - open_bounds)
        rows = np.flatnonzero(free)
        return _Edges(ends[rows], factors[rows], open_bounds, settled)

    def without(self, empty: Bool) -> "_Edges":
        """Those of all nodes but some that have none."""
        runs = np.flatnonzero(np.concatenate([~empty, ~empty]))
        bounds = np.append(self._bounds.take(runs), self._bounds[-1:])
        return _Edges(self._ends, self._factors, bounds, self._settled.take(runs))


class _Colours:
    """Colours of one side's fragments that were not paired when they were last counted. Those of ``nodes``
    are ``column`` after the last round. Those of ``alone``, whose neighbours were all paired, are ``settled``
    for good."""

    __slots__ = (
        "_edges",
        "_free",
        "_labels",
        "_numbered",
        "_own",
        "_partners",
        "_side",
        "alone",
        "column",
        "nodes",
        "settled",
    )

    def __init__(self, side: Side, *, numbered: bool) -> None:
        """A pair has the number of its baseline fragment: ``numbered`` if that is on this side."""
        self._side, self._numbered = side, numbered
        self._labels = np.zeros(len(side.forms), dtype=np.uint64)
        # Nobody is left out so far because of a partner; -2 is that of none.
        self._partners = np.full(len(side.forms), -2, dtype=np.int64)
        self.nodes = self.column = self.alone = self.settled = np.zeros(0, dtype=np.int64)
        self._own, self._free = self.nodes.view(np.uint64), self.nodes.view(np.bool_)
        self._edges = _Edges(self.nodes, self._own, np.zeros(1, dtype=np.int64), self._own)

    def outdated(self, partners: I64) -> bool:
        """Whether some fragment was left out that is free now, or that has another partner."""
        return bool(((self._partners != -1) & (self._partners != partners)).any())

    def open(self, partners: I64) -> None:
        """Begin with the forms. ``partners`` are each fragment's, -1 when it has none."""
        self._partners = partners.copy()
        self._name(np.flatnonzero(partners >= 0), partners)
        self.nodes = np.flatnonzero(partners < 0)
        self.alone = self.settled = self.nodes[:0]
        self._own = self._side.forms[self.nodes].view(np.uint64)
        self.column = self._own.view(np.int64)
        self._edges = self._opened()
        self._set_apart()
        self._free = np.ones(len(self.nodes), dtype=np.bool_)

    def begin(self, partners: I64) -> None:
        """``open``, where nobody who was left out is free now."""
        self.leave_out(partners)
        self.column = self._own.view(np.int64)

    def leave_out(self, partners: I64) -> None:
        """Go on with those that have no partner."""
        free = partners[self.nodes] < 0, partners[self.alone] < 0
        for column, kept in zip((self.nodes, self.alone), free, strict=True):
            paired = column[np.flatnonzero(~kept)]
            self._name(paired, partners)
            self._partners[paired] = partners[paired]
        rows = np.flatnonzero(free[1])
        self.alone, self.settled = self.alone[rows], self.settled[rows]
        rows = np.flatnonzero(free[0])
        if len(rows) < len(self.nodes):
            self.nodes, self._own, self.column = self.nodes[rows], self._own[rows], self.column[rows]
            self._edges = self._edges.of(free[0], self._labels, partners)
            self._set_apart()
        self._free = np.ones(len(self.nodes), dtype=np.bool_)

    def look(self, partners: I64) -> None:
        """See which of the nodes have no partner."""
        self._free = partners[self.nodes] < 0

    def many_paired(self) -> bool:
        """Whether so many of the nodes have partners that it is worth while to go on without them."""
        return bool(4 * np.count_nonzero(self._free) < 3 * len(self.nodes))

    def refine(self, partners: I64) -> None:
        """One round: own form, what it refers to, in order, and who refers to it."""
        self._labels[self.nodes] = self.column.view(np.uint64)
        self._name(self.nodes[np.flatnonzero(~self._free)], partners)
        outgoing, incoming = self._edges.gathered(self._labels)
        self.column = mix(mix(self._own, outgoing), incoming).view(np.int64)

    def coloured(self, *, settled: bool) -> tuple[I64, I64]:
        """The colours of code without partners, and the fragments; only with ``settled`` of those alone."""
        rows = np.flatnonzero(self._free & (self._own != 0))
        colours, nodes = self.column[rows], self.nodes[rows]
        if settled:
            return np.concatenate([colours, self.settled]), np.concatenate([nodes, self.alone])
        return colours, nodes

    def everywhere(self) -> I64:
        """Colours by fragment, 0 where there is none."""
        colours = np.zeros(len(self._side.forms), dtype=np.int64)
        colours[self.nodes], colours[self.alone] = self.column, self.settled
        return colours

    def _name(self, paired: I64, partners: I64) -> None:
        """Give the labels of their pairs to fragments."""
        self._labels[paired] = pair_labels(paired if self._numbered else partners[paired])

    def _set_apart(self) -> None:
        """Move those of the nodes that have no edges to those alone. Data has no colour."""
        empty = self._edges.alone()
        rows = np.flatnonzero(empty & (self._own != 0))
        outgoing, incoming = self._edges.settled(rows)
        colours = mix(mix(self._own[rows], outgoing), incoming).view(np.int64)
        self.alone = np.concatenate([self.alone, self.nodes[rows]])
        self.settled = np.concatenate([self.settled, colours])
        self._edges, rest = self._edges.without(empty), np.flatnonzero(~empty)
        self.nodes, self._own, self.column = self.nodes[rest], self._own[rest], self.column[rest]

    def _opened(self) -> _Edges:
        """The references of the nodes to code, and those that lead to them. Columns are let go of as soon as
        they have served: room for as many again would have to be got."""
        side, links, nodes = self._side, self._side.links, self.nodes
        begin, end = side.first[nodes], links.own[nodes]
        row = members(begin, end)
        code = side.targets.code.take(row)
        known = code >= 0
        inner = np.flatnonzero(known)
        outgoing = _bounds(known)[_bounds(end - begin)]
        row, code = row.take(inner), code.take(inner)
        del known, inner
        begin, end = links.first[nodes], links.last[nodes]
        incoming = _bounds(end - begin)
        ends = np.empty(len(row) + int(incoming[-1]), dtype=np.int64)
        factors = np.empty(len(ends), dtype=np.uint64)
        ends[: len(row)] = code
        del code
        factors[: len(row)] = self._factors(row, side.program.references.fragment.take(row))
        middle, row = len(row), links.rows.take(members(begin, end))
        ends[middle:] = side.program.references.fragment.take(row)
        factors[middle:] = self._factors(row, ends[middle:])
        return _Edges(
            ends,
            factors,
            np.concatenate([outgoing, outgoing[-1] + incoming[1:]]),
            np.concatenate([links.named[nodes], links.held[nodes]]),
        )

    def _factors(self, row: I64, owner: I64) -> U64:
        """Odd numbers for the places and offsets of references in their ``owner``."""
        offset = self._side.targets.offset
        if not len(row):
            return row.view(np.uint64)
        place = row - self._side.first.take(owner)
        every = np.arange(int(place.max()) + 1, dtype=np.uint64)
        factors = mix(every, np.zeros(1, dtype=np.uint64)).take(place)
        # Few lead elsewhere than to a start: one byte for each reference says which.
        inner = np.flatnonzero((offset != 0).take(row))
        factors[inner] = mix(place[inner].view(np.uint64), offset[row[inner]].view(np.uint64))
        factors |= np.uint64(1)
        return factors


def _run_sums(values: U64, bounds: I64) -> U64:
    """Sums modulo 2**64 of runs of ``values``, each of which ends where the next one begins. What comes after
    each other in ``values`` is added up there."""
    if not len(values):
        return np.zeros(len(bounds) - 1, dtype=np.uint64)
    np.cumsum(values, out=values)
    sums = values.take(bounds - 1, mode="clip")
    sums[: np.searchsorted(bounds, 0, side="right")] = 0
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
    for number in range(rounds):
        colouring.refine(pairing)
        found = pairing.add_distinct(*colouring.unique(), Level.CONTEXT)
        made += found
        if number and not found:
            break
    return made


def pair_by_form(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Pair fragments that are alone with their form on both sides."""
    free = np.flatnonzero((pairing.fixed < 0) & (fixed.forms != 0))
    others = np.flatnonzero((pairing.baseline < 0) & (baseline.forms != 0))
    left, right = join_unique(fixed.forms, baseline.forms, free, others)
    return pairing.add_distinct(left, right, Level.FORM)


def final_colours(colouring: Colouring, pairing: Pairing, rounds: int) -> tuple[I64, I64]:
    """Colours of free fragments after ``rounds`` of refinement without pairing, comparable across the two
    sides; 0 for paired ones."""
    colouring.start(pairing)
    for _ in range(rounds):
        colouring.refine(pairing)
    return colouring.left.everywhere(), colouring.right.everywhere()
