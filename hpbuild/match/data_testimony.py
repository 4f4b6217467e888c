"""Data that paired code of equal form names in the same place, directly or through data of equal content."""

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.model import I64
from hpbuild.match.agreement import expand, named_alike, same_forms
from hpbuild.match.pairing import Pairing, once
from hpbuild.match.sides import Side

DEPTH = 4
"""Most steps through data from paired code to data that it testifies about."""
_RIGHT = 0xFFFFFFFF
"""The bits of the key of a pair of atoms that number the baseline's; the others number the fixed one's."""


class DataTestimony:
    """The pairs of atoms of two sides that testimony speaks for. What one pairing says is kept for the next
    one: only pairs that it has more are asked."""

    __slots__ = ("_asked", "_baseline", "_fixed", "_keys", "_steps")

    def __init__(self, fixed: Side, baseline: Side) -> None:
        self._fixed, self._baseline = fixed, baseline
        self._forget()

    def pairs(self, pairing: Pairing) -> tuple[I64, I64]:
        """The pairs that no other testimony contradicts, each atom once."""
        owners = same_forms(self._fixed, self._baseline, pairing)
        alike = np.zeros(len(self._asked), dtype=np.bool_)
        alike[owners] = True
        if ((self._asked >= 0) & ~(alike & (self._asked == pairing.fixed))).any():
            self._forget()
        owners = owners[self._asked[owners] < 0]
        self._asked[owners] = pairing.fixed[owners]
        self._ask(owners, pairing)
        left, right = self._keys >> 32, self._keys & _RIGHT
        single = once(left) & once(right)
        return left[single], right[single]

    def _forget(self) -> None:
        """Nobody was asked: by fragment the partner that it had then, by pair the fewest steps to it."""
        self._asked = np.full(len(self._fixed.forms), -1, dtype=np.int64)
        self._keys, self._steps = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int8)

    def _ask(self, owners: I64, pairing: Pairing) -> None:
        """Add what these fragments testify, and what follows from it through data."""
        fixed, baseline = self._fixed, self._baseline
        alike = np.zeros(len(self._asked), dtype=np.bool_)
        alike[owners] = True
        row, other = named_alike(fixed, baseline, pairing, alike, fixed.links.data)
        left = np.concatenate([fixed.targets.atom[row], fixed.links.unwind[owners]])
        right = np.concatenate([baseline.targets.atom[other], baseline.links.unwind[pairing.fixed[owners]]])
        for steps in range(DEPTH + 1):
            fresh = self._add(left, right, steps)
            if not len(fresh) or steps == DEPTH:
                return
            holder, held = fresh >> 32, fresh & _RIGHT
            equal = np.flatnonzero(fixed.atoms.digest[holder] == baseline.atoms.digest[held])
            begin, end = (
                column[holder[equal]] for column in (fixed.atoms.first_field, fixed.atoms.last_field)
            )
            shift = baseline.atoms.first_field[held[equal]] - begin
            number, row = expand(begin, end, np.arange(len(equal)))
            other = row + shift[number]
            start = np.flatnonzero((fixed.pointers.offset[row] | baseline.pointers.offset[other]) == 0)
            left, right = fixed.pointers.atom[row[start]], baseline.pointers.atom[other[start]]

    def _add(self, left: I64, right: I64, steps: int) -> I64:
        """Add the pairs of atoms in memory of one kind; those that took more steps before, or were not known,
        ascending and distinct."""
        rows = np.flatnonzero((left | right) >= 0)
        left, right = left[rows], right[rows]
        rows = np.flatnonzero(self._fixed.atoms.memory[left] == self._baseline.atoms.memory[right])
        keys = distinct(left[rows] << 32 | right[rows])
        if not len(self._keys):
            self._keys, self._steps = keys, np.full(len(keys), steps, dtype=np.int8)
            return keys
        behind = np.searchsorted(self._keys, keys)
        place = np.minimum(behind, len(self._keys) - 1)
        known = self._keys[place] == keys
        nearer = known & (self._steps[place] > steps)
        self._steps[place[nearer]] = steps
        fresh = np.flatnonzero(~known)
        if len(fresh):
            self._keys = np.insert(self._keys, behind[fresh], keys[fresh])
            self._steps = np.insert(self._steps, behind[fresh], np.int8(steps))
        closer: I64 = keys[~known | nearer]
        return closer
