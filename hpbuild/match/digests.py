"""Digests of all pieces of an image, code or data: their bytes without fields, and what the fields are.

Most pieces are short, and most short ones are there again and again: one of those that are equal is hashed.
"""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from hpbuild.code.model import I64, U8
from hpbuild.dataclass import dataclass
from hpbuild.match.masked import Masked
from hpbuild.match.rows import LONGEST, WORD, WORDS, Rows

_BATCH = 1 << 20
"""Bytes looked at in one go: they fit into a processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Runs of an image, ascending and disjoint. ``first`` and ``last`` delimit each one's rows in ``sites``,
    the places of all fields, ascending. ``marks`` tell what kind of field each is: never 0. ``tails`` are the
    bytes that are hashed behind those of a piece, ``tail`` for each of its fields: they tell all of its
    fields' places in it and their kinds."""

    start: I64
    end: I64
    first: I64
    last: I64
    sites: I64
    marks: U8
    tails: U8
    tail: int

    def __len__(self) -> int:
        return len(self.start)


def digests(masked: Masked, pieces: Pieces) -> I64:
    """The BLAKE2b digest, of 64 bits, of each piece and its tails."""
    found = np.zeros(len(pieces), dtype=np.int64)
    sizes = pieces.end - pieces.start
    kinds: U8 = np.array([sizes > words * WORD for words in WORDS]).sum(axis=0, dtype=np.uint8)
    if (pieces.sites[1:] == pieces.sites[:-1]).any():
        kinds[:] = len(WORDS)  # a row has room for one mark at a place
    short = [np.flatnonzero(kinds == kind) for kind in range(len(WORDS))]
    rows = [Rows(words, sizes[numbers]) for words, numbers in zip(WORDS, short, strict=True)]
    for batch in _batches(pieces):
        if sizes[batch.start] > _BATCH:
            found[batch.start] = _large(masked, pieces, batch.start)
            continue
        low, high = int(pieces.start[batch.start]), int(pieces.end[batch.stop - 1])
        data, marks = masked[low : high + LONGEST], _marks(pieces, batch)
        numbers = np.arange(batch.start, batch.stop)
        for kind, some in enumerate(rows):
            some.fill(data, marks, pieces.start[numbers[kinds[batch] == kind]] - low)
        long = numbers[kinds[batch] == len(WORDS)]
        found[long] = _hashed(data, pieces.start[long] - low, pieces, long)
    for numbers, some in zip(short, rows, strict=True):
        firsts = some.firsts()
        once = np.flatnonzero(firsts == np.arange(len(firsts)))
        content = some.content(once)
        places = np.arange(len(once)) * (len(content) // max(len(once), 1))
        found[numbers[once]] = _hashed(content, places, pieces, numbers[once])
        found[numbers] = found[numbers[firsts]]
    return found


def _batches(pieces: Pieces) -> Iterator[slice]:
    """The numbers of pieces that lie close together, or of one that is large."""
    window, large = pieces.start // _BATCH, pieces.end - pieces.start > _BATCH
    cuts = np.flatnonzero((window[1:] != window[:-1]) | large[1:] | large[:-1]) + 1
    bounds = [0, *cuts.tolist(), len(pieces)] if len(pieces) else []
    yield from map(slice, bounds, bounds[1:])


def _marks(pieces: Pieces, batch: slice) -> U8 | None:
    """The marks of fields at their places from the first piece on, None where there is no field."""
    rows = slice(int(pieces.first[batch.start]), int(pieces.last[batch.stop - 1]))
    if rows.start >= rows.stop:
        return None
    low, high = int(pieces.start[batch.start]), int(pieces.end[batch.stop - 1])
    found = np.zeros(high + LONGEST - low, dtype=np.uint8)
    found[pieces.sites[rows] - low] = pieces.marks[rows]
    return found


def _large(masked: Masked, pieces: Pieces, number: int) -> int:
    """The digest of one piece, of which there is never a copy as a whole: it may be most of an image."""
    start, end = int(pieces.start[number]), int(pieces.end[number])
    state = blake2b(digest_size=8)
    for at in range(start, end, _BATCH):
        state.update(masked[at : min(at + _BATCH, end)].data)
    low, high = int(pieces.first[number]) * pieces.tail, int(pieces.last[number]) * pieces.tail
    state.update(pieces.tails.data[low:high])
    return int.from_bytes(state.digest(), "little", signed=True)


def _hashed(data: U8, places: I64, pieces: Pieces, numbers: I64) -> I64:
    """The digests of the pieces ``numbers``, whose bytes are at ``places`` of ``data``."""
    ends = places + pieces.end[numbers] - pieces.start[numbers]
    low, high = pieces.first[numbers] * pieces.tail, pieces.last[numbers] * pieces.tail
    rows = zip(places.tolist(), ends.tolist(), low.tolist(), high.tolist(), strict=True)
    view, tails, fresh = data.data, pieces.tails.data, blake2b(digest_size=8).copy
    found = bytearray()
    for begin, end, first, last in rows:
        state = fresh()
        state.update(view[begin:end])
        if first < last:
            state.update(tails[first:last])
        found += state.digest()
    return np.frombuffer(found, dtype="<i8")
