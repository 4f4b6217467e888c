"""Handlers are found through tables of read-only data, whatever way those lead."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.plan import descent
from hpbuild.plan.descent import Led, Ways, alone, together

Row = tuple[int, int]
"""A data field: the root of the handler that it names, and the atom that it points at; -1 for none."""


def laid_out(
    starts: list[list[Row]], atoms: list[list[Row]], tables: list[bool]
) -> tuple[Ways, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The fields, by start and by atom, and where those of each start begin and end."""
    runs, count = [*starts, *atoms], len(starts)
    rows = np.array([row for run in runs for row in run], dtype=np.int64).reshape(-1, 2)
    ends: npt.NDArray[np.int64] = np.cumsum([0, *map(len, runs)])
    low, high = ends[:-1], ends[1:]
    ways = Ways(
        roots=rows[:, 0],
        pointed=rows[:, 1],
        first=low[count:],
        last=high[count:],
        tables=np.array([*tables, False]),
    )
    return ways, low[:count], high[:count]


def expected(start: list[Row], atoms: list[list[Row]], tables: list[bool]) -> Led:
    """The same by definition: an atom leads to a handler when it names one, or points at one that does."""

    def reached(rows: list[Row]) -> set[int]:
        found, pending = set[int](), [atom for _, atom in rows]
        while pending:
            atom = pending.pop()
            if atom >= 0 and tables[atom] and atom not in found:
                found.add(atom)
                pending += [one for _, one in atoms[atom]]
        return found

    def named(rows: list[Row]) -> set[int]:
        return {root for root, _ in rows if root >= 0}

    every = reached(start)
    handlers = named(start).union(*(named(atoms[atom]) for atom in every))
    through = {
        atom for atom in every if named(atoms[atom]) or any(named(atoms[one]) for one in reached(atoms[atom]))
    }
    return frozenset(handlers), frozenset(through)


@st.composite
def images(draw: st.DrawFn) -> tuple[list[list[Row]], list[list[Row]], list[bool]]:
    """Starts, atoms and which of those are tables: circles, ways that meet, and fields that lead nowhere."""
    count = draw(st.integers(1, 9))
    fields = st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, count - 1)), max_size=3)
    return (
        draw(st.lists(fields, max_size=4)),
        draw(st.lists(fields, min_size=count, max_size=count)),
        draw(st.lists(st.booleans(), min_size=count, max_size=count)),
    )


@given(images())
def test_every_start_leads_where_its_fields_do(
    image: tuple[list[list[Row]], list[list[Row]], list[bool]],
) -> None:
    starts, atoms, tables = image
    ways, low, high = laid_out(starts, atoms, tables)
    wanted = [expected(start, atoms, tables) for start in starts]
    assert together(ways, low, high) == wanted
    assert [alone(ways, *bounds) for bounds in zip(low.tolist(), high.tolist(), strict=True)] == wanted


@pytest.mark.parametrize("length", [31, 32, 33, 5000])
def test_a_chain_that_no_compiler_makes_is_not_followed_in_step(length: int) -> None:
    atoms = [[(-1, number + 1)] for number in range(length - 1)]
    ways, low, high = laid_out([[(-1, 0)]], [*atoms, [(5, 0)]], [True] * length)
    wanted = frozenset({5}), frozenset(range(length))
    assert together(ways, low, high) == ([wanted] if length < 32 else None)
    assert alone(ways, 0, 1) == wanted


def test_fail_more_ways_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten starts that lead to one table with ten fields: ten in the first step, and a hundred in the next."""
    made = laid_out([[(-1, 0)]] * 10, [[(root, -1) for root in range(10)]], [True])
    wanted = frozenset(range(10)), frozenset({0})
    monkeypatch.setattr(descent, "_MOST", 110)
    assert together(*made) == [wanted] * 10
    monkeypatch.setattr(descent, "_MOST", 109)
    assert together(*made) is None


def test_what_is_no_table_is_not_followed() -> None:
    assert together(*laid_out([[(-1, 0)]], [[(5, -1)]], [False])) == [(frozenset(), frozenset())]


def test_no_starts() -> None:
    assert together(*laid_out([], [[(5, -1)]], [True])) == []
