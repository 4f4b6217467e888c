"""Columns of numbers: what numpy offers too slowly. Its ``unique`` hashes, or compares rows as bytes."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import I64

T = TypeVar("T", bound=np.generic)


def picked(values: npt.NDArray[T], chosen: npt.NDArray[np.bool_]) -> npt.NDArray[T]:
    """``values[chosen]`` of a column, in less time where the chosen ones are few or lie scattered."""
    return values.take(np.flatnonzero(chosen))


def distinct(values: I64) -> I64:
    """The values, ascending, each once."""
    ordered = np.sort(values)
    if not len(ordered):
        return ordered
    return picked(ordered, np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def distinct_pairs(left: I64, right: I64) -> tuple[I64, I64]:
    """The pairs of two columns of numbers in [0, 2**31), ascending, each once."""
    keys = distinct(left << 32 | right)
    return keys >> 32, keys & 0xFFFFFFFF


def among(values: npt.NDArray[np.integer], ordered: I64) -> npt.NDArray[np.bool_]:
    """Which of the values are in ``ordered``, an ascending column."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    found: npt.NDArray[np.bool_] = ordered.take(np.searchsorted(ordered, values), mode="clip") == values
    return found


def marked(ordered: I64, few: I64) -> npt.NDArray[np.bool_]:
    """Which of ``ordered``, an ascending column, are among a ``few`` values, in any order."""
    found = np.zeros(len(ordered), dtype=np.bool_)
    found[members(np.searchsorted(ordered, few), np.searchsorted(ordered, few, side="right"))] = True
    return found


def members(begin: I64, end: I64) -> I64:
    """All numbers of the runs ``[begin, end)``, one run behind the other."""
    sizes = end - begin
    before = np.cumsum(sizes) - sizes
    found: I64 = np.repeat(begin - before, sizes)
    found += np.arange(len(found))
    return found
