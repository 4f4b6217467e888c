"""Who refers to what, in columns: a mapping from numbers to sets of numbers, made when it is asked."""

from collections.abc import Iterator, Mapping

import numpy as np

from hpbuild.code.model import I64

_NOTHING = frozenset[int]()


class Relation(Mapping[int, frozenset[int]]):
    """Rows (number, other) grouped by number, in ``range(count)``; what has no row is no key."""

    __slots__ = ("_count", "_first", "_keys", "_others")

    def __init__(self, numbers: I64, others: I64, count: int) -> None:
        order = np.argsort(numbers, kind="stable")
        self._others = others[order].data
        self._keys = np.bincount(numbers, minlength=count) > 0
        self._first = np.append(0, np.cumsum(np.bincount(numbers, minlength=count))).data
        self._count = count

    @property
    def present(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """By number, whether it is a key."""
        return self._keys

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
