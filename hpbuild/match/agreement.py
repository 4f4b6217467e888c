"""Testimony: every pair of equal forms says which addresses correspond, and all of it must agree.

A reference agrees when both its ends lie in paired code at the same offset, in data that corresponds, or
at the same named thing of the loader. Data corresponds when its bytes are equal and its own fields
agree. That is a greatest fixed point: assume that all agrees, strike out what cannot, follow the
consequences. Writable data and named constants keep their identity when their content differs: then the
datum has changed, not whoever refers to it.
"""

import numpy as np

from hpbuild.code.columns import among, distinct
from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.match.atoms import Memory
from hpbuild.match.content import contents_agree
from hpbuild.match.pairing import Pairing, once
from hpbuild.match.places import Places, locate
from hpbuild.match.sides import Side

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]
_Edges = tuple[I64, I64, Bool]
"""Rows (parent pair, child pair or -1, agreed)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPairs:
    """Candidate pairs of atoms. ``valid``: the two are the same datum; ``same``: with the same content."""

    fixed: I64
    baseline: I64
    valid: Bool
    same: Bool

    def __len__(self) -> int:
        return len(self.fixed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """``identical`` by fixed fragment; ``first_bad`` the first disagreeing row of the fixed references (-1:
    none, -2: the unwind record, -3: data inside the function) for pairs of equal form; ``data`` what
    identical fragments testify."""

    identical: Bool
    first_bad: I64
    data: DataPairs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claims:
    """Rows (owner, agreed so far, index of a data pair or -1)."""

    owner: I64
    agreed: Bool
    pair: I64


def expand(first: I64, last: I64, owners: I64) -> tuple[I64, I64]:
    """Rows ``first[o]..last[o]`` of every owner, concatenated: (owner of each row, row)."""
    begin = first[owners]
    counts = last[owners] - begin
    row = np.repeat(begin - (np.cumsum(counts) - counts), counts)
    row += np.arange(len(row))
    return np.repeat(owners, counts), row


def in_step(fixed: Side, baseline: Side, pairing: Pairing, owners: I64) -> tuple[I64, I64, I64]:
    """The references of paired fragments of equal form: (owner of each row, row, row of the baseline)."""
    first = fixed.first[owners]
    counts = fixed.last[owners] - first
    row = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
    other = row + np.repeat(baseline.first[pairing.fixed[owners]] - first, counts)
    return np.repeat(owners, counts), row, other


def named_alike(fixed: Side, baseline: Side, pairing: Pairing, alike: Bool, rows: I64) -> tuple[I64, I64]:
    """Those of ``rows`` of the fixed references that fragments which are ``alike`` have to the start of
    something, and that are so in the baseline too; and the baseline's rows."""
    owner = fixed.program.references.fragment[rows]
    kept = alike[owner] & (fixed.targets.offset[rows] == 0)
    rows, owner = rows[kept], owner[kept]
    if not len(rows):
        return rows, rows
    # Where a fragment has no partner the distance means nothing, and is not asked for.
    others = rows + (baseline.first[pairing.fixed] - fixed.first)[owner]
    start = baseline.targets.offset[others] == 0
    return rows[start], others[start]


def same_forms(fixed: Side, baseline: Side, pairing: Pairing) -> I64:
    """The paired fragments of the fixed image whose partners have the same form."""
    paired: I64 = np.flatnonzero((pairing.fixed >= 0) & (fixed.forms != 0))
    kept: I64 = paired[fixed.forms[paired] == baseline.forms[pairing.fixed[paired]]]
    return kept


