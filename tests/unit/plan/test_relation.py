"""Rows of numbers as a mapping to sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.plan.relation import Relation

COUNT = 8
ROWS = st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, 1 << 30)), max_size=40)


def relation(rows: list[tuple[int, int]]) -> Relation:
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return Relation(table[:, 0], table[:, 1], COUNT)


@given(ROWS)
def test_it_is_the_mapping_that_grows_row_by_row(rows: list[tuple[int, int]]) -> None:
    """Also in the order of each set, on which an order of work may depend."""
    grown: dict[int, set[int]] = {}
    for number, other in rows:
        grown.setdefault(number, set()).add(other)
    found = relation(rows)
    assert dict(found) == {number: frozenset(others) for number, others in grown.items()}
    assert len(found) == len(grown)
    assert found.present.tolist() == [number in grown for number in range(COUNT)]
    for number, others in grown.items():
        assert list(found[number]) == list(frozenset(others))
    assert [found.of(number) for number in range(COUNT)] == [
        grown.get(number, set()) for number in range(COUNT)
    ]


def test_what_has_no_row_is_no_key() -> None:
    found = relation([(3, 5)])
    assert 3 in found
    assert [key in found for key in (2, -1, COUNT, "3", None)] == [False] * 5
    assert found.get(2) is None
    assert found.get(-1, frozenset()) == frozenset()


@given(ROWS, st.sets(st.integers(0, COUNT)))
def test_touching_are_those_with_a_marked_one_in_their_sets(
    rows: list[tuple[int, int]], chosen: set[int]
) -> None:
    found = relation([(number, other % COUNT) for number, other in rows])
    marked = np.zeros(COUNT + 1, dtype=np.bool_)
    marked[list(chosen)] = True
    for numbers in (np.arange(COUNT), np.arange(0, COUNT, 3), np.zeros(0, dtype=np.int64)):
        touching = {number for number in numbers.tolist() if any(marked[list(found.of(number))])}
        assert set(found.touching(numbers, marked).tolist()) == touching
