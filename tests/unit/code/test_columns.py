"""Columns of numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.columns import among, distinct

NUMBERS = st.lists(st.integers(-3, 20))


@given(NUMBERS, NUMBERS)
def test_among_and_distinct(values: list[int], others: list[int]) -> None:
    ordered = distinct(np.array(others, dtype=np.int64))
    assert ordered.tolist() == sorted(set(others))
    assert among(np.array(values, dtype=np.int64), ordered).tolist() == [n in others for n in values]
