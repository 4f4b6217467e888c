"""Which runs are told to be plain; that they are cut as others is tested with ``cutting``."""

import numpy as np
import pytest

from hpbuild.code.cutter import CODE, PADDING, Cutter
from hpbuild.code.sweep import sweep

START = 0x1000


def cut(code: str, named: bool = True) -> list[tuple[int, int, int]] | None:
    """The parts of one run; None when it is not plain."""
    swept = sweep([bytes.fromhex(code)])
    cutter = Cutter(swept, np.array([START]), np.array([named]))
    rows, plain = cutter.cut(np.ones(1, dtype=np.bool_))
    return [(start, end, kind) for start, end, kind in rows.T.tolist()] if plain[0] else None


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
    assert cut(code) is None


def test_plain() -> None:
    assert cut("7401 c3 c3 cccc 90 c3", named=False) == [
        (START, START + 4, CODE),
        (START + 4, START + 7, PADDING),
        (START + 7, START + 8, CODE),
    ]
    assert cut("cc cc") == [(START, START + 1, CODE), (START + 1, START + 2, PADDING)]
    assert cut("cc cc", named=False) == [(START, START + 2, PADDING)]
