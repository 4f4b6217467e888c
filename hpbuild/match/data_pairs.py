"""Pairs of data that may be each other's counterparts, and what follows from them.

Data corresponds when its bytes are equal and its own fields agree. That is a greatest fixed point: assume
that all agrees, strike out what cannot, follow the consequences. Writable data and named constants keep their
identity when their content differs: then the datum has changed, not whoever refers to it.
"""

import numpy as np

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.model import I64, FieldForm
from hpbuild.dataclass import dataclass
from hpbuild.match.atoms import Memory
from hpbuild.match.content import contents_agree
from hpbuild.match.judging import judge
from hpbuild.match.pairing import Pairing, once
from hpbuild.match.places import Places
from hpbuild.match.sides import Side

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]
_Edges = tuple[I64, I64, Bool]
"""Rows (number of the parent among the pairs, key of the child or -1, agreed)."""
_AT_ONCE = 16
"""Steps from pairs to those that follow from them whose pairs are put in order together."""
_RIGHT = 0xFFFFFFFF
"""The bits of the key of a pair of atoms that number the baseline's; the others number the fixed one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPairs:
    """Candidate pairs of atoms. ``valid``: the two are the same datum; ``same``: with the same content."""

    fixed: I64
    baseline: I64
    valid: Bool
    same: Bool

    def __len__(self) -> int:
        return len(self.fixed)


class DataClosure:
    """Pairs of data, and all that follow from them, numbered as they are found: their keys, and these in
    order with their numbers; whether the contents agree (``same``); whether the identity rests on something
    else (``soft``); and which pairs (``parents``) rest on which (``children``). The first have ``votes``: so
    often code names them."""

    __slots__ = (
        "_baseline",
        "_children",
        "_fixed",
        "_keys",
        "_numbers",
        "_ordered",
        "_pairing",
        "_parents",
        "_same",
        "_soft",
        "_votes",
    )

    def __init__(self, fixed: Side, baseline: Side, pairing: Pairing, keys: I64, votes: I64) -> None:
        """``keys`` are ascending and distinct."""
        self._fixed, self._baseline, self._pairing, self._votes = fixed, baseline, pairing, votes
        self._keys = self._ordered = self._numbers = np.zeros(0, dtype=np.int64)
        self._parents = self._children = self._keys
        self._same = self._soft = np.zeros(0, dtype=np.bool_)
        self._grow(keys)

    def judged(self, more: tuple[I64, I64]) -> tuple[DataPairs, Bool]:
        """All pairs with ``more`` and what follows from them; and which are valid, by number."""
        self._grow(distinct(more[0] << 32 | more[1]))
        valid, same = self._struck()
        pairs = DataPairs(
            fixed=self._ordered >> 32,
            baseline=self._ordered & _RIGHT,
            valid=valid[self._numbers],
            same=same[self._numbers],
        )
        return pairs, valid

    def _grow(self, keys: I64) -> None:
        """Add pairs, ascending and distinct, and all that follow from them."""
        parents, children = [self._parents], [np.zeros(0, dtype=np.int64)]
        found, count = list[tuple[I64, Bool]](), len(self._keys)
        fresh = keys[~among(keys, self._ordered)]
        while len(fresh):
            same = contents_agree(self._fixed, self._baseline, fresh >> 32, fresh & _RIGHT)
            equal = np.flatnonzero(same)
            number, child, agreed = _children(self._fixed, self._baseline, self._pairing, fresh[equal])
            parent = equal[number]
            same[parent[~agreed]] = False
            rows = np.flatnonzero(agreed & (child >= 0))
            parents.append(parent[rows] + count)
            children.append(child[rows])
            count += len(fresh)
            found.append((fresh, same))
            if len(found) == _AT_ONCE:
                self._add(found)
                found = []
            fresh = distinct(child[rows])
            for known in (self._ordered, *(pairs for pairs, _ in found)):
                fresh = fresh[~among(fresh, known)]
        self._add(found)
        self._parents = np.concatenate(parents)
        place = np.searchsorted(self._ordered, np.concatenate(children))
        self._children = np.concatenate([self._children, self._numbers[place]])

    def _add(self, found: list[tuple[I64, Bool]]) -> None:
        """Number pairs, with whether their contents agree, in their order."""
        if not found:
            return
        keys, same = np.concatenate([keys for keys, _ in found]), np.concatenate([same for _, same in found])
        numbers = np.arange(len(self._keys), len(self._keys) + len(keys))
        ordered = np.concatenate([self._ordered, keys])
        order = np.argsort(ordered, kind="stable")
        self._ordered, self._numbers = ordered[order], np.concatenate([self._numbers, numbers])[order]
        self._keys, self._same = np.concatenate([self._keys, keys]), np.concatenate([self._same, same])
        soft = _soft(self._fixed, self._baseline, keys >> 32, keys & _RIGHT)
        self._soft = np.concatenate([self._soft, soft])

    def _struck(self) -> tuple[Bool, Bool]:
        """Strike out pairs until nothing contradicts: competing writable pairs, unequal constants, parents of
        struck pairs. By number: which are valid, and which of the same content."""
        valid, same = np.ones(len(self._keys), dtype=np.bool_), self._same
        votes = np.zeros(len(self._keys), dtype=np.int64)
        votes[: len(self._votes)] = self._votes
        valid[_losers(self._fixed, self._keys, votes)] = False
        while True:
            content = same.copy()
            content[self._parents[~valid[self._children]]] = False
            settled = valid & (content | self._soft)
            if np.array_equal(settled, valid) and np.array_equal(content, same):
                return valid, same
            valid, same = settled, content


def _children(fixed: Side, baseline: Side, pairing: Pairing, keys: I64) -> _Edges:
    """What the fields of pairs with equal content lead to, the origins of these, and the words in front."""
    left, right = keys >> 32, keys & _RIGHT
    begin = fixed.atoms.first_field[left]
    shift = baseline.atoms.first_field[right] - begin
    end = fixed.atoms.last_field[left]
    number, row = np.repeat(np.arange(len(keys)), end - begin), members(begin, end)
    other = row + shift[number]
    agreed, child = _led(fixed, baseline, pairing, (fixed.pointers, row), (baseline.pointers, other))
    tables = np.flatnonzero(fixed.program.fields.form[row] == FieldForm.TABLE32)
    origin, base = _led(
        fixed, baseline, pairing, (fixed.origins, row[tables]), (baseline.origins, other[tables])
    )
    headed, head, both = _heads(fixed, baseline, left, right)
    return (
        np.concatenate([number, number[tables], headed]),
        np.concatenate([child, base, head]),
        np.concatenate([agreed, origin, both]),
    )


def _led(
    fixed: Side, baseline: Side, pairing: Pairing, left: tuple[Places, I64], right: tuple[Places, I64]
) -> tuple[Bool, I64]:
    """For two columns of places as for ``judge``: (agreed or not yet known, the key of the pair of atoms that
    this rests on or -1)."""
    agreed, rows, atom_f, atom_b = judge(fixed, baseline, pairing, left, right)
    child = np.full(len(agreed), -1, dtype=np.int64)
    child[rows] = atom_f << 32 | atom_b
    return agreed, child


def _heads(fixed: Side, baseline: Side, left: I64, right: I64) -> tuple[I64, I64, Bool]:
    """The words that belong in front of pairs: (number of the pair, key of the words' pair or -1, both have
    one)."""
    ours = (left > 0) & fixed.atoms.heads[left - 1]
    theirs = (right > 0) & baseline.atoms.heads[right - 1]
    rows = np.flatnonzero(ours | theirs)
    both = ours[rows] & theirs[rows]
    return rows, np.where(both, (left[rows] - 1) << 32 | (right[rows] - 1), -1), both


def _soft(fixed: Side, baseline: Side, left: I64, right: I64) -> Bool:
    """Pairs whose identity does not rest on their content: variables, and constants of one name."""
    soft: Bool = fixed.atoms.memory[left] != Memory.RODATA
    theirs = baseline.atoms.names
    if theirs:
        ours = np.zeros(len(fixed.atoms), dtype=np.bool_)
        ours[np.fromiter(fixed.atoms.names, dtype=np.int64)] = True
        for row in np.flatnonzero(ours[left]).tolist():
            soft[row] |= theirs.get(int(right[row])) == fixed.atoms.names[int(left[row])]
    return soft


def _losers(fixed: Side, keys: I64, votes: I64) -> list[int]:
    """Pairs of writable atoms that contradict a pair with more testimony; of as much, with a lower one."""
    if not len(keys):
        return []
    rows = np.flatnonzero((fixed.atoms.memory != Memory.RODATA)[keys >> 32])
    left, right = keys[rows] >> 32, keys[rows] & _RIGHT
    rivals = ~(once(left) & once(right))
    rows, left, right = rows[rivals], left[rivals], right[rivals]
    order = np.lexsort((keys[rows], -votes[rows]))
    taken_f: set[int] = set()
    taken_b: set[int] = set()
    losers = []
    for row, a, b in zip(rows[order].tolist(), left[order].tolist(), right[order].tolist(), strict=True):
        if a in taken_f or b in taken_b:
            losers.append(row)
            continue
        taken_f.add(a)
        taken_b.add(b)
    return losers