class Testimony:
    """What all pairs of equal form say of what they name in the same place, before the data is judged: each
    row is the ``owner`` fragment, the ``row`` of its references (-2, -3 as in ``Agreement``) and whether the
    two ends may agree. The rows ``resting`` on a pair of atoms come with its number among the ``keys``."""

    __slots__ = (
        "_agreed",
        "_closure",
        "_fixed",
        "_keys",
        "_number",
        "_owner",
        "_resting",
        "_row",
        "_same_form",
        "_votes",
    )

    def __init__(self, fixed: Side, baseline: Side, pairing: Pairing) -> None:
        self._fixed = fixed
        self._same_form = same_form = same_forms(fixed, baseline, pairing)
        owner, row, other = in_step(fixed, baseline, pairing, same_form)
        named = judge(fixed, baseline, pairing, (fixed.targets, row), (baseline.targets, other))
        unwind_f, unwind_b = _unwind_places(fixed, baseline, pairing, same_form)
        every = np.arange(len(same_form))
        unwind = judge(fixed, baseline, pairing, (unwind_f, every), (unwind_b, every))
        holder, inside_f, inside_b = _inside_places(fixed, baseline, pairing, same_form)
        every = np.arange(len(holder))
        inside = judge(fixed, baseline, pairing, (inside_f, every), (inside_b, every))
        self._owner = np.concatenate([owner, same_form, holder])
        self._row = np.concatenate([row, np.full(len(same_form), -2), np.full(len(holder), -3)])
        self._agreed = np.concatenate([named[0], unwind[0], inside[0]])
        behind = len(row) + len(same_form)
        rows = np.concatenate([named[1], unwind[1] + len(row), inside[1] + behind])
        left, right = (np.concatenate([part[side] for part in (named, unwind, inside)]) for side in (2, 3))
        keys = left * (len(baseline.atoms) + 1) + right
        order = np.argsort(keys)
        ordered = keys[order]
        first = np.ones(len(rows), dtype=np.bool_)
        first[1:] = ordered[1:] != ordered[:-1]
        self._keys, self._resting = ordered[first], rows[order]
        self._number = np.cumsum(first) - 1
        self._votes = np.diff(np.append(np.flatnonzero(first), len(rows)))
        self._closure = _Closure(fixed, baseline, pairing)
        self._closure.grow(self._keys)

    def agreement(self, more: tuple[I64, I64]) -> Agreement:
        """Which pairs of equal form are identical functions, and what their data correspondences are.

        ``more`` are further pairs of atoms to judge besides those of earlier calls (from neighbours or
        names), columns fixed and baseline."""
        fixed = self._fixed
        pairs, place = self._closure.judged(more, (self._keys, self._votes))
        wrong = ~pairs.valid[place]
        agreed = self._agreed.copy()
        agreed[self._resting[wrong[self._number]]] = False
        bad = np.flatnonzero(~agreed)[::-1]
        identical = np.zeros(len(fixed.forms), dtype=np.bool_)
        identical[self._same_form] = True
        identical[self._owner[bad]] = False
        first_bad = np.full(len(fixed.forms), -1, dtype=np.int64)
        first_bad[self._owner[bad]] = self._row[bad]
        return Agreement(identical=identical, first_bad=first_bad, data=pairs)


def _unwind_places(fixed: Side, baseline: Side, pairing: Pairing, rows: I64) -> tuple[Places, Places]:
    def places(side: Side, fragments: I64) -> Places:
        unwind = side.program.fragments.unwind[fragments]
        atom = side.links.unwind[fragments]
        none = np.where(unwind > 0, 0, 1)
        zeros = np.zeros(len(unwind), dtype=np.int64)
        return Places(code=zeros - 1, atom=atom, offset=zeros, other=none, edge=zeros)

    return places(fixed, rows), places(baseline, pairing.fixed[rows])


def _inside_places(fixed: Side, baseline: Side, pairing: Pairing, rows: I64) -> tuple[I64, Places, Places]:
    """The data that lies inside the functions of ``rows`` (their jump tables, which code that folds the
    lowest case into its operand does not name): the fragment before it, and the places on both sides."""
    ours, theirs = fixed.program.fragments, baseline.program.fragments
    runs = np.flatnonzero(ours.opaque)
    runs = runs[~ours.opaque[ours.root[runs]]]
    before = np.maximum.accumulate(np.where(ours.opaque, 0, np.arange(len(ours))))[runs]
    holder = np.where(ours.root[before] == ours.root[runs], before, ours.root[runs])
    chosen = np.zeros(len(ours), dtype=np.bool_)
    chosen[rows] = True
    runs, holder = runs[chosen[holder]], holder[chosen[holder]]
    first = np.searchsorted(fixed.atoms.start, ours.start)
    last = np.searchsorted(fixed.atoms.start, ours.end)
    run, atom = expand(first, last, runs)
    holder = holder[np.searchsorted(runs, run)]
    start = fixed.atoms.start[atom]
    none = np.zeros(len(atom), dtype=np.int64)
    left = Places(code=none - 1, atom=atom, offset=none, other=none, edge=none)
    place = start - ours.start[holder] + theirs.start[pairing.fixed[holder]]
    return holder, left, locate(baseline.program, baseline.atoms, place)


