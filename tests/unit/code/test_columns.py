"""Columns of numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.columns import among, distinct, marked, picked

NUMBERS = st.lists(st.integers(-3, 20))


@given(NUMBERS, NUMBERS)
def test_among_and_distinct(values: list[int], others: list[int]) -> None:
    ordered = distinct(np.array(others, dtype=np.int64))
    assert ordered.tolist() == sorted(set(others))
    assert among(np.array(values, dtype=np.int64), ordered).tolist() == [n in others for n in values]


@given(st.lists(st.tuples(st.integers(-3, 20), st.booleans())))
def test_picked(rows: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in rows], dtype=np.int16)
    found = picked(values, np.array([chosen for _, chosen in rows], dtype=np.bool_))
    assert found.tolist() == [value for value, chosen in rows if chosen]
    assert found.dtype == values.dtype


@given(NUMBERS, NUMBERS)
def test_marked(values: list[int], few: list[int]) -> None:
    found = marked(np.array(sorted(values), dtype=np.int64), np.array(few, dtype=np.int64))
    assert found.tolist() == [n in few for n in sorted(values)]
