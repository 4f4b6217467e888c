"""Pairs of fragments that stand alike in the graph of code and data.

First whoever is alone with its surroundings on both sides. Then those that several share, as often on both
sides: one of them is taken for one of the others, and what they name and who names them follows, in step,
before the next is taken. Small functions of equal code that only virtual tables name are told apart so.
"""

from collections import deque

import numpy as np

from hpbuild.code.model import I64
from hpbuild.match.colours import U64
from hpbuild.match.graph import Graph, graphs, refined
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level, Pairing, balanced, join_unique
from hpbuild.match.sides import Side

ROUNDS = 12
"""Most steps from a fragment that are looked at."""
MAX_TWINS = 4096
"""Most fragments of one surrounding that are paired one after the other."""


def pair_by_surroundings(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Pair free fragments that are alone with their surroundings on both sides; the number of pairs made."""
    made = 0
    if not _hopeful(fixed, baseline, pairing):
        return 0
    ours, theirs = graphs(fixed, baseline, pairing)
    left, right = _start(ours), _start(theirs)
    for _ in range(ROUNDS):
        left, right = refined(ours, left), refined(theirs, right)
        rows = join_unique(left.view(np.int64), right.view(np.int64), *_free(fixed, baseline, pairing))
        made += pairing.add(*rows, Level.CONTEXT)
    return made


def pair_twins(fixed: Side, baseline: Side, pairing: Pairing, *, even: bool) -> int:
    """Pair free fragments whose surroundings are those of as many on the other side, together with all that
    follows from each pair; with ``even`` only where as many fragments of their form are free on both sides,
    so that none of them is new or gone. The number of pairs made."""
    if not _hopeful(fixed, baseline, pairing):
        return 0
    ours, theirs = graphs(fixed, baseline, pairing)
    left, right = _start(ours), _start(theirs)
    for _ in range(ROUNDS):
        left, right = refined(ours, left), refined(theirs, right)
    free_f, free_b = _free(fixed, baseline, pairing)
    uneven = frozenset[int]()
    if even:
        free_f = free_f[balanced(fixed.forms, baseline.forms, pairing)[free_f]]
        uneven = frozenset(np.setdiff1d(_free(fixed, baseline, pairing)[0], free_f).tolist())
    walk = _Walk(ours, theirs, left, right, uneven)
    there = _by_colour(right, free_b)
    for colour, members in _by_colour(left, free_f).items():
        others = there.get(colour, [])
        if len(members) == len(others) <= MAX_TWINS:
            for one in members:
                if one not in walk.fixed:
                    walk.follow(one, next(each for each in others if each not in walk.baseline))
    made = 0
    for one, two in sorted(walk.fixed.items()):
        if one < ours.fragments and not named_apart(fixed, baseline, one, two):
            made += pairing.add_one(one, two, Level.ORDER)
    return made


class _Walk:
    """Pairs of nodes of equal colour, grown in step along the edges of two graphs from chosen ones. Nodes of
    ``uneven`` are not chosen among several."""

    __slots__ = ("_left", "_right", "_uneven", "baseline", "fixed")

    def __init__(self, ours: Graph, theirs: Graph, left: U64, right: U64, uneven: frozenset[int]) -> None:
        self._uneven = uneven
        self._left, self._right = _Neighbours(ours, left), _Neighbours(theirs, right)
        self.fixed: dict[int, int] = {}
        self.baseline: dict[int, int] = {}

    def follow(self, one: int, two: int) -> None:
        """Pair two nodes and all that follows: first what leaves no choice."""
        queue, choices = deque([(one, two)]), deque[tuple[list[int], list[int]]]()
        while queue or choices:
            if not queue:
                queue.extend(zip(*self._open(*choices.popleft()), strict=False))
                continue
            a, b = queue.popleft()
            if a in self.fixed or b in self.baseline:
                continue
            self.fixed[a], self.baseline[b] = b, a
            here, there = self._left.of(a), self._right.of(b)
            for key in here.keys() & there.keys():
                mine, other = self._open(here[key], there[key])
                if len(mine) == len(other) == 1:
                    queue.append((mine[0], other[0]))
                elif len(mine) == len(other) and self._uneven.isdisjoint(mine):
                    choices.append((mine, other))

    def _open(self, mine: list[int], other: list[int]) -> tuple[list[int], list[int]]:
        return (
            [each for each in mine if each not in self.fixed],
            [each for each in other if each not in self.baseline],
        )


class _Neighbours:
    """Who stands next to a node, of those that are not known, by how they do and by their colour."""

    __slots__ = ("_colours", "_ends", "_graph", "_rows")

    def __init__(self, graph: Graph, colours: U64) -> None:
        self._graph, self._colours = graph, colours
        self._rows: list[tuple[I64, I64]] = []
        for near in (graph.source, graph.target):
            order = np.argsort(near, kind="stable")
            self._rows.append((order, near[order]))
        self._ends = graph.target, graph.source

    def of(self, node: int) -> dict[tuple[int, int, int], list[int]]:
        """(direction, kind, colour) -> nodes, ascending."""
        found: dict[tuple[int, int, int], list[int]] = {}
        for direction, (order, near) in enumerate(self._rows):
            low, high = np.searchsorted(near, (node, node + 1)).tolist()
            rows = order[low:high]
            ends = self._ends[direction][rows]
            rows, ends = rows[self._graph.known[ends] == 0], ends[self._graph.known[ends] == 0]
            kinds, colours = self._graph.kind[rows].tolist(), self._colours[ends].tolist()
            for kind, colour, end in sorted(zip(kinds, colours, ends.tolist(), strict=True)):
                found.setdefault((direction, kind, colour), []).append(end)
        return found


def _start(graph: Graph) -> U64:
    return np.where(graph.known > 0, graph.known, graph.base)


def _free(fixed: Side, baseline: Side, pairing: Pairing) -> tuple[I64, I64]:
    return (
        np.flatnonzero((pairing.fixed < 0) & (fixed.forms != 0)),
        np.flatnonzero((pairing.baseline < 0) & (baseline.forms != 0)),
    )


def _hopeful(fixed: Side, baseline: Side, pairing: Pairing) -> bool:
    """Whether both sides have a free fragment of one form."""
    left, right = _free(fixed, baseline, pairing)
    return bool(np.isin(fixed.forms[left], baseline.forms[right]).any())


def _by_colour(colours: U64, nodes: I64) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for node, colour in zip(nodes.tolist(), colours[nodes].tolist(), strict=True):
        found.setdefault(colour, []).append(node)
    return found
