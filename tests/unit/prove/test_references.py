"""Order and membership of whole columns, against numpy's own."""

import numpy as np
import pytest

from hpbuild.prove.references import among, ascending, by_rows

CHANCE = np.random.default_rng(1)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(0, dtype=np.int64),
        np.array([7]),
        np.array([3, 1, 3, 0, 1]),
        CHANCE.integers(0, 1 << 31, 5000),
        CHANCE.integers(0, 50, 5000),
        CHANCE.integers(0, 1 << 31, 5000).astype(np.uint32),
        np.array([5, -1, 3, -1]),
        np.array([1 << 62, 0, 1 << 62, 5]),
    ],
    ids=["none", "one", "few", "many", "equal ones", "unsigned", "below 0", "large"],
)
def test_ascending_is_a_stable_sort(values: np.ndarray) -> None:
    assert ascending(values).tolist() == np.argsort(values, kind="stable").tolist()


def test_among() -> None:
    ordered = np.array([2, 3, 5, 5, 9])
    assert among(np.arange(11), ordered).tolist() == [value in (2, 3, 5, 9) for value in range(11)]
    assert among(np.arange(3), ordered[:0]).tolist() == [False] * 3
    assert among(ordered[:0], ordered).tolist() == []


@pytest.mark.parametrize("highest", [5, 1 << 31])
def test_by_rows(highest: int) -> None:
    columns = [CHANCE.integers(0, highest, 2000) for _ in range(3)]
    assert by_rows(*columns).tolist() == np.lexsort(columns[::-1]).tolist()
    assert by_rows(columns[0][:0], columns[1][:0]).tolist() == []
