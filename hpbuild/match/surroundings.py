"""Pairs of fragments that stand alike in the graph of code and data.

First whoever is alone with its surroundings on both sides. Then those that several share, as often on both
sides: one of them is taken for one of the others, and what they name and who names them follows, in step,
before the next is taken. Small functions of equal code that only virtual tables name are told apart so.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import filterfalse

import numpy as np

from hpbuild.code.columns import among
from hpbuild.code.model import I64
from hpbuild.match.both import both
from hpbuild.match.data_testimony import DataTestimony
from hpbuild.match.graph import Graph, graphs, refine
from hpbuild.match.mixing import U64
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level, Pairing, balanced, join_unique
from hpbuild.match.sides import Side

ROUNDS = 12
"""Most steps from a fragment that are looked at."""
_KEY = 24
"""Bytes that tell how a group of neighbours stands next to a node."""
MAX_TWINS = 4096
"""Most fragments of one surrounding that are paired one after the other."""


class Surroundings:
    """What surrounds the free fragments of two sides, as far as ``pairing`` knew when this was made. ``free``
    are those fragments, ``rounds`` their colours after each round; nothing, when no two have one form.
    ``graphs`` and ``colours`` are of all open nodes, after the last round."""

    __slots__ = ("colours", "free", "graphs", "rounds")

    def __init__(
        self,
        fixed: Side,
        baseline: Side,
        pairing: Pairing,
        testified: DataTestimony | None = None,
        before: "Surroundings | None" = None,
    ) -> None:
        """``testified`` and the surroundings ``before`` are of these sides, where there were any."""
        self.free = _free(fixed, baseline, pairing)
        self.rounds: list[tuple[I64, I64]] = []
        if not among(fixed.forms[self.free[0]], np.sort(baseline.forms[self.free[1]])).any():
            return
        testified = testified or DataTestimony(fixed, baseline)
        known = (None, None) if before is None or not before.rounds else before.graphs
        self.graphs: tuple[Graph, Graph] = graphs(fixed, baseline, pairing, testified, known)
        rows = min(len(graph.source) for graph in self.graphs)
        ours, theirs = (partial(_refined, *side) for side in zip(self.graphs, self.free, strict=True))
        left, right = both(ours, theirs, rows)
        self.colours = left[0], right[0]
        self.rounds = list(zip(left[1], right[1], strict=True))


def pair_by_surroundings(around: Surroundings, pairing: Pairing) -> int:
    """Pair free fragments that are alone with their surroundings on both sides; the number of pairs made."""
    made, found = 0, True
    ours, theirs = around.free
    for left, right in around.rounds:
        if found:
            free = np.flatnonzero(pairing.fixed[ours] < 0), np.flatnonzero(pairing.baseline[theirs] < 0)
        rows, others = join_unique(left, right, *free)
        count = pairing.add(ours[rows], theirs[others], Level.CONTEXT)
        made, found = made + count, count > 0
    return made


def pair_twins(fixed: Side, baseline: Side, pairing: Pairing, around: Surroundings, *, even: bool) -> int:
    """Pair free fragments whose surroundings are those of as many on the other side, together with all that
    follows from each pair; with ``even`` only where as many fragments of their form are free on both sides,
    so that none of them is new or gone. ``around`` is of this very pairing. The number of pairs made."""
    if not around.rounds:
        return 0
    ours, theirs = around.graphs
    left, right = around.colours
    free_f, free_b = ours.number[around.free[0]], theirs.number[around.free[1]]
    uneven = frozenset[int]()
    if even:
        chosen = balanced(fixed.forms, baseline.forms, pairing)[around.free[0]]
        uneven, free_f = frozenset(free_f[~chosen].tolist()), free_f[chosen]
    sides = partial(_Neighbours, ours, left), partial(_Neighbours, theirs, right)
    walk = _Walk(*both(*sides, min(len(graph.source) for graph in around.graphs)), uneven)
    for members, others in _twins((left[free_f], right[free_b]), (free_f, free_b)):
        walk.pair(members, others)
    ones, twos = (
        graph.open[np.array(made, dtype=np.int64)]
        for graph, made in zip(around.graphs, walk.made, strict=True)
    )
    code = np.flatnonzero(ones < ours.fragments)
    ones, twos = ones[code], twos[code]
    if "none" not in (fixed.program.symbols.source, baseline.program.symbols.source):
        pairs = zip(ones.tolist(), twos.tolist(), strict=True)
        kept = np.array([not named_apart(fixed, baseline, *pair) for pair in pairs], dtype=np.bool_)
        ones, twos = ones[kept], twos[kept]
    return pairing.add(ones, twos, Level.ORDER)


def _refined(graph: Graph, free: I64) -> tuple[U64, list[I64]]:
    """The colours of the open nodes after the last round; those of the ``free`` fragments after each."""
    colours, number, rounds = graph.base, graph.number[free], []
    for _ in range(ROUNDS):
        colours = refine(graph, colours)
        rounds.append(colours[number].view(np.int64))
    return colours, rounds


class _Walk:
    """Pairs of open nodes of equal colour, grown in step along the edges of two graphs from chosen ones.
    Nodes of ``uneven`` are not chosen among several. ``made`` are the pairs, in two columns; all by the
    numbers of the nodes."""

    __slots__ = ("_baseline", "_fixed", "_left", "_right", "_uneven", "made")

    def __init__(self, left: "_Neighbours", right: "_Neighbours", uneven: frozenset[int]) -> None:
        self._left, self._right, self._uneven = left, right, uneven
        self._fixed, self._baseline = bytearray(len(left)), bytearray(len(right))
        self.made: tuple[list[int], list[int]] = [], []

    def pair(self, members: list[int], others: list[int]) -> None:
        """Pair nodes of one colour, as many on both sides, each with all that follows from it."""
        fixed, baseline, alone = self._fixed, self._baseline, self._left.alone
        ones, twos = self.made
        rest = filterfalse(baseline.__getitem__, others)
        for one in filterfalse(fixed.__getitem__, members):
            two = next(rest)
            if alone[one]:
                fixed[one] = baseline[two] = 1
                ones.append(one)
                twos.append(two)
            else:
                self._follow(one, two)

    def _follow(self, one: int, two: int) -> None:
        """Pair two nodes and all that follows: first what leaves no choice."""
        fixed, baseline, left, right = self._fixed, self._baseline, self._left, self._right
        ones, twos = self.made
        queue, turn = [(one, two)], 0
        choices: list[tuple[list[int], list[int]]] = []
        while True:
            for a, b in queue:
                if fixed[a] or baseline[b]:
                    continue
                fixed[a] = baseline[b] = 1
                ones.append(a)
                twos.append(b)
                for here, there in left.alike(a, right, b):
                    mine, other = left.single[here], right.single[there]
                    if mine >= 0 and other >= 0:
                        if not fixed[mine]:
                            queue.append((mine, other))
                        continue
                    several, others = self._open(left.group(here), right.group(there))
                    if len(several) == 1 == len(others):
                        queue.append((several[0], others[0]))
                    elif len(several) == len(others) and self._uneven.isdisjoint(several):
                        choices.append((several, others))
            if turn == len(choices):
                return
            queue = list(zip(*self._open(*choices[turn]), strict=False))
            turn += 1

    def _open(self, mine: list[int], other: list[int]) -> tuple[list[int], list[int]]:
        fixed, baseline = self._fixed, self._baseline
        return [each for each in mine if not fixed[each]], [each for each in other if not baseline[each]]


class _Neighbours:
    """Who stands next to an open node, of the open nodes: groups of those that do so in one way, by one
    place, and have one colour. ``single`` is whom a group has, -1 where it has several; ``alone`` says by
    node that nobody stands next to it."""

    __slots__ = ("_begins", "_ends", "_first", "_keys", "alone", "single")

    def __init__(self, graph: Graph, colours: U64) -> None:
        ways = graph.naming, graph.named
        node = np.concatenate([ends.number for ends in ways])
        end = np.concatenate([ends.other for ends in ways])
        kind = np.concatenate([ends.kind for ends in ways])
        way = np.repeat(np.arange(2), [len(ends.kind) for ends in ways])
        key = np.stack([way.view(np.uint64), kind, colours[end]], axis=1)
        order = np.lexsort((end, key[:, 2], kind, node << 1 | way))
        node, end, key = node[order], end[order], key[order]
        start = np.ones(len(order) + 1, dtype=np.bool_)
        start[1:-1] = (node[1:] != node[:-1]) | (key[1:] != key[:-1]).any(axis=1)
        begins = np.flatnonzero(start)
        groups = begins[:-1]
        self._begins: list[int] = begins.tolist()
        self._ends: list[int] = end.tolist()
        self.single: list[int] = np.where(np.diff(begins) == 1, end[groups], -1).tolist()
        self._keys = key[groups].tobytes()
        first = np.searchsorted(node[groups], np.arange(len(graph.open) + 1))
        self._first: list[int] = first.tolist()
        self.alone: list[bool] = (first[1:] == first[:-1]).tolist()

    def __len__(self) -> int:
        """The number of nodes."""
        return len(self._first) - 1

    def group(self, number: int) -> list[int]:
        """Whom a group has, ascending."""
        return self._ends[self._begins[number] : self._begins[number + 1]]

    def alike(self, node: int, others: "_Neighbours", other: int) -> Iterable[tuple[int, int]]:
        """The groups next to two nodes of two graphs that are alike: of this graph, and of the ``others``."""
        one, last = self._first[node], self._first[node + 1]
        two, end = others._first[other], others._first[other + 1]
        if one == last or two == end:
            return ()
        if self._keys[_KEY * one : _KEY * last] == others._keys[_KEY * two : _KEY * end]:
            return ((one, two),) if last == one + 1 else zip(range(one, last), range(two, end), strict=True)
        there = {others._key(number): number for number in range(two, end)}
        keys = ((self._key(number), number) for number in range(one, last))
        return [(number, there[key]) for key, number in keys if key in there]

    def _key(self, number: int) -> bytes:
        """How, where and of which colour the nodes of a group are."""
        return self._keys[_KEY * number : _KEY * (number + 1)]


def _free(fixed: Side, baseline: Side, pairing: Pairing) -> tuple[I64, I64]:
    ours = np.flatnonzero((pairing.fixed < 0) & (fixed.forms != 0))
    return ours, np.flatnonzero((pairing.baseline < 0) & (baseline.forms != 0))


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
