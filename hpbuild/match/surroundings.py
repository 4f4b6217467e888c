"""Pairs of fragments that stand alike in the graph of code and data.

First whoever is alone with its surroundings on both sides. Then those that several share, as often on both
sides: one of them is taken for one of the others, and what they name and who names them follows, in step,
before the next is taken. Small functions of equal code that only virtual tables name are told apart so.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from hpbuild.code.columns import among
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
        if not among(fixed.forms[self.free[0]], np.sort(baseline.forms[self.free[1]])).any():
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
    for members, others in _twins((left[free_f], right[free_b]), (free_f, free_b)):
        rest = iter(others)
        for one in members:
            if one not in walk.fixed:
                walk.follow(one, next(each for each in rest if each not in walk.baseline))
    names = "none" not in (fixed.program.symbols.source, baseline.program.symbols.source)
    ones, twos = (np.fromiter(part, dtype=np.int64) for part in (walk.fixed.keys(), walk.fixed.values()))
    code = ones < ours.fragments
    ones, twos = ones[code], twos[code]
    if names:
        pairs = zip(ones.tolist(), twos.tolist(), strict=True)
        kept = np.array([not named_apart(fixed, baseline, *pair) for pair in pairs], dtype=np.bool_)
        ones, twos = ones[kept], twos[kept]
    return pairing.add(ones, twos, Level.ORDER)


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
        fixed, baseline, alike, right = self.fixed, self.baseline, self._left.alike, self._right
        queue, choices, turn = [(one, two)], list[tuple[list[int], list[int]]](), 0
        while True:
            for a, b in queue:
                if a in fixed or b in baseline:
                    continue
                fixed[a], baseline[b] = b, a
                for here, there in alike(a, right, b):
                    if len(here) == 1 == len(there):
                        queue.append((here[0], there[0]))
                        continue
                    mine, other = self._open(here, there)
                    if not mine or len(mine) != len(other):
                        continue
                    if len(mine) == 1:
                        queue.append((mine[0], other[0]))
                    elif self._uneven.isdisjoint(mine):
                        choices.append((mine, other))
            if turn == len(choices):
                return
            queue = list(zip(*self._open(*choices[turn]), strict=False))
            turn += 1

    def _open(self, mine: list[int], other: list[int]) -> tuple[list[int], list[int]]:
        fixed, baseline = self.fixed, self.baseline
        return [each for each in mine if each not in fixed], [each for each in other if each not in baseline]


class _Neighbours:
    """Who stands next to a node that is not known, of those that are not known either, by how they do and by
    their colour."""

    __slots__ = ("_ends", "_first", "_group", "_keys")

    def __init__(self, graph: Graph, colours: U64) -> None:
        near, ends, kinds, directions = [], [], [], []
        free = graph.known == 0
        for direction, (one, two) in enumerate(((graph.source, graph.target), (graph.target, graph.source))):
            rows = np.flatnonzero(free[one] & free[two])
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

    def alike(self, node: int, others: "_Neighbours", other: int) -> Iterable[tuple[list[int], list[int]]]:
        """The neighbours of two nodes of two graphs that stand next to them in one way and have one colour,
        ascending: those of this graph, those of the ``others``."""
        ours, theirs = self._first.get(node), others._first.get(other)
        if ours is None or theirs is None:
            return ()
        one, two = ours[0], theirs[0]
        if ours[1] - one == 1 == theirs[1] - two:
            same = self._keys[one] == others._keys[two]
            return ((self._of(one), others._of(two)),) if same else ()
        mine = dict(zip(self._keys[one : ours[1]], range(*ours), strict=True))
        other_ones = dict(zip(others._keys[two : theirs[1]], range(*theirs), strict=True))
        common = mine.keys() & other_ones.keys()
        return [(self._of(mine[key]), others._of(other_ones[key])) for key in common]

    def _of(self, group: int) -> list[int]:
        return self._ends[self._group[group] : self._group[group + 1]]


def _free(fixed: Side, baseline: Side, pairing: Pairing) -> tuple[I64, I64]:
    return (
        np.flatnonzero((pairing.fixed < 0) & (fixed.forms != 0)),
        np.flatnonzero((pairing.baseline < 0) & (baseline.forms != 0)),
    )


def _twins(colours: tuple[U64, U64], nodes: tuple[I64, I64]) -> Iterator[tuple[list[int], list[int]]]:
    """The nodes of one colour, ascending, of both sides, where they are as many and not too many; in order of
    the first of them. ``colours`` and ``nodes`` are columns of each side, the nodes ascending."""
    keys, every, middle = np.concatenate(colours), np.concatenate(nodes), len(nodes[0])
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.flatnonzero(np.concatenate([ordered[:1] == ordered[:1], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.append(first, len(keys)))
    ours = np.diff(np.append(0, np.cumsum(order < middle)[first + sizes - 1]))
    chosen = np.flatnonzero((2 * ours == sizes) & (ours <= MAX_TWINS))
    chosen = chosen[np.argsort(order[first[chosen]])]
    found: list[int] = every[order].tolist()
    for begin, half in zip(first[chosen].tolist(), ours[chosen].tolist(), strict=True):
        yield found[begin : begin + half], found[begin + half : begin + 2 * half]
