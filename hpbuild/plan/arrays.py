"""Arrays that functions index, as far as they may reach, against what lies there in the baseline."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import members
from hpbuild.dataclass import dataclass
from hpbuild.match.comparison import Comparison
from hpbuild.match.sides import Side
from hpbuild.plan.objects import Objects, extent, users

_WIDEST = 8
"""Bytes of the widest address in data."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """First atoms of constants that code may index into what others read. ``changed``: whoever indexes them
    may read another value than in the baseline; ``joined``: when carried, then with all their parts."""

    changed: frozenset[int]
    joined: frozenset[int]


def arrays(comparison: Comparison, objects: Objects) -> Arrays:
    """Compare all that may be a part of an array with what lies at its place in the baseline. ``objects`` are
    those of the fixed image.

    Code that is the same on both sides reaches as far on both, so no further than where the baseline's array
    ends. Changed and new code may reach as far as the fixed image's array goes.
    """
    data, side = comparison.data, comparison.fixed
    start, end = side.atoms.start.data, side.atoms.end.data
    ends = _Ends(comparison.baseline)
    fresh = _named_by_changed(comparison)
    changed: set[int] = set()
    joined: set[int] = set()
    same, baseline = data.same.data, data.baseline.data
    for front, part in objects.parts.pairs():
        place = baseline[front]
        if place < 0 or not same[front]:
            joined.add(front)
        elif front not in changed:
            there = place + start[part] - start[front]
            if same[part] and baseline[part] == there:
                continue
            size = end[part] - start[part]
            size = size if fresh[front] else min(size, ends.of(place) - there)
            if size > 0 and not _alike(comparison, part, there, size):
                changed.add(front)
    return Arrays(frozenset(changed), frozenset(changed | joined))


class _Ends:
    """Where the arrays of one side end, with all that may be a part of them."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._known: dict[int, int] = {}

    @cached_property
    def _objects(self) -> Objects:
        return Objects(self._side, users(self._side))

    def of(self, rva: int) -> int:
        """The end of the array that holds ``rva``; ``rva`` itself when nothing does."""
        if rva not in self._known:
            atom = self._side.atoms.one(rva)
            run = extent(self._side, self._objects.of(atom)) if atom >= 0 else None
            self._known[rva] = int(run.end) if run else rva
        return self._known[rva]


def _named_by_changed(comparison: Comparison) -> npt.NDArray[np.bool_]:
    """By atom of the fixed image: changed or new functions name it."""
    side, facts, table = comparison.fixed, comparison.facts, comparison.fixed.program.fragments
    fresh = np.zeros(len(table), dtype=np.bool_)
    fresh[facts.roots[~facts.identical]] = True
    parts = np.flatnonzero(fresh[table.root] & ~table.opaque)
    atoms = side.targets.atom[members(side.first[parts], side.last[parts])]
    named = np.zeros(len(side.atoms), dtype=np.bool_)
    named[atoms[atoms >= 0]] = True
    return named


def _alike(comparison: Comparison, atom: int, place: int, size: int) -> bool:
    """The baseline has the same at ``place`` (RVA) as the fixed image has in the first ``size`` bytes of the
    atom, which is not paired with that place: no addresses in data are alike then."""
    fixed, baseline = comparison.fixed, comparison.baseline
    start = int(fixed.atoms.start[atom])
    for side, low in ((fixed, start), (baseline, place)):
        sites = side.program.fields.site
        first, last = sites.searchsorted(np.array((low - _WIDEST + 1, low + size), dtype=sites.dtype))
        if first < last:
            return False
    return np.array_equal(fixed.masked[start : start + size], baseline.masked[place : place + size])
