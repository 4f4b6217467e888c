"""Code and data as one graph, as far as it is not paired yet.

Nodes are the fragments and then the atoms of one side. Edges go from whoever names something to what it
names: references of code, addresses in data, unwind records, the words in front of virtual tables, and parts
of a function to its root. Two nodes that are known to be each other's counterpart carry one label; what
surrounds the others refines theirs (Weisfeiler and Leman's refinement over code and data).
"""

import numpy as np

from hpbuild.code.columns import distinct_pairs
from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.match.agreement import expand, named_alike, same_forms
from hpbuild.match.atoms import Memory
from hpbuild.match.mixing import U64, mix, summed
from hpbuild.match.pairing import Pairing, once
from hpbuild.match.sides import Side

DEPTH = 4
"""Most steps through data from paired code to data that it testifies about."""
Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]
_REFERENCE, _FIELD, _UNWIND, _HEAD, _PART = range(1, 6)
_CODE, _DATA = np.array([[0x5851F42D4C957F2D], [0x14057B7EF767814F]], dtype=np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """``base`` is what a node is by itself; ``known`` its label where it has a counterpart, else 0; ``open``
    are the nodes without. Edges have at least one end that is open; ``kind`` says by which means and at which
    place one names the other. ``naming`` are the edges whose source is open, ``named`` those whose target is;
    each with the number of that node in ``open``. The first ``fragments`` nodes are code."""

    base: U64
    known: U64
    open: I64
    source: I64
    target: I64
    kind: U64
    naming: tuple[I64, I64]
    named: tuple[I64, I64]
    fragments: int


def graphs(fixed: Side, baseline: Side, pairing: Pairing) -> tuple[Graph, Graph]:
    """The graphs of both sides, with labels that can be compared."""
    ours, theirs = _testified(fixed, baseline, pairing)
    code = np.flatnonzero(pairing.fixed >= 0)
    partner = pairing.fixed[code]
    return (
        _graph(fixed, (code, partner), (ours, theirs)),
        _graph(baseline, (partner, partner), (theirs, theirs)),
    )


def first_colours(graph: Graph) -> U64:
    """What every node is by itself: the label of those that are known."""
    return np.where(graph.known > 0, graph.known, graph.base)


def refine(graph: Graph, colours: U64) -> None:
    """One round, in place: every open node mixed with what it names and with who names it."""
    count = len(graph.open)
    edges, number = graph.naming
    outgoing = summed(mix(colours[graph.target[edges]], graph.kind[edges]), number, count)
    edges, number = graph.named
    incoming = summed(mix(colours[graph.source[edges]], graph.kind[edges]), number, count)
    colours[graph.open] = mix(mix(graph.base[graph.open], outgoing), incoming)


def _testified(fixed: Side, baseline: Side, pairing: Pairing) -> tuple[I64, I64]:
    """Data that paired code of equal form names in the same place, directly or through data of equal
    content, where no other testimony contradicts."""
    owners = same_forms(fixed, baseline, pairing)
    alike = np.zeros(len(fixed.forms), dtype=np.bool_)
    alike[owners] = True
    row, other = named_alike(fixed, baseline, pairing, alike, fixed.links.data)
    left = np.concatenate([fixed.targets.atom[row], fixed.links.unwind[owners]])
    right = np.concatenate([baseline.targets.atom[other], baseline.links.unwind[pairing.fixed[owners]]])
    left, right = fresh = _alike(fixed, baseline, left, right)
    for _ in range(DEPTH):
        holder, held = fresh
        equal = fixed.atoms.digest[holder] == baseline.atoms.digest[held]
        holder, held = holder[equal], held[equal]
        number, row = expand(
            fixed.atoms.first_field[holder], fixed.atoms.last_field[holder], np.arange(len(holder))
        )
        other = baseline.atoms.first_field[held[number]] + row - fixed.atoms.first_field[holder[number]]
        start = (fixed.pointers.offset[row] == 0) & (baseline.pointers.offset[other] == 0)
        row, other = row[start], other[start]
        fresh = _alike(fixed, baseline, fixed.pointers.atom[row], baseline.pointers.atom[other])
        before = len(left)
        left, right = distinct_pairs(np.concatenate([left, fresh[0]]), np.concatenate([right, fresh[1]]))
        if len(left) == before:
            break
    single = once(left) & once(right)
    return left[single], right[single]


def _alike(fixed: Side, baseline: Side, left: I64, right: I64) -> tuple[I64, I64]:
    """The pairs of atoms in memory of one kind, each once."""
    ok = (left >= 0) & (right >= 0)
    left, right = distinct_pairs(left[ok], right[ok])
    same = fixed.atoms.memory[left] == baseline.atoms.memory[right]
    return left[same], right[same]


def _graph(side: Side, code: tuple[I64, I64], data: tuple[I64, I64]) -> Graph:
    """``code`` and ``data`` are the nodes that are known, each with the number that labels it."""
    count = len(side.forms)
    known = np.zeros(count + len(side.atoms), dtype=np.uint64)
    known[code[0]] = mix((code[1] + 1).view(np.uint64), _CODE) | np.uint64(1)
    known[count + data[0]] = mix((data[1] + 1).view(np.uint64), _DATA) | np.uint64(1)
    free = known == 0
    source, target, kind = _edges(side, free)
    number = np.cumsum(free) - 1
    naming, named = np.flatnonzero(free[source]), np.flatnonzero(free[target])
    return Graph(
        base=np.concatenate([_code_base(side), _data_base(side)]),
        known=known,
        open=np.flatnonzero(free),
        source=source,
        target=target,
        kind=kind,
        naming=(naming, number[source[naming]]),
        named=(named, number[target[named]]),
        fragments=count,
    )


def _code_base(side: Side) -> U64:
    """The form, with the names of what is neither code nor data in the image."""
    references = side.program.references
    rows = np.flatnonzero(side.targets.other != 0)
    owner = references.fragment[rows]
    label = mix(side.targets.other[rows].view(np.uint64), (rows - side.first[owner]).view(np.uint64))
    return mix(side.forms.view(np.uint64), summed(label, owner, len(side.forms)))


def _data_base(side: Side) -> U64:
    """The content; of memory that the file does not hold, its kind."""
    content = np.where(side.atoms.memory == Memory.BSS, 0, side.atoms.digest).view(np.uint64)
    return mix(content, side.atoms.memory.astype(np.uint64))


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
