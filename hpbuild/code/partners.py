"""Which unwind rows of two images may hold the same code, told by their sizes alone: a guess that costs next
to nothing. Whether they do is for ``carrying`` to find out."""

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import I64
from hpbuild.code.survey import Rows


def partners(old: Rows, new: Rows) -> I64:
    """For each row of ``new`` the number of a row of ``old`` with as many bytes that may hold the same code,
    or -1. Rows are found again by their own size and those of the next three, where no others have these; in
    between by counting."""
    theirs, ours = old.end - old.start, new.end - new.start
    there, here = _only_there(_keys(theirs), _keys(ours))
    there = np.concatenate([[-1], there, [len(theirs)]])
    here = np.concatenate([[-1], here, [len(ours)]])
    number = np.arange(len(ours))
    found = np.full(len(ours), -1, dtype=np.int64)
    before = np.searchsorted(here, number, side="right") - 1
    for anchor in (before + 1, before):  # what is said last counts
        place = there[anchor] + number - here[anchor]
        fits = (place >= 0) & (place < len(theirs))
        fits[fits] = theirs[place[fits]] == ours[fits]
        found[fits] = place[fits]
    return found


def _keys(sizes: I64) -> npt.NDArray[np.uint64]:
    """A number for each row that tells its size and those of the next three."""
    padded = np.append(sizes, [0, 0, 0]).astype(np.uint64)
    found = padded[:-3].copy()
    for later in range(1, 4):
        found = found * _FACTOR + padded[later : len(sizes) + later]
    return found


_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def _only_there(left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
    """Numbers of those rows, one of each side, whose key no other row has, ascending on the right."""
    keys = np.concatenate([left, right])
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    new = np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])
    first = np.flatnonzero(new[:-2] & ~new[1:-1] & new[2:])  # of two that are equal
    one, two = order[first], order[first + 1] - len(left)
    both = (one < len(left)) & (two >= 0)
    one, two = one[both], two[both]
    ascending = np.argsort(two)
    return one[ascending], two[ascending]
