"""The one-to-one relation: what contradicts makes no pair, and what was made stays as it was made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.match.pairing import Level, Pairing, join_unique, once


def column(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def assert_one_to_one(pairing: Pairing) -> None:
    paired = np.flatnonzero(pairing.fixed >= 0)
    assert pairing.baseline[pairing.fixed[paired]].tolist() == paired.tolist()
    assert int((pairing.baseline >= 0).sum()) == len(paired)
    assert ((pairing.level > 0) == (pairing.fixed >= 0)).all()


def test_add_records_both_directions_and_the_level() -> None:
    pairing = Pairing(3, 4)
    assert pairing.add(column(0, 2), column(3, 1), Level.FORM) == 2
    assert pairing.fixed.tolist() == [3, -1, 1]
    assert pairing.baseline.tolist() == [-1, 2, -1, 0]
    assert pairing.level.tolist() == [Level.FORM, Level.NONE, Level.FORM]


def test_add_of_nothing() -> None:
    assert Pairing(0, 0).add(column(), column(), Level.FORM) == 0
    assert Pairing(2, 2).add(column(), column(), Level.FORM) == 0


@pytest.mark.parametrize(
    ("fixed", "baseline"),
    [((0, 0), (1, 2)), ((1, 2), (0, 0)), ((0, 0, 1), (0, 1, 1))],
    ids=["two for one fixed", "two for one baseline", "chain"],
)
def test_contradiction_in_one_call_makes_no_pair(fixed: tuple[int, ...], baseline: tuple[int, ...]) -> None:
    pairing = Pairing(3, 3)
    assert pairing.add(column(*fixed), column(*baseline), Level.EXPORT) == 0
    assert (pairing.fixed == -1).all()
    assert (pairing.baseline == -1).all()


def test_contradiction_spares_the_others() -> None:
    pairing = Pairing(4, 4)
    assert pairing.add(column(0, 0, 3), column(1, 2, 0), Level.EXPORT) == 1
    assert pairing.fixed.tolist() == [-1, -1, -1, 0]


def test_repetition_is_no_contradiction() -> None:
    pairing = Pairing(2, 2)
    assert pairing.add(column(1, 1), column(0, 0), Level.SYMBOL) == 1
    assert pairing.fixed.tolist() == [-1, 0]


def test_first_pair_stays_and_keeps_its_level() -> None:
    pairing = Pairing(3, 3)
    pairing.add(column(0), column(0), Level.SYMBOL)
    assert pairing.add(column(0, 1, 2), column(1, 0, 2), Level.ORDER) == 1
    assert pairing.fixed.tolist() == [0, -1, 2]
    assert pairing.level.tolist() == [Level.SYMBOL, Level.NONE, Level.ORDER]


def test_drop_frees_both_sides() -> None:
    pairing = Pairing(3, 3)
    pairing.add(column(0, 1), column(2, 0), Level.FORM)
    pairing.drop(column(0, 2))
    assert pairing.fixed.tolist() == [-1, 0, -1]
    assert pairing.baseline.tolist() == [1, -1, -1]
    assert pairing.level.tolist() == [Level.NONE, Level.FORM, Level.NONE]
    assert pairing.add(column(2), column(2), Level.ORDER) == 1


@given(st.lists(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 6)), max_size=12), max_size=5))
def test_always_one_to_one(calls: list[list[tuple[int, int]]]) -> None:
    pairing = Pairing(8, 7)
    total = 0
    for number, rows in enumerate(calls):
        before = pairing.fixed.copy()
        table = np.array(rows, dtype=np.int64).reshape(-1, 2)
        total += pairing.add(table[:, 0], table[:, 1], Level(1 + number % 8))
        assert_one_to_one(pairing)
        assert (pairing.fixed[before >= 0] == before[before >= 0]).all()
    assert total == int((pairing.fixed >= 0).sum())


def test_levels_go_from_strong_to_weak() -> None:
    strengths = [Level.SYMBOL, Level.EXPORT, Level.FORM, Level.REFERENCE, Level.SIMILARITY, Level.ORDER]
    assert strengths == sorted(strengths)
    assert Level.SYMBOL.label == "symbol"


def test_join_unique_takes_keys_that_occur_once_on_each_side() -> None:
    left, right = column(7, 8, 8, 9, 5), column(9, 7, 8, 6, 5, 5)
    rows = join_unique(left, right, np.arange(5), np.arange(6))
    assert sorted(zip(*(part.tolist() for part in rows), strict=True)) == [(0, 1), (3, 0)]


def test_join_unique_looks_at_the_given_rows_only() -> None:
    left, right = column(7, 8, 8, 9), column(9, 7, 8, 8)
    rows = join_unique(left, right, column(1, 3), column(0, 3))
    assert sorted(zip(*(part.tolist() for part in rows), strict=True)) == [(1, 3), (3, 0)]


def test_join_unique_of_nothing() -> None:
    rows = join_unique(column(1, 2), column(1, 2), column(), column(0))
    assert [part.tolist() for part in rows] == [[], []]


@given(st.lists(st.integers(0, 9)))
def test_once_is_alone(values: list[int]) -> None:
    assert once(column(*values)).tolist() == [values.count(value) == 1 for value in values]


@given(st.lists(st.integers(-5, 5)), st.lists(st.integers(-5, 5)))
def test_keys_that_both_sides_have_alone_join(left: list[int], right: list[int]) -> None:
    rows = column(*range(len(left)))[::-1], column(*range(len(right)))
    found = join_unique(column(*left), column(*right), *rows)
    expected = [
        (left.index(value), right.index(value))
        for value in sorted(set(left) & set(right))
        if left.count(value) == right.count(value) == 1
    ]
    assert list(zip(*(side.tolist() for side in found), strict=True)) == expected


def test_pairs_by_what_made_them() -> None:
    pairing = Pairing(4, 4)
    for number, level in enumerate((Level.FORM, Level.ORDER, Level.LAYOUT)):
        pairing.add_one(number, number, level)
    assert pairing.made_by((Level.LAYOUT, Level.FORM)).tolist() == [0, 2]
    pairing.drop(column(2))
    assert pairing.made_by((Level.LAYOUT, Level.FORM)).tolist() == [0]


def test_fragments_that_are_free_pair_without_a_look() -> None:
    pairing = Pairing(3, 3)
    assert pairing.add_distinct(column(2, 0), column(0, 1), Level.FORM) == 2
    assert_one_to_one(pairing)
    assert pairing.fixed.tolist() == [1, -1, 0]