def judge(
    fixed: Side, baseline: Side, pairing: Pairing, left: tuple[Places, I64], right: tuple[Places, I64]
) -> tuple[Bool, I64, I64, I64]:
    """Compare two columns of places, rows of a table each: (agreed or not yet known, which of the rows rest
    on a pair of atoms, these of both sides)."""
    (ours, row), (theirs, other) = left, right
    agreed = ours.offset[row] == theirs.offset[other]
    atom_f, atom_b = ours.atom[row], theirs.atom[other]
    code, mate = ours.code[row], theirs.code[other]
    both_code, both_atom = (code >= 0) & (mate >= 0), (atom_f >= 0) & (atom_b >= 0)
    agreed &= both_code | both_atom
    rows = np.flatnonzero(agreed & both_code)
    ok = pairing.fixed[code[rows]] == mate[rows]
    agreed[rows[~ok]] = False
    inner = rows[ok & (ours.offset[row[rows]] != 0)]
    agreed[inner[fixed.forms[code[inner]] != baseline.forms[mate[inner]]]] = False
    rows = np.flatnonzero(agreed & both_atom)
    writable = fixed.atoms.memory[atom_f[rows]] != Memory.RODATA
    apart = writable != (baseline.atoms.memory[atom_b[rows]] != Memory.RODATA)
    agreed[rows[apart]] = False
    rows = rows[~apart]
    rest = np.flatnonzero(~agreed)
    agreed[rest[_same_others(ours, row[rest], theirs, other[rest])]] = True
    return agreed, rows, atom_f[rows], atom_b[rows]


def _same_others(ours: Places, row: I64, theirs: Places, other: I64) -> Bool:
    """Rows whose ends are one named thing of the loader, or the end of one section."""
    left, right = ours.other[row], theirs.other[other]
    bare = (ours.code[row] < 0) & (ours.atom[row] < 0), (theirs.code[other] < 0) & (theirs.atom[other] < 0)
    same: Bool = bare[0] & bare[1] & (left == right) & (left != 0)
    # The end of a section coincides with the start of the next one on one side alone.
    for beyond, one, edge, two in (
        (bare[0], left, theirs.edge[other], right),
        (bare[1], right, ours.edge[row], left),
    ):
        same |= beyond & (one == edge) & (edge != 0) & (two != edge)
    return same


