"""Code and data as one graph, as far as it is not paired yet.

Nodes are the fragments and then the atoms of one side. Edges go from whoever names something to what it
names: references of code, addresses in data, unwind records, the words in front of virtual tables, and parts
of a function to its root. Two nodes that are known to be each other's counterpart carry one label; what
surrounds the others refines theirs (Weisfeiler and Leman's refinement over code and data).
"""

from functools import partial

import numpy as np

from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.match.agreement import expand
from hpbuild.match.atoms import Memory
from hpbuild.match.both import both
from hpbuild.match.data_testimony import DataTestimony
from hpbuild.match.mixing import U64, mix, summed
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]
_REFERENCE, _FIELD, _UNWIND, _HEAD, _PART = range(1, 6)
_CODE, _DATA = np.array([[0x5851F42D4C957F2D], [0x14057B7EF767814F]], dtype=np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Edges seen from one of their ends, both of which are open: the number of the end that is coloured and
    of the other one among the open nodes; ``settled`` sums by open node what its other edges say, which lead
    to nodes with a label."""

    number: I64
    other: I64
    kind: U64
    settled: U64

    def gathered(self, colours: U64) -> U64:
        """By open node: the sum of what its edges say."""
        return self.settled + summed(mix(colours[self.other], self.kind), self.number, len(self.settled))


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """``known`` is the label of a node where it has a counterpart, else 0; ``open`` are the nodes without,
    ``number`` the number of each among these; ``base`` is what these are by themselves. Edges have at least
    one end that is open; ``kind`` says by which means and at which place one names the other. ``naming`` are
    the edges seen from their source, ``named`` from their target. The first ``fragments`` nodes are code."""

    known: U64
    open: I64
    number: I64
    base: U64
    source: I64
    target: I64
    kind: U64
    naming: Ends
    named: Ends
    fragments: int


def graphs(
    fixed: Side,
    baseline: Side,
    pairing: Pairing,
    testified: DataTestimony,
    before: tuple[Graph, Graph] | tuple[None, None] = (None, None),
) -> tuple[Graph, Graph]:
    """The graphs of both sides, with labels that can be compared. ``before`` are those of these sides when
    less was paired: what is open now is nearly always part of what was open then."""
    ours, theirs = testified.pairs(pairing)
    code = np.flatnonzero(pairing.fixed >= 0)
    partner = pairing.fixed[code]
    return both(
        partial(_graph, fixed, (code, partner), (ours, theirs), before[0]),
        partial(_graph, baseline, (partner, partner), (theirs, theirs), before[1]),
        min(len(side.program.references) for side in (fixed, baseline)),
    )


def refine(graph: Graph, colours: U64) -> U64:
    """One round: every open node mixed with what it names and with who names it. ``colours`` are those of the
    open nodes, at first their ``base``."""
    return mix(mix(graph.base, graph.naming.gathered(colours)), graph.named.gathered(colours))


def _graph(side: Side, code: tuple[I64, I64], data: tuple[I64, I64], before: Graph | None) -> Graph:
    """``code`` and ``data`` are the nodes that are known, each with the number that labels it."""
    count = len(side.forms)
    known = np.zeros(count + len(side.atoms), dtype=np.uint64)
    known[code[0]] = mix((code[1] + 1).view(np.uint64), _CODE) | np.uint64(1)
    known[count + data[0]] = mix((data[1] + 1).view(np.uint64), _DATA) | np.uint64(1)
    free = known == 0
    nodes, number = np.flatnonzero(free), np.cumsum(free) - 1
    if before is not None and not before.known[nodes].any():
        source, target, kind = before.source, before.target, before.kind
        rows = np.flatnonzero(free[source] | free[target])
        source, target, kind = source[rows], target[rows], kind[rows]
        base = before.base[before.number[nodes]]
    else:
        source, target, kind = _edges(side, free)
        middle = int(np.searchsorted(nodes, count))
        parts = _code_base(side, nodes[:middle]), _data_base(side, nodes[middle:] - count)
        base = np.concatenate(parts)
    return Graph(
        known=known,
        open=nodes,
        number=number,
        base=base,
        source=source,
        target=target,
        kind=kind,
        naming=_ends((source, target, kind), known, number, len(nodes)),
        named=_ends((target, source, kind), known, number, len(nodes)),
        fragments=count,
    )


def _ends(edges: tuple[I64, I64, U64], known: U64, number: I64, count: int) -> Ends:
    """``edges`` with the end that is coloured first."""
    label, rows = known[edges[1]], np.flatnonzero(known[edges[0]] == 0)
    told = rows[np.flatnonzero(label[rows])]
    settled = summed(mix(label[told], edges[2][told]), number[edges[0][told]], count)
    rows = rows[np.flatnonzero(label[rows] == 0)]
    return Ends(
        number=number[edges[0][rows]], other=number[edges[1][rows]], kind=edges[2][rows], settled=settled
    )


def _code_base(side: Side, nodes: I64) -> U64:
    """The form, with the names of what is neither code nor data in the image."""
    references, count = side.program.references, len(side.forms)
    rows = np.flatnonzero(side.targets.other != 0)
    owner = references.fragment[rows]
    label = mix(side.targets.other[rows].view(np.uint64), (rows - side.first[owner]).view(np.uint64))
    return mix(side.forms[nodes].view(np.uint64), summed(label, owner, count)[nodes])


def _data_base(side: Side, atoms: I64) -> U64:
    """The content; of memory that the file does not hold, its kind."""
    memory = side.atoms.memory[atoms]
    content = np.where(memory == Memory.BSS, 0, side.atoms.digest[atoms]).view(np.uint64)
    return mix(content, memory.astype(np.uint64))


def _edges(side: Side, free: Bool) -> tuple[I64, I64, U64]:
    """Columns source, target, kind of the edges with an end that is ``free``."""
    count, references, fields = len(side.forms), side.program.references, side.program.fields
    links, root, fragments = side.links, side.program.fragments.root, np.arange(len(side.forms))
    rows = _references(side, free)
    owner = references.fragment[rows]
    place = (rows - side.first[owner]).view(np.uint64) << np.uint64(3) | np.uint64(_REFERENCE)
    target = _nodes(side.targets.code[rows], side.targets.atom[rows], count)
    columns = [(owner, target, mix(place, side.targets.offset[rows].view(np.uint64)))]
    holder, target = links.holder + count, _nodes(side.pointers.code, side.pointers.atom, count)
    # -1 is the last of ``free``: such rows are left out by the signs.
    rows = np.flatnonzero((free[holder] | free[target]) & (links.holder >= 0) & (target >= 0))
    within = (fields.site[rows] - side.atoms.start[links.holder[rows]]).view(np.uint64)
    place = within << np.uint64(3) | np.uint64(_FIELD)
    columns.append((holder[rows], target[rows], mix(place, side.pointers.offset[rows].view(np.uint64))))
    heads, parts = np.flatnonzero(side.atoms.heads[:-1]) + count, np.flatnonzero(root != fragments)
    unwind = np.flatnonzero(links.unwind >= 0)
    for kind, source, target in (
        (_UNWIND, unwind, links.unwind[unwind] + count),
        (_HEAD, heads + 1, heads),
        (_PART, parts, root[parts]),
    ):
        rows = np.flatnonzero((free[source] | free[target]) & (target >= 0))
        label = mix(np.full(len(rows), kind, dtype=np.uint64), np.zeros(len(rows), dtype=np.uint64))
        columns.append((source[rows], target[rows], label))
    return (
        np.concatenate([column[0] for column in columns]),
        np.concatenate([column[1] for column in columns]),
        np.concatenate([column[2] for column in columns]),
    )


def _references(side: Side, free: Bool) -> I64:
    """The references of code that lead from a free node or to one."""
    count, links, owners = len(side.forms), side.links, side.program.references.fragment
    chosen = np.flatnonzero(free[:count])
    own = expand(side.first, links.own, chosen)[1]
    to_code = links.rows[expand(links.first, links.last, chosen)[1]]
    to_data = links.data[free[count:][side.targets.atom[links.data]]]
    others = np.concatenate([to_code, to_data])
    own = own[(side.targets.code[own] >= 0) | (side.targets.atom[own] >= 0)]
    return np.concatenate([own, others[~free[owners[others]]]])


def _nodes(code: I64, atom: I64, count: int) -> I64:
    """The node of each place, -1 for what is neither code nor data."""
    return np.where(code >= 0, code, np.where(atom >= 0, atom + count, -1))
