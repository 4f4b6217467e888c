"""Which short pieces are equal: exactly those with the same bytes, marks and size."""

import random

import numpy as np
import pytest

from hpbuild.match.rows import LONGEST, WORD, WORDS, Rows, keys

Piece = tuple[bytes, bytes]
"""Bytes and marks."""


def filled(words: int, pieces: list[Piece], parts: int = 1) -> Rows:
    """Rows of pieces that lie one behind the other, given in so many parts."""
    sizes = np.array([len(content) for content, _ in pieces], dtype=np.int64)
    rows, places = Rows(words, sizes), np.cumsum(sizes) - sizes
    data, marks = (np.frombuffer(b"".join(each[side] for each in pieces), dtype=np.uint8) for side in (0, 1))
    for some in np.array_split(places, parts):
        rows.fill(data, marks if marks.any() else None, some)
    return rows


def expected(pieces: list[Piece]) -> list[int]:
    first: dict[Piece, int] = {}
    return [first.setdefault(piece, number) for number, piece in enumerate(pieces)]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("parts", [1, 3, 100])
def test_the_first_of_those_that_are_equal(words: int, parts: int) -> None:
    source = random.Random(words)
    lowest = 1 if words == 1 else words * WORD // 2 + 1
    pieces = []
    for _ in range(400):
        size = source.randint(lowest, words * WORD)
        content = bytearray(size)
        content[source.randrange(size)] = source.choice((0, 0, 255))
        pieces.append((bytes(content), bytes(size - 1) + bytes([source.choice((0, 0, 1, 2))])))
    assert len(set(pieces)) < len(pieces)
    rows = filled(words, pieces, parts)
    assert rows.firsts().tolist() == expected(pieces)
    content = rows.content(np.array([7, 3])).tobytes()
    assert content == b"".join(pieces[row][0].ljust(words * WORD, b"\0") for row in (7, 3))


@pytest.mark.parametrize("changed", range(LONGEST))
def test_each_byte_counts(changed: int) -> None:
    content, marks = bytes(range(1, LONGEST + 1)), bytes(LONGEST)
    other = content[:changed] + b"\xff" + content[changed + 1 :]
    marked = marks[:changed] + b"\1" + marks[changed + 1 :]
    pieces = [(content, marks), (other, marks), (content, marked), (content, marks), (content, marked)]
    assert filled(WORDS[-1], pieces).firsts().tolist() == [0, 1, 2, 0, 2]


def test_zeros_at_the_end_count() -> None:
    pieces = [(b"ab\0", bytes(3)), (b"ab", bytes(2)), (b"ab\0\0", bytes(4)), (b"ab", bytes(2))]
    assert filled(1, pieces).firsts().tolist() == [0, 1, 2, 1]


def test_what_lies_behind_a_piece_does_not_count() -> None:
    rows = Rows(1, np.array([2, 2], dtype=np.int64))
    rows.fill(np.frombuffer(b"abcdefghabXXXXXX", dtype=np.uint8), None, np.array([0, 8]))
    assert rows.firsts().tolist() == [0, 0]


def test_rows_with_one_key_that_differ() -> None:
    """Made for it: the key takes in one word after the other."""
    one, other, last = np.array([7], np.uint64), np.array([8], np.uint64), np.array([9], np.uint64)
    sizes, zero = np.array([16], np.uint64), np.array([0], np.uint64)
    # What the key is before the last word, taken back from two keys of rows that end with 0.
    before = [_undone(int(keys([sizes, word, zero])[0])) for word in (one, other)]
    twin = last ^ np.uint64(before[0] ^ before[1])
    assert keys([sizes, one, last]) == keys([sizes, other, twin])
    pieces = [
        (word.tobytes() + end.tobytes(), bytes(16)) for word, end in ((one, last), (other, twin), (one, last))
    ]
    found = filled(2, [*pieces, pieces[1]]).firsts().tolist()
    assert found[:3] == [0, 1, 0]
    assert found[3] in (1, 3)


def _undone(key: int) -> int:
    """The state that a last word of 0 made this key of."""
    factor, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    inverse = pow(factor, -1, 1 << 64)
    state = key * inverse & mask
    state ^= state >> 32
    return state * inverse & mask


def test_nothing() -> None:
    rows = Rows(1, np.zeros(0, dtype=np.int64))
    rows.fill(np.zeros(0, dtype=np.uint8), None, np.zeros(0, dtype=np.int64))
    assert rows.firsts().tolist() == []
    assert rows.content(np.zeros(0, dtype=np.int64)).tolist() == []
