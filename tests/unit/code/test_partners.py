"""Rows found again by their sizes."""

import numpy as np
import pytest

from hpbuild.code.partners import partners
from hpbuild.code.survey import Rows


def rows_of(*sizes: int) -> Rows:
    end = np.cumsum(np.array(sizes, dtype=np.int64))
    return Rows(start=end - sizes, end=end, unwind=np.zeros_like(end))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((), (), []),
        ((), (3, 4), [-1, -1]),
        ((3,), (), []),
        ((3,), (3,), [0]),
        ((3, 4, 5), (3, 9, 5), [0, -1, 2]),
        ((3, 4, 5, 6, 7), (4, 5, 6, 7), [1, 2, 3, 4]),
        ((3, 4, 5, 6, 7), (9, 3, 4, 5, 6, 7), [-1, 0, 1, 2, 3, 4]),
        ((1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4, 9, 5, 6, 7, 8), [0, 1, 2, 3, -1, 4, 5, 6, 7]),
    ],
)
def test_partners(old: tuple[int, ...], new: tuple[int, ...], expected: list[int]) -> None:
    assert partners(rows_of(*old), rows_of(*new)).tolist() == expected
