"""All fragments of functions, of many functions at once."""

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.model import I64, Fragments


class Wholes:
    """Answers for the functions of one program. Nearly all are one fragment: only the others are kept."""

    __slots__ = ("_owners", "_parts")

    def __init__(self, table: Fragments) -> None:
        parts = np.flatnonzero(table.root != np.arange(len(table)))
        self._parts = parts[np.argsort(table.root[parts], kind="stable")]
        self._owners = table.root[self._parts]

    def of(self, roots: I64) -> I64:
        """The fragments of the functions with ``roots``, data inside of them too."""
        low, high = self._owners.searchsorted(roots), self._owners.searchsorted(roots, side="right")
        return np.concatenate([roots, self._parts[members(low, high)]])
