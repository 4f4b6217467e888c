"""Who refers to what, in columns: a mapping from numbers to sets of numbers, made when it is asked."""

from collections.abc import Iterator, Mapping

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.model import I64

_NOTHING = frozenset[int]()


class Relation(Mapping[int, frozenset[int]]):
    """Rows (number, other) grouped by number, in ``range(count)``; what has no row is no key."""

    __slots__ = ("_count", "_first", "_keys", "_others")

    def __init__(self, numbers: I64, others: I64, count: int) -> None:
        if (numbers[1:] < numbers[:-1]).any():
            others = others[np.argsort(numbers, kind="stable")]
        self._others = np.ascontiguousarray(others).data
        sizes = np.bincount(numbers, minlength=count)
        self._keys = sizes > 0
        self._first = np.append(0, np.cumsum(sizes)).data
        self._count = count

    @property
    def present(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """By number, whether it is a key."""
        return self._keys

    def bounds(self) -> tuple[I64, I64]:
        """By number, the first and the last of its rows in the order in which they were given; 0 where it has
        none."""
        others, first = np.append(self._others, 0), np.asarray(self._first)
        low, high = others[first[:-1]], others[first[1:] - 1]
        return np.where(self._keys, low, 0), np.where(self._keys, high, 0)

    def touching(self, numbers: I64, marked: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> I64:
        """Those of ``numbers`` whose sets have one that is ``marked``, each once for every such."""
        first = np.asarray(self._first)
        low, high = first[numbers], first[numbers + 1]
        found: I64 = np.repeat(numbers, high - low)[marked[np.asarray(self._others)[members(low, high)]]]
        return found

    def of(self, number: int) -> frozenset[int]:
        """The set of ``number``, empty when it is no key."""
        low, high = self._first[number], self._first[number + 1]
        # By way of a set: the order of the result is then that of one that grew row by row.
        return frozenset(set(self._others[low:high].tolist())) if low < high else _NOTHING

    def __getitem__(self, number: int) -> frozenset[int]:
        if number not in self:
            raise KeyError(number)
        return self.of(number)

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or not 0 <= number < self._count:
            return False
        return bool(self._first[number] < self._first[number + 1])

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self._keys).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self._keys))
