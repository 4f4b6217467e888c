"""Short pieces of an image in columns of words: which of them are equal is seen without hashing any."""

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import I64, U8

WORD = 8
"""Bytes of a word."""
WORDS = (1, 2, 4)
"""So many words a row may have: a piece is in the shortest that holds it."""
LONGEST = WORDS[-1] * WORD
"""Bytes of the longest piece that a row holds."""
_KEPT = np.tril(np.full((LONGEST + 1, LONGEST), 0xFF, dtype=np.uint8), -1).view("<u8").T.copy()
"""By the number of a word in its row and the bytes of a piece: the bits of the word that are the piece's."""
_FACTOR, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
U64 = npt.NDArray[np.uint64]


class Rows:
    """Rows of as many words, filled from first to last: the bytes of a piece, the marks of its fields at
    their places, and its size."""

    __slots__ = ("_bytes", "_filled", "_marks", "_sizes")

    def __init__(self, words: int, sizes: I64) -> None:
        self._sizes, self._filled = sizes, 0
        self._bytes = np.zeros((words, len(sizes)), dtype=np.uint64)
        self._marks = np.zeros((words, len(sizes)), dtype=np.uint64)

    def fill(self, data: U8, marks: U8 | None, places: I64) -> None:
        """The next rows, with the pieces at ``places`` of ``data``, which are ascending. ``marks`` are those
        at the same places, None where there are none."""
        if not len(places):
            return
        rows = slice(self._filled, self._filled + len(places))
        self._filled = rows.stop
        for source, columns in ((data, self._bytes), (marks, self._marks)):
            if source is not None:
                _read(source, places, self._sizes[rows], columns[:, rows])

    def firsts(self) -> I64:
        """For each row the number of a row that is equal: the first of them. Where rows that differ have one
        key, some may be told to be like no other."""
        columns = [
            self._sizes.view(np.uint64),
            *self._bytes,
            *(marks for marks in self._marks if marks.any()),
        ]
        count = len(self._sizes)
        # The number of a row takes the place of the lowest bits of its key.
        bits = np.uint64(count.bit_length())
        order = keys(columns) >> bits << bits | np.arange(count, dtype=np.uint64)
        order.sort()
        rows = (order & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
        order >>= bits
        new = np.concatenate([np.ones(min(count, 1), dtype=np.bool_), order[1:] != order[:-1]])
        first = rows[new][np.cumsum(new) - 1]
        same = np.ones(count, dtype=np.bool_)
        for column in columns:
            same &= column.take(rows) == column.take(first)
        found = np.arange(count)
        found[rows[same]] = first[same]
        return found

    def content(self, chosen: I64) -> U8:
        """The bytes of the rows ``chosen``, one row behind the other."""
        return np.ascontiguousarray(self._bytes[:, chosen].T).reshape(-1).view(np.uint8)


def keys(columns: list[U64]) -> U64:
    """A number for each row that tells most rows that differ apart."""
    found = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        found ^= column
        found *= _FACTOR
        found ^= found >> _HALF
    return found * _FACTOR


def _read(data: U8, places: I64, sizes: I64, columns: U64) -> None:
    """The pieces at ``places`` into ``columns``, one for each word; zeros behind their ends."""
    missing = int(places[-1]) + len(columns) * WORD - len(data)
    if missing > 0:
        data = np.append(data, np.zeros(missing, dtype=np.uint8))
    words = np.ndarray(len(data) - WORD + 1, "<u8", data, 0, (1,))
    for number, column in enumerate(columns):
        np.bitwise_and(words[places + number * WORD], _KEPT[number][sizes], out=column)
