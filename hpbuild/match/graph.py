"""Code and data as one graph, as far as it is not paired yet.

Nodes are the fragments and then the atoms of one side. Edges go from whoever names something to what it
names: references of code, addresses in data, unwind records, the words in front of virtual tables, and parts
of a function to its root. Two nodes that are known to be each other's counterpart carry one label; what
surrounds the others refines theirs (Weisfeiler and Leman's refinement over code and data).
"""

from dataclasses import dataclass

import numpy as np

from hpbuild.code.columns import distinct_pairs
from hpbuild.code.model import I64
from hpbuild.match.agreement import expand, same_forms
from hpbuild.match.atoms import Memory
from hpbuild.match.colours import U64, mix, summed
from hpbuild.match.pairing import Pairing, once
from hpbuild.match.sides import Side

DEPTH = 4
"""Most steps through data from paired code to data that it testifies about."""
_REFERENCE, _FIELD, _UNWIND, _HEAD, _PART = range(1, 6)
_CODE, _DATA = np.array([[0x5851F42D4C957F2D], [0x14057B7EF767814F]], dtype=np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """``base`` is what a node is by itself; ``known`` its label where it has a counterpart, else 0. Edges
    have at least one end that is not known; ``kind`` says by which means and at which place one names the
    other. The first ``fragments`` nodes are code."""

    base: U64
    known: U64
    source: I64
    target: I64
    kind: U64
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


def refined(graph: Graph, colours: U64) -> U64:
    """One round: every node that is not known mixed with what it names and with who names it."""
    source = mix(colours[graph.source], graph.kind)
    target = mix(colours[graph.target], graph.kind)
    outgoing = summed(target, graph.source, len(colours))
    incoming = summed(source, graph.target, len(colours))
    fresh = mix(mix(graph.base, outgoing), incoming)
    return np.where(graph.known > 0, graph.known, fresh)


def _testified(fixed: Side, baseline: Side, pairing: Pairing) -> tuple[I64, I64]:
    """Data that paired code of equal form names in the same place, directly or through data of equal
    content, where no other testimony contradicts."""
    owners = same_forms(fixed, baseline, pairing)
    owner, row = expand(fixed.first, fixed.last, owners)
    other = baseline.first[pairing.fixed[owner]] + row - fixed.first[owner]
    start = (fixed.targets.offset[row] == 0) & (baseline.targets.offset[other] == 0)
    row, other = row[start], other[start]
    left = np.concatenate([fixed.targets.atom[row], _unwind(fixed, owners)])
    right = np.concatenate([baseline.targets.atom[other], _unwind(baseline, pairing.fixed[owners])])
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


def _unwind(side: Side, fragments: I64) -> I64:
    unwind = side.program.fragments.unwind[fragments]
    return np.where(unwind > 0, side.atoms.at(unwind), -1)


def _graph(side: Side, code: tuple[I64, I64], data: tuple[I64, I64]) -> Graph:
    """``code`` and ``data`` are the nodes that are known, each with the number that labels it."""
    count = len(side.forms)
    known = np.zeros(count + len(side.atoms), dtype=np.uint64)
    known[code[0]] = mix((code[1] + 1).view(np.uint64), _CODE) | np.uint64(1)
    known[count + data[0]] = mix((data[1] + 1).view(np.uint64), _DATA) | np.uint64(1)
    source, target, kind = _edges(side)
    open_ = (known[source] == 0) | (known[target] == 0)
    return Graph(
        base=np.concatenate([_code_base(side), _data_base(side)]),
        known=known,
        source=source[open_],
        target=target[open_],
        kind=kind[open_],
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


def _edges(side: Side) -> tuple[I64, I64, U64]:
    """Columns source, target, kind."""
    count, references, fields = len(side.forms), side.program.references, side.program.fields
    owner = references.fragment
    named = _nodes(side.targets.code, side.targets.atom, count)
    pointed = _nodes(side.pointers.code, side.pointers.atom, count)
    holder = side.atoms.at(fields.site)
    place = fields.site - side.atoms.start[holder] if len(side.atoms) else holder
    fragments = np.arange(count)
    unwind = _unwind(side, fragments)
    heads = np.flatnonzero(side.atoms.heads[:-1])
    root = side.program.fragments.root
    zero = np.zeros(max(count, len(heads)), dtype=np.int64)
    parts = [
        (owner, named, np.arange(len(owner)) - side.first[owner], side.targets.offset, _REFERENCE),
        (np.where(holder >= 0, holder + count, -1), pointed, place, side.pointers.offset, _FIELD),
        (fragments, np.where(unwind >= 0, unwind + count, -1), zero[:count], zero[:count], _UNWIND),
        (heads + 1 + count, heads + count, zero[: len(heads)], zero[: len(heads)], _HEAD),
        (fragments, np.where(root != fragments, root, -1), zero[:count], zero[:count], _PART),
    ]
    columns = []
    for source, target, at, offset, kind in parts:
        ok = (source >= 0) & (target >= 0)
        label = mix(at[ok].view(np.uint64) << np.uint64(3) | np.uint64(kind), offset[ok].view(np.uint64))
        columns.append((source[ok], target[ok], label))
    return (
        np.concatenate([column[0] for column in columns]),
        np.concatenate([column[1] for column in columns]),
        np.concatenate([column[2] for column in columns]),
    )


def _nodes(code: I64, atom: I64, count: int) -> I64:
    return np.where(code >= 0, code, np.where(atom >= 0, atom + count, -1))
