"""Bytes of a file in pieces are as good as bytes."""

import hashlib
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.pe.file_bytes import FileBytes

PIECES = st.lists(st.binary(max_size=40), max_size=6)
PLACES = st.none() | st.integers(-300, 300)


def joined(pieces: list[bytes]) -> FileBytes:
    return FileBytes.joined([memoryview(piece) for piece in pieces])


@given(PIECES, PLACES, PLACES)
def test_slices_are_those_of_bytes(pieces: list[bytes], start: int | None, end: int | None) -> None:
    data, whole = joined(pieces), b"".join(pieces)
    assert (len(data), data.whole(), data[start:end]) == (len(whole), whole, whole[start:end])


@given(PIECES, st.integers(0, 300), st.integers(0, 300) | st.none())
def test_pieces_and_digest_of_a_part(pieces: list[bytes], start: int, end: int | None) -> None:
    data, part = joined(pieces), b"".join(pieces)[start:end]
    assert b"".join(data.pieces(start, end)) == part
    assert data.digest(start, end).raw == hashlib.sha256(part).digest()


@given(PIECES)
def test_single_bytes_are_those_of_bytes(pieces: list[bytes]) -> None:
    data, whole = joined(pieces), b"".join(pieces)
    assert [data[at] for at in range(-len(whole), len(whole))] == list(whole + whole)
    for outside in (len(whole), -len(whole) - 1):
        with pytest.raises(IndexError):
            data[outside]


@given(PIECES, st.integers(0, 250))
def test_fields_are_unpacked_or_refused_as_of_bytes(pieces: list[bytes], at: int) -> None:
    data, whole = joined(pieces), b"".join(pieces)
    if at + 6 <= len(whole):
        assert data.unpack("<HI", at) == struct.unpack_from("<HI", whole, at)
        return
    with pytest.raises(struct.error):
        data.unpack("<HI", at)


@given(PIECES, PIECES)
def test_equal_is_what_has_equal_bytes(one: list[bytes], two: list[bytes]) -> None:
    same = b"".join(one) == b"".join(two)
    assert (
        (joined(one) == joined(two))
        is (joined(one) == b"".join(two))
        is (b"".join(one) == joined(two))
        is same
    )
    assert joined(one) == b"".join(one) != joined([*one, b"x"])
    assert joined(one) != "text"


def test_a_difference_far_behind_is_seen() -> None:
    long = bytes(5 << 20)
    assert joined([long[:7], long[7:]]) == long
    assert joined([long[:-1], b"x"]) != long


def test_large_parts_are_digested_piece_by_piece() -> None:
    long = bytes(range(256)) * 4000
    data = joined([long[:100_001], long[100_001:]])
    assert data.digest().raw == hashlib.sha256(long).digest()
    assert data.digest(5, 900_000).raw == hashlib.sha256(long[5:900_000]).digest()


def test_bytes_in_one_piece_are_never_copied() -> None:
    data = b"some bytes"
    assert FileBytes.of(data).whole() is data
    assert FileBytes.of(FileBytes.of(data)).whole() is data
    assert FileBytes.of(b"").whole() == b""


def test_a_part_of_other_bytes_is_no_more_than_that_part() -> None:
    data = FileBytes.joined([memoryview(b"not for you")[4:7]])
    assert (data.whole(), data[:], len(data)) == (b"for", b"for", 3)


def test_equal_bytes_are_equal_in_any_pieces_and_have_no_hash() -> None:
    """To hash them would take all of a large file, and those of equal ones would differ."""
    assert joined([b"a", b"bc"]) == FileBytes.of(b"abc")
    with pytest.raises(TypeError):
        hash(FileBytes.of(b"abc"))


def test_nothing_can_be_changed_and_nobody_goes_byte_by_byte() -> None:
    data = FileBytes.joined([memoryview(bytearray(b"abc")), memoryview(b"def")])
    for piece in data.pieces():
        with pytest.raises(TypeError):
            piece[0] = 1
    for slow in (iter, bytearray, list):
        with pytest.raises(TypeError):
            slow(data)
    with pytest.raises(ValueError, match="in their order"):
        data[::2]


def test_they_are_the_same_in_another_process() -> None:
    data = joined([b"ab", b"", b"cd"])
    copy = pickle.loads(pickle.dumps(data))
    assert (copy, copy.whole()) == (data, b"abcd")
