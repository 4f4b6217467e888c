"""Arrays in one file behind their digest."""

import hashlib

import numpy as np
import pytest

from hpbuild.cache.container import MARK, decode, encode
from hpbuild.cache.forms import Array, Damaged

ARRAYS: list[Array] = [
    np.arange(5, dtype=np.int64),
    np.array([-1, 1 << 40], dtype=np.int64),
    np.array([1 << 33], dtype=np.uint64),
    np.zeros((0, 2), dtype=np.uint32),
    np.array([[True, False, True]]),
    np.array(2.5),
    np.arange(7, dtype=np.uint8),
]
DATA = encode("a key", ARRAYS)
HEADER = len(MARK) + 32


def sealed(rest: bytes) -> bytes:
    """A file with a right digest, whatever is behind it."""
    return MARK + hashlib.sha256(rest).digest() + rest


def with_header(text: bytes, rest: bytes = b"") -> bytes:
    return sealed(len(text).to_bytes(4, "little") + text + rest)


def test_arrays_come_back() -> None:
    found = decode(DATA, "a key")
    assert len(found) == len(ARRAYS)
    for array, other in zip(ARRAYS, found, strict=True):
        assert (array.dtype, array.shape) == (other.dtype, other.shape)
        assert np.array_equal(array, other)
        assert not other.flags.writeable


def test_the_order_of_bytes_and_of_columns_does_not_matter() -> None:
    plain = np.arange(6, dtype="<u4").reshape(2, 3)
    assert (
        encode("k", [plain.astype(">u4")]) == encode("k", [np.asfortranarray(plain)]) == encode("k", [plain])
    )


def test_small_numbers_take_half_the_room() -> None:
    small, large = np.arange(1000), np.arange(1000) - 1
    assert len(encode("k", [large])) - len(encode("k", [small])) == 4000
    assert decode(encode("k", [small]), "k")[0].dtype == np.int64


def test_fail_any_flipped_bit() -> None:
    for at in range(len(DATA)):
        damaged = bytearray(DATA)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(Damaged):
            decode(bytes(damaged), "a key")


def test_fail_any_cut_and_anything_behind() -> None:
    for size in range(len(DATA)):
        with pytest.raises(Damaged):
            decode(DATA[:size], "a key")
    with pytest.raises(Damaged):
        decode(DATA + b"\0", "a key")


def test_fail_the_file_of_another_key() -> None:
    with pytest.raises(Damaged):
        decode(DATA, "another key")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100000,
        b'{"arrays":[],"key":"k","more":1}',
        b'{"arrays":{},"key":"k"}',
        b'{"arrays":[1],"key":"k"}',
        b'{"arrays":[["|O","|O",[1]]],"key":"k"}',
        b'{"arrays":[["|V8","|V8",[1]]],"key":"k"}',
        b'{"arrays":[["<i8","<u2",[1]]],"key":"k"}',
        b'{"arrays":[["<u4","<i8",[1]]],"key":"k"}',
        b'{"arrays":[["<i8","<i8",[-1]]],"key":"k"}',
        b'{"arrays":[["<i8","<i8",[1.0]]],"key":"k"}',
        b'{"arrays":[["<i8","<i8",[true]]],"key":"k"}',
        b'{"arrays":[["<i8","<i8",[1099511627775,1099511627775]]],"key":"k"}',
        b'{"arrays":[["<i8","<i8",[9]]],"key":"k"}',
        b'{"arrays":[["<i8","<i8",[1,1,1,1,1]]],"key":"k"}',
        b'{"arrays":[["<i8","<i8",1]],"key":"k"}',
    ],
)
def test_fail_a_header_that_is_none(header: bytes) -> None:
    with pytest.raises(Damaged):
        decode(with_header(header, bytes(8)), "k")


def test_fail_a_header_that_is_longer_than_the_file() -> None:
    with pytest.raises(Damaged):
        decode(sealed((1 << 31).to_bytes(4, "little")), "k")


def test_the_damaged_headers_differ_from_a_good_one_in_what_they_say() -> None:
    good = with_header(b'{"arrays":[["<i8","<i8",[1]]],"key":"k"}', bytes(8))
    assert decode(good, "k")[0].tolist() == [0]


def test_fail_arrays_of_objects_are_not_written() -> None:
    with pytest.raises(TypeError):
        encode("k", [np.array([object()])])
