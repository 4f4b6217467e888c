"""Runs decoded in one go, against the decoder's own steps."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import Decoder

from hpbuild.code.model import I64, U8
from hpbuild.code.opcodes import Shape
from hpbuild.code.sweep import Sweep, sweep


def steps(code: bytes) -> list[tuple[int, int]]:
    """(place, length) of the instructions up to the first byte that is none."""
    found = []
    for insn in Decoder(64, code):
        if insn.code == 0:
            break
        found.append((insn.ip, insn.len))
    return found


def laid(runs: Sequence[bytes], gap: int) -> tuple[U8, I64, I64]:
    """The runs in a memory, behind ``gap`` other bytes each; where they begin and end."""
    ends = np.cumsum([gap + len(run) for run in runs], dtype=np.int64)
    memory = b"".join(b"\x0f" * gap + run for run in runs)
    sizes = np.array([len(run) for run in runs], dtype=np.int64)
    return np.frombuffer(memory, dtype=np.uint8), ends - sizes, ends


def instructions(swept: Sweep, run: int) -> list[tuple[int, int]]:
    """(place, length) of the instructions of a run."""
    rows = slice(swept.first[run], swept.first[run + 1])
    places = swept.at[rows] - swept.start[run]
    return list(zip(places.tolist(), swept.length[rows].tolist(), strict=True))


PARTS = ("c3", "90", "cc", "6690", "e8 00000000", "e8", "48b8", "06", "62f1", "660fc7", "f0", "66" * 16, "00")
short = st.binary(max_size=60)
chosen = st.lists(st.sampled_from(PARTS), max_size=8).map("".join).map(bytes.fromhex)


@given(st.lists(short | chosen | short.map(lambda code: b"\xe9" + code), max_size=8), st.sampled_from((0, 3)))
def test_borders_of_instructions(runs: list[bytes], gap: int) -> None:
    """Runs that lie end to end are decoded each on its own all the same."""
    memory, start, end = laid(runs, gap)
    swept = sweep(memory, start, end)
    assert swept.start.tolist() == start.tolist()
    for number, run in enumerate(runs):
        expected = steps(run)
        assert instructions(swept, number) == expected
        assert swept.stop[number] - start[number] == sum(length for _, length in expected)
        for row, (place, length) in enumerate(expected, int(swept.first[number])):
            assert swept.octets(row) == run[place : place + length]
            assert swept.owners(np.array([row])).tolist() == [number]


def test_much_that_is_no_instruction() -> None:
    """Takes no longer than other bytes."""
    runs = [b"\x06" * (1 << 20), bytes.fromhex("31c0c3")]
    swept = sweep(*laid(runs, 0))
    assert swept.stop.tolist() == [0, (1 << 20) + 3]
    assert instructions(swept, 1) == [(0, 2), (2, 1)]


def test_some_instructions_as_runs() -> None:
    swept = sweep(*laid([bytes.fromhex("31c0 50 58 c3"), bytes.fromhex("90 c3 cc")], 0))
    parts = swept.parts(np.array([1, 5]), np.array([3, 7]))
    assert [instructions(parts, number) for number in range(2)] == [[(0, 1), (1, 1)], [(0, 1), (1, 1)]]
    assert (parts.start.tolist(), parts.stop.tolist()) == ([2, 6], [4, 8])
    assert parts.shapes.shape.tolist() == [Shape.PLAIN, Shape.PLAIN, Shape.FINAL, Shape.INT3]
    assert not len(swept.parts(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).at)


def test_branch_targets() -> None:
    """From the first byte on, forwards and backwards, by one byte and by four."""
    code = bytes.fromhex("eb05 7480 e8 10000000 e9 f0ffffff 0f84 00010000")
    swept = sweep(np.frombuffer(code, dtype=np.uint8), np.array([0]), np.array([len(code)]))
    assert swept.shapes.shape.tolist() == [
        Shape.JUMP8,
        Shape.BRANCH8,
        Shape.CALL,
        Shape.JUMP32,
        Shape.BRANCH32,
    ]
    assert swept.branch_targets(np.arange(2)).tolist() == [7, 4 - 128]
    assert swept.branch_targets(np.arange(2, 5)).tolist() == [9 + 16, 14 - 16, 20 + 256]
