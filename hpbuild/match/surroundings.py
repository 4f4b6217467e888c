"""Pairs of fragments that stand alike in the graph of code and data.

First whoever is alone with its surroundings on both sides. Then those that several share, as often on both
sides: one of them is taken for one of the others, and what they name and who names them follows, in step,
before the next is taken. Small functions of equal code that only virtual tables name are told apart so.
"""

from collections import deque

import numpy as np

from hpbuild.code.model import I64
from hpbuild.match.graph import Graph, first_colours, graphs, refine
from hpbuild.match.mixing import U64
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level, Pairing, balanced, join_unique
from hpbuild.match.sides import Side

ROUNDS = 12
"""Most steps from a fragment that are looked at."""
MAX_TWINS = 4096
"""Most fragments of one surrounding that are paired one after the other."""


class Surroundings:
    """What surrounds the free fragments of two sides, as far as ``pairing`` knew when this was made. ``free``
    are those fragments, ``rounds`` their colours after each round; nothing, when no two have one form.
    ``graphs`` and ``colours`` are of all nodes, after the last round."""

    __slots__ = ("colours", "free", "graphs", "rounds")

    def __init__(self, fixed: Side, baseline: Side, pairing: Pairing) -> None:
        self.free = _free(fixed, baseline, pairing)
        self.rounds: list[tuple[I64, I64]] = []
        if not np.isin(fixed.forms[self.free[0]], baseline.forms[self.free[1]]).any():
            return
        self.graphs = ours, theirs = graphs(fixed, baseline, pairing)
        self.colours = left, right = first_colours(ours), first_colours(theirs)
        for _ in range(ROUNDS):
            refine(ours, left)
            refine(theirs, right)
            self.rounds.append((left[self.free[0]].view(np.int64), right[self.free[1]].view(np.int64)))


def pair_by_surroundings(around: Surroundings, pairing: Pairing) -> int:
    """Pair free fragments that are alone with their surroundings on both sides; the number of pairs made."""
    made = 0
    ours, theirs = around.free
    for left, right in around.rounds:
        free = np.flatnonzero(pairing.fixed[ours] < 0), np.flatnonzero(pairing.baseline[theirs] < 0)
        rows, others = join_unique(left, right, *free)
        made += pairing.add(ours[rows], theirs[others], Level.CONTEXT)
    return made


def pair_twins(fixed: Side, baseline: Side, pairing: Pairing, around: Surroundings, *, even: bool) -> int:
    """Pair free fragments whose surroundings are those of as many on the other side, together with all that
    follows from each pair; with ``even`` only where as many fragments of their form are free on both sides,
    so that none of them is new or gone. ``around`` is of this very pairing. The number of pairs made."""
    if not around.rounds:
        return 0
    ours, theirs = around.graphs
    left, right = around.colours
    free_f, free_b = around.free
    uneven = frozenset[int]()
    if even:
        chosen = balanced(fixed.forms, baseline.forms, pairing)[free_f]
        uneven, free_f = frozenset(free_f[~chosen].tolist()), free_f[chosen]
    walk = _Walk(ours, theirs, left, right, uneven)
    there = _by_colour(right, free_b)
    for colour, members in _by_colour(left, free_f).items():
        others = there.get(colour, [])
        if len(members) == len(others) <= MAX_TWINS:
            rest = iter(others)
            for one in members:
                if one not in walk.fixed:
                    walk.follow(one, next(each for each in rest if each not in walk.baseline))
    names = "none" not in (fixed.program.symbols.source, baseline.program.symbols.source)
    pairs = [
        (one, two)
        for one, two in walk.fixed.items()
        if one < ours.fragments and not (names and named_apart(fixed, baseline, one, two))
    ]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return pairing.add(found[:, 0], found[:, 1], Level.ORDER)


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
        fixed, baseline = self.fixed, self.baseline
        queue, choices = deque(((one, two),)), deque[tuple[list[int], list[int]]]()
        while queue or choices:
            if not queue:
                queue.extend(zip(*self._open(*choices.popleft()), strict=False))
                continue
            a, b = queue.popleft()
            if a in fixed or b in baseline:
                continue
            fixed[a], baseline[b] = b, a
            here = self._left.of(a)
            there = self._right.of(b) if here else here
            for key in here.keys() & there.keys() if there else ():
                mine = [each for each in here[key] if each not in fixed]
                other = [each for each in there[key] if each not in baseline] if mine else mine
                if not mine or len(mine) != len(other):
                    continue
                if len(mine) == 1:
                    queue.append((mine[0], other[0]))
                elif self._uneven.isdisjoint(mine):
                    choices.append((mine, other))

    def _open(self, mine: list[int], other: list[int]) -> tuple[list[int], list[int]]:
        fixed, baseline = self.fixed, self.baseline
        return [each for each in mine if each not in fixed], [each for each in other if each not in baseline]


class _Neighbours:
    """Who stands next to a node, of those that are not known, by how they do and by their colour."""

    __slots__ = ("_ends", "_first", "_group", "_keys")

    def __init__(self, graph: Graph, colours: U64) -> None:
        near, ends, kinds, directions = [], [], [], []
        for direction, (one, two) in enumerate(((graph.source, graph.target), (graph.target, graph.source))):
            rows = np.flatnonzero(graph.known[two] == 0)
            near.append(one[rows])
            ends.append(two[rows])
            kinds.append(graph.kind[rows])
            directions.append(np.full(len(rows), direction))
        node, end = np.concatenate(near), np.concatenate(ends)
        kind, way = np.concatenate(kinds), np.concatenate(directions)
        colour = colours[end]
        order = np.lexsort((end, colour, kind, way, node))
        node, end, kind, way, colour = node[order], end[order], kind[order], way[order], colour[order]
        start = np.ones(len(order), dtype=np.bool_)
        start[1:] = False
        for column in (node, way, kind, colour):
            start[1:] |= column[1:] != column[:-1]
        groups = np.flatnonzero(start)
        self._ends: list[int] = end.tolist()
        self._group: list[int] = [*groups.tolist(), len(end)]
        keys = way[groups].tolist(), kind[groups].tolist(), colour[groups].tolist()
        self._keys: list[tuple[int, int, int]] = list(zip(*keys, strict=True))
        nodes, first = np.unique(node[groups], return_index=True)
        last = [*first[1:].tolist(), len(groups)]
        runs = zip(first.tolist(), last, strict=False)
        self._first = dict(zip(nodes.tolist(), runs, strict=False))

    def of(self, node: int) -> dict[tuple[int, int, int], list[int]]:
        """(direction, kind, colour) -> nodes, ascending."""
        run = self._first.get(node)
        if run is None:
            return {}
        group, ends, keys = self._group, self._ends, self._keys
        first, last = run
        if last - first == 1:
            return {keys[first]: ends[group[first] : group[last]]}
        return {keys[number]: ends[group[number] : group[number + 1]] for number in range(*run)}


def _free(fixed: Side, baseline: Side, pairing: Pairing) -> tuple[I64, I64]:
    return (
        np.flatnonzero((pairing.fixed < 0) & (fixed.forms != 0)),
        np.flatnonzero((pairing.baseline < 0) & (baseline.forms != 0)),
    )


def _by_colour(colours: U64, nodes: I64) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for node, colour in zip(nodes.tolist(), colours[nodes].tolist(), strict=True):
        found.setdefault(colour, []).append(node)
    return found
