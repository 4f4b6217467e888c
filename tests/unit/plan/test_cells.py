"""Addresses near runs, told by cells."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.plan.cells import Cells

SIZE = 1000
RUNS = st.lists(st.tuples(st.integers(-200, SIZE + 200), st.integers(0, 100)), max_size=5)


def column(values: list[int]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array(values, dtype=np.int64)


@given(RUNS, RUNS, st.lists(st.integers(-300, SIZE + 300), max_size=40))
def test_nothing_in_a_run_is_missed(
    runs: list[tuple[int, int]], more: list[tuple[int, int]], rvas: list[int]
) -> None:
    cells = Cells(SIZE, column([start for start, _ in runs]), column([start + size for start, size in runs]))
    cells.add(column([start for start, _ in more]), column([start + size for start, size in more]))
    found = set(cells.rows(column(rvas)).tolist())
    for row, rva in enumerate(rvas):
        if any(start <= rva <= start + size for start, size in (*runs, *more)):
            assert row in found


def test_what_is_far_from_all_runs_is_left_out() -> None:
    cells = Cells(SIZE, column([128]), column([200]))
    assert cells.rows(column([0, 127, 128, 255, 256, SIZE])).tolist() == [2, 3]
