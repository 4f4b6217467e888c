"""What runs are made of, told without a decoder."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.outline import Outline, outline
from hpbuild.pe.image import Image

TEXT = 0x1000
JUMP = "e9 00100000"


@pytest.fixture(scope="module")
def blank(build: Callable[..., Image]) -> Image:
    return build(text=bytes(0x1000))


def told(image: Image, codes: Sequence[bytes], named: Sequence[bool]) -> tuple[Outline, list[int]]:
    """The outline of runs from TEXT on, and where they begin, and the last ends."""
    octets = b"".join(codes)
    memory = image.memory.copy()
    memory[TEXT : TEXT + len(octets)] = np.frombuffer(octets, dtype=np.uint8)
    bounds = np.cumsum([TEXT, *map(len, codes)])
    found = outline(replace(image, memory=memory), bounds[:-1], bounds[1:], np.array(named, dtype=np.bool_))
    return found, bounds.tolist()


def one(image: Image, code: str, named: bool = False) -> tuple[bool, bool, list[list[int]], list[list[int]]]:
    found, _ = told(image, [bytes.fromhex(code)], [named])
    pieces, int3 = (found.pieces - TEXT).tolist(), (found.int3 - TEXT).tolist()
    return bool(found.filler[0]), bool(found.jumps[0]), pieces, int3


def test_filler(blank: Image) -> None:
    assert one(blank, "cc") == (True, False, [], [])
    assert one(blank, "cccc") == (True, False, [], [])
    assert one(blank, "cccc", named=True) == (False, False, [], [[0, 2]])


@pytest.mark.parametrize("code", [JUMP, "cc" + JUMP, JUMP + "cccc", "cc" * 7 + JUMP + "cc" * 9])
def test_lone_jumps(blank: Image, code: str) -> None:
    assert one(blank, code)[:2] == (False, True)
    found, _ = told(blank, [bytes.fromhex(code)], [False])
    assert found.body.tolist() == [TEXT + bytes.fromhex(code).index(0xE9)]


def test_no_lone_jumps(blank: Image) -> None:
    """What is named is code; a jump that stays in the run; more than a jump; less."""
    assert one(blank, "cc" + JUMP, named=True) == (False, False, [[1, 6]], [[0, 1]])
    assert one(blank, "e9 00000000 cc") == (False, False, [[0, 5]], [[5, 6]])
    assert one(blank, JUMP + "c3") == (False, False, [[0, 6]], [])
    assert one(blank, "e9 001000") == (False, False, [[0, 4]], [])


def test_much_int3_between_other_bytes(blank: Image) -> None:
    """Three may be an operand."""
    assert one(blank, "31c0c3 cccccc c3 cccccccc c3 cc") == (
        False,
        False,
        [[0, 7], [11, 12]],
        [[7, 11], [12, 13]],
    )


runs = st.lists(
    st.tuples(
        st.lists(st.sampled_from((b"\xcc", b"\xcc" * 5, b"\xc3")), min_size=1, max_size=8), st.booleans()
    ),
    min_size=1,
    max_size=6,
)


@given(runs)
def test_pieces_and_int3_are_all_of_the_others(blank: Image, runs: list[tuple[list[bytes], bool]]) -> None:
    codes = [b"".join(parts) for parts, _ in runs]
    found, bounds = told(blank, codes, [named for _, named in runs])
    covered = sorted([*found.pieces.tolist(), *found.int3.tolist()])
    rest = [[bounds[n], bounds[n + 1]] for n in np.flatnonzero(~found.filler & ~found.jumps).tolist()]
    joined: list[list[int]] = []
    for low, high in covered:
        if joined and joined[-1][1] == low and low not in bounds:
            joined[-1][1] = high
        else:
            joined.append([low, high])
    assert joined == rest
    octets = b"".join(codes)
    for low, high in found.int3.tolist():
        assert octets[low - TEXT : high - TEXT] == b"\xcc" * (high - low)
    for number in np.flatnonzero(found.filler).tolist():
        assert set(codes[number]) == {0xCC}
