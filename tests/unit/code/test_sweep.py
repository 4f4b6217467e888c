"""Runs decoded in one go, against the decoder's own steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import Decoder

from hpbuild.code.opcodes import Shape
from hpbuild.code.sweep import sweep


def steps(code: bytes) -> list[tuple[int, int]]:
    """(place, length) of the instructions up to the first byte that is none."""
    found = []
    for insn in Decoder(64, code):
        if insn.code == 0:
            break
        found.append((insn.ip, insn.len))
    return found


short = st.binary(max_size=60)
filled = st.lists(st.one_of(short, st.integers(40, 1200).map(lambda size: b"\xcc" * size)), max_size=5)


@given(st.lists(st.one_of(short, filled.map(b"".join), short.map(lambda code: b"\xe9" + code)), max_size=6))
def test_borders_of_instructions(runs: list[bytes]) -> None:
    swept = sweep(runs)
    for number, run in enumerate(runs):
        first, last = swept.first[number], swept.first[number + 1]
        begin, end = int(swept.place[number]), int(swept.place[number + 1])
        places = (swept.at[first:last] - begin).tolist()
        expected = steps(run)
        assert list(zip(places, swept.length[first:last].tolist(), strict=True)) == expected
        assert swept.code[begin:end].tobytes() == run[: sum(length for _, length in expected)]
        for row, (place, length) in enumerate(expected, int(first)):
            assert swept.octets(row) == run[place : place + length]
    assert len(swept.code) == swept.place[-1] + 16


@pytest.mark.parametrize("last", ["", "b8", "48b8", "c3", "e8cc", "6a"])
def test_instructions_that_end_in_filler(last: str) -> None:
    """What begins in front of int3 may take some of it."""
    run = bytes(1100).replace(b"\0", b"\x90") + bytes.fromhex(last) + b"\xcc" * 200 + bytes.fromhex("31c0c3")
    swept = sweep([run, bytes.fromhex("e9 00000000"), bytes.fromhex("e9 000000")])
    assert list(zip(swept.at.tolist(), swept.length.tolist(), strict=True)) == [*steps(run), (len(run), 5)]


def test_branch_targets() -> None:
    """From the first byte on, forwards and backwards, by one byte and by four."""
    swept = sweep([bytes.fromhex("eb05"), bytes.fromhex("7480 e8 10000000 e9 f0ffffff 0f84 00010000")])
    assert swept.shapes.shape.tolist() == [
        Shape.JUMP8,
        Shape.BRANCH8,
        Shape.CALL,
        Shape.JUMP32,
        Shape.BRANCH32,
    ]
    assert swept.branch_targets(swept.first[[0, 1]]).tolist() == [7, 4 - 128]
    rows = swept.first[1] + np.arange(1, 4)
    assert swept.branch_targets(rows).tolist() == [9 + 16, 14 - 16, 20 + 256]
