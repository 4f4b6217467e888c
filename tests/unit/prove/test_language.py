"""How long language data is."""

import struct

import numpy as np
import pytest

from hpbuild.prove.language import language_size, scope_words
from hpbuild.prove.space import Space

START = 0x2000


def _space(data: bytes) -> Space:
    memory = np.frombuffer(data + bytes(64), dtype=np.uint8)
    return Space(name="test", memory=memory, start=START, image_base=0, relocated=np.zeros(0, dtype=np.int64))


def _scopes(*scopes: tuple[int, int, int, int]) -> bytes:
    return struct.pack("<I", len(scopes)) + b"".join(struct.pack("<IIII", *scope) for scope in scopes)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (_scopes((0x1000, 0x1010, 1, 0x1020)), 20),
        (_scopes((0x1000, 0x1010, 0x1500, 0), (0x1010, 0x1011, 1, 0x1020)), 36),
        (_scopes((0x1010, 0x1010, 1, 0)), 4),  # an empty scope: no scope table
        (_scopes((0x10, 0x1010, 1, 0)), 4),  # in the headers
        (_scopes((0x1000, 0x1010, 0x7FFFFFFF, 0)), 4),  # a filter outside the space
        (struct.pack("<I", 0), 4),
        (struct.pack("<I", 4096), 0),  # more scopes than bytes
        (bytes.fromhex("ffff0104" "00000000"), 8),  # LSDA without types: 4 bytes of call sites
        (bytes.fromhex("ff9b0d0108" "0001020300040506" "11223344"), 16),  # LSDA with types, distance 13
        (bytes.fromhex("ffff0180808080808080"), 0),  # a number without end
        (bytes.fromhex("ffff01ffff03"), 0),  # a table larger than what is there
        (bytes.fromhex("38000000"), 4),  # a stack cookie's place
        (bytes.fromhex("3c000000" "d0ffffff" "20000000"), 12),  # in an aligned frame
        (struct.pack("<II", START + 4, 0x19930522), 4),  # the RVA of a FuncInfo
        (struct.pack("<II", START + 4, 0x19930523), 0),  # the RVA of something else
        (struct.pack("<IBIII", START + 4, 0x18, START, START, START), 4),  # the RVA of a FuncInfo4
        (struct.pack("<IBI", START + 4, 0x20, START), 4),  # one with a state map alone
        (struct.pack("<IBBII", START + 4, 0x0C, 0x02, START, START), 4),  # with a number of one byte
        (struct.pack("<IBHII", START + 4, 0x0C, 0x0101, START, START), 4),  # of two bytes
        (struct.pack("<IBIII", START + 4, 0x98, START, START, START), 0),  # its reserved bit is set
        (struct.pack("<IBIII", START + 4, 0x18, START, 0x10, START), 0),  # its tables are outside
        (struct.pack("<IBIII", START + 4, 0x18, START, START, 0x7000), 0),
    ],
)  # fmt: skip
def test_size(data: bytes, size: int) -> None:
    assert language_size(_space(data), START) == size


def test_scope_words() -> None:
    assert scope_words(_space(_scopes((0x1000, 0x1010, 1, 0x1020))), START) == [0x1000, 0x1010, 1, 0x1020]


def test_outside() -> None:
    space = _space(b"")
    assert language_size(space, space.end) == 0
    assert language_size(space, START - 8) == 0
