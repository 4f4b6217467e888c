"""Which runs are told to be plain; that they are cut as others is tested with ``cutting``."""

import numpy as np
import pytest

from hpbuild.code.cutter import CODE, PADDING, Cutter, Told
from hpbuild.code.sweep import sweep

START = 0x1000


def cut(code: str, named: bool = True) -> Told:
    """What is told of one run."""
    octets = bytes.fromhex(code)
    memory = np.frombuffer(bytes(START) + octets, dtype=np.uint8)
    swept = sweep(memory, np.array([START]), np.array([START + len(octets)]))
    return Cutter(swept, np.array([named]), np.ones(1, dtype=np.bool_)).cut()


def parts(told: Told) -> list[tuple[int, int, int]]:
    return list(zip(told.start.tolist(), told.end.tolist(), told.kind.tolist(), strict=True))


@pytest.mark.parametrize(
    "code",
    [
        "ffe0 c3",  # may read a table
        "c3 0000000000000000 c3",
        "0000 c3",
        "31c0 cd29",
        "f390 c3",
        "c3" * 16 * 65,  # too many
    ],
)
def test_not_plain(code: str) -> None:
    told = cut(code)
    assert (parts(told), told.plain.tolist(), told.settled.tolist()) == ([], [False], [False])


def test_plain() -> None:
    told = cut("7401 c3 c3 cccc 90 c3", named=False)
    assert told.plain.tolist() == told.settled.tolist() == [True]
    assert parts(told) == [
        (START, START + 4, CODE),
        (START + 4, START + 7, PADDING),
        (START + 7, START + 8, CODE),
    ]
    assert (told.first.tolist(), told.behind.tolist()) == ([0, 3, 6], [3, 6, 7])
    assert parts(cut("cc cc")) == [(START, START + 1, CODE), (START + 1, START + 2, PADDING)]
    assert parts(cut("cc cc", named=False)) == [(START, START + 2, PADDING)]


@pytest.mark.parametrize("jump", ["e9 05000000", "e9 f6ffffff", "ff25 05000000", "ff25 f6ffffff"])
def test_a_jump_that_a_cut_would_make_leave_its_run(jump: str) -> None:
    """Alone it would be a thunk behind the cut."""
    size = len(bytes.fromhex(jump))
    told = cut("c3" + "cc" * 15 + jump + "cc" * (32 - size))
    assert told.plain.tolist() == [True]
    assert told.settled.tolist() == [False]
