"""Which of very many addresses may lie in some runs, told by cells of the image without sorting them."""

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.model import I64

_CELL = 6
"""A cell is 64 bytes."""


class Cells:
    """The cells of an image of ``size`` bytes that the runs from ``starts`` to ``ends`` touch, these
    included."""

    __slots__ = ("_marked",)

    def __init__(self, size: int, starts: I64, ends: I64) -> None:
        self._marked = np.zeros((size >> _CELL) + 1, dtype=np.bool_)
        self.add(starts, ends)

    def add(self, starts: I64, ends: I64) -> None:
        """Mark those of further runs."""
        last = len(self._marked) - 1
        low, high = (np.clip(column >> _CELL, 0, last) for column in (starts, ends))
        self._marked[members(low, high + 1)] = True

    def rows(self, rvas: I64) -> I64:
        """The rows of those ``rvas`` that lie in a marked cell: all that lie in a run, and few others."""
        found: I64 = np.flatnonzero(self._marked.take(rvas >> _CELL, mode="clip"))
        return found