class _Closure:
    """Pairs of data, and all that follow from them: their keys, ascending, whether the contents agree, and
    which pairs rest on which."""

    __slots__ = ("_baseline", "_edges", "_fixed", "_known", "_pairing", "_same", "_width")

    def __init__(self, fixed: Side, baseline: Side, pairing: Pairing) -> None:
        self._fixed, self._baseline, self._pairing = fixed, baseline, pairing
        self._width = len(baseline.atoms) + 1
        self._known, self._same = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        self._edges: list[_Edges] = []

    def grow(self, keys: I64) -> None:
        """Add pairs, ascending and distinct, and all that follow from them."""
        width, fresh = self._width, keys[~among(keys, self._known)]
        while len(fresh):
            equal = contents_agree(self._fixed, self._baseline, fresh // width, fresh % width)
            known = np.concatenate([self._known, fresh])
            order = np.argsort(known, kind="stable")
            self._known, self._same = known[order], np.concatenate([self._same, equal])[order]
            self._edges.append(_children(self._fixed, self._baseline, self._pairing, fresh[equal], width))
            child = self._edges[-1][1]
            candidates = distinct(child[child >= 0])
            fresh = candidates[~among(candidates, self._known)]

    def judged(self, more: tuple[I64, I64], named: tuple[I64, I64]) -> tuple[DataPairs, I64]:
        """All pairs with ``more`` and what follows from them; and the place of each ``named`` one. These are
        keys of pairs, ascending, and how often code names them."""
        self.grow(distinct(more[0] * self._width + more[1]))
        place = np.searchsorted(self._known, named[0])
        votes = np.zeros(len(self._known), dtype=np.int64)
        votes[place] = named[1]
        none = np.zeros(0, dtype=np.int64)
        parts = [(none, none, none.astype(np.bool_)), *self._edges]
        parent, child, agreed = (np.concatenate(part) for part in zip(*parts, strict=True))
        edges = parent, child, agreed
        pairs = _strike(self._fixed, self._baseline, (self._known, self._width), self._same, edges, votes)
        return pairs, place


def _children(fixed: Side, baseline: Side, pairing: Pairing, keys: I64, width: int) -> _Edges:
    """Fields of pairs with equal content: (pair key, key of the pair they lead to or -1, agreed)."""
    left, right = keys // width, keys % width
    order = np.arange(len(keys))
    number, row = expand(fixed.atoms.first_field[left], fixed.atoms.last_field[left], order)
    other = baseline.atoms.first_field[right[number]] + row - fixed.atoms.first_field[left[number]]
    agreed, rows, atom_f, atom_b = judge(
        fixed, baseline, pairing, (fixed.pointers, row), (baseline.pointers, other)
    )
    child = np.full(len(row), -1, dtype=np.int64)
    child[rows] = atom_f * width + atom_b
    tables = fixed.program.fields.form[row] == 2
    origin, rows, origin_f, origin_b = judge(
        fixed, baseline, pairing, (fixed.origins, row[tables]), (baseline.origins, other[tables])
    )
    base = np.full(len(origin), -1, dtype=np.int64)
    base[rows] = origin_f * width + origin_b
    headed, head, both = _heads(fixed, baseline, keys, width)
    parent = np.concatenate([keys[number], keys[number[tables]], headed])
    child = np.concatenate([child, base, head])
    return parent, child, np.concatenate([agreed, origin, both])


def _heads(fixed: Side, baseline: Side, keys: I64, width: int) -> tuple[I64, I64, Bool]:
    """The words that belong in front of pairs: (pair key, key of the words' pair or -1, both have one)."""
    left, right = keys // width - 1, keys % width - 1
    ours = (left >= 0) & fixed.atoms.heads[np.maximum(left, 0)]
    theirs = (right >= 0) & baseline.atoms.heads[np.maximum(right, 0)]
    rows = np.flatnonzero(ours | theirs)
    both = ours[rows] & theirs[rows]
    return keys[rows], np.where(both, left[rows] * width + right[rows], -1), both


def _strike(
    fixed: Side, baseline: Side, keys: tuple[I64, int], same: Bool, edges: _Edges, votes: I64
) -> DataPairs:
    """Strike out pairs until nothing contradicts: competing writable pairs, unequal constants, parents of
    struck pairs."""
    known, width = keys
    left, right = known // width, known % width
    soft = _soft(fixed, baseline, left, right)
    valid = np.ones(len(known), dtype=np.bool_)
    valid[_losers(fixed, left, right, votes)] = False
    parent, child, agreed = edges
    parent_at = np.searchsorted(known, parent)
    same = same.copy()
    same[parent_at[~agreed]] = False
    rows = np.flatnonzero(agreed & (child >= 0))
    parent_at, child_at = parent_at[rows], np.searchsorted(known, child[rows])
    while True:
        content = same.copy()
        content[parent_at[~valid[child_at]]] = False
        settled = valid & (content | soft)
        if np.array_equal(settled, valid) and np.array_equal(content, same):
            return DataPairs(fixed=left, baseline=right, valid=valid, same=same)
        valid, same = settled, content


def _soft(fixed: Side, baseline: Side, left: I64, right: I64) -> Bool:
    """Pairs whose identity does not rest on their content: variables, and constants of one name."""
    soft: Bool = fixed.atoms.memory[left] != Memory.RODATA
    theirs = baseline.atoms.names
    if theirs:
        named = np.flatnonzero(np.isin(left, np.fromiter(fixed.atoms.names, dtype=np.int64)))
        for row in named.tolist():
            soft[row] |= theirs.get(int(right[row])) == fixed.atoms.names[int(left[row])]
    return soft


def _losers(fixed: Side, left: I64, right: I64, votes: I64) -> list[int]:
    """Pairs of writable atoms that contradict a pair with more testimony; of as much, with a lower one."""
    if not len(left):
        return []
    rows = np.flatnonzero(fixed.atoms.memory[left] != Memory.RODATA)
    rivals = ~(once(left[rows]) & once(right[rows]))
    rows = rows[rivals]
    ranked = rows[np.lexsort((rows, -votes[rows]))].tolist()
    taken_f: set[int] = set()
    taken_b: set[int] = set()
    losers = []
    for row in ranked:
        a, b = int(left[row]), int(right[row])
        if a in taken_f or b in taken_b:
            losers.append(row)
            continue
        taken_f.add(a)
        taken_b.add(b)
    return losers
