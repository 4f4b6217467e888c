"""Handlers are found through tables of read-only data, whatever way those lead."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.plan.descent import Led, Ways, led

Row = tuple[int, int]
"""A data field: the root of the handler that it names, and the atom that it points at; -1 for none."""


def followed(starts: list[list[Row]], atoms: list[list[Row]], tables: list[bool]) -> list[Led]:
    """``led`` of fields, by start and by atom."""
    runs = [*starts, *atoms]
    rows = np.array([row for run in runs for row in run], dtype=np.int64).reshape(-1, 2)
    ends: npt.NDArray[np.int64] = np.cumsum([0, *map(len, runs)])
    low, high = ends[:-1], ends[1:]
    count = len(starts)
    ways = Ways(
        roots=rows[:, 0],
        pointed=rows[:, 1],
        first=low[count:],
        last=high[count:],
        tables=np.array([*tables, False]),
    )
    return led(ways, low[:count], high[:count])


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
    assert followed(starts, atoms, tables) == [expected(start, atoms, tables) for start in starts]


@given(images())
def test_one_after_the_other_finds_what_all_in_step_find(
    image: tuple[list[list[Row]], list[list[Row]], list[bool]],
) -> None:
    """A chain that is too long to go in step makes no difference to the other starts."""
    starts, atoms, tables = image
    count = len(atoms)
    chain = [[(-1, count + number + 1)] for number in range(40)]
    long = [*atoms, *chain, [(7, -1)]]
    found = followed([*starts, [(-1, count)]], long, [*tables, *[True] * 41])
    assert found[:-1] == followed(starts, atoms, tables)
    assert found[-1] == (frozenset({7}), frozenset(range(count, count + 41)))


@pytest.mark.parametrize("length", [31, 32, 33])
def test_the_length_of_a_chain_does_not_matter(length: int) -> None:
    atoms = [[(-1, number + 1)] for number in range(length - 1)]
    found = followed([[(-1, 0)]], [*atoms, [(5, 0)]], [True] * length)
    assert found == [(frozenset({5}), frozenset(range(length)))]


def test_what_is_no_table_is_not_followed() -> None:
    assert followed([[(-1, 0)]], [[(5, -1)]], [False]) == [(frozenset(), frozenset())]


def test_no_starts() -> None:
    assert followed([], [[(5, -1)]], [True]) == []
