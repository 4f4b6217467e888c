"""What lines look like as a set: every condition with values that meet all the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.match.line_pattern import (
    LARGEST_LINE,
    MIN_FUNCTIONS,
    MIN_RUN,
    MIN_VALUES,
    fits,
    in_order,
    like_lines,
    moves_along,
    supported,
)
from hpbuild.match.line_sites import Site

GOOD = ((103, 119, 131), (205, 226, 257), (301, 344))
"""Lines by function."""


def site(fragment: int, old: int, new: int) -> Site:
    return Site(
        fragment=fragment, fixed=16 * old, baseline=16 * old, new=new, old=old, position=2, call=16 * old + 4,
        callee=0x9000, addresses=(),
    )  # fmt: skip


def moved(functions: tuple[tuple[int, ...], ...], distance: int = 7) -> list[Site]:
    """All lines of some functions moved by one distance."""
    return [site(number, old, old + distance) for number, values in enumerate(functions) for old in values]


def spread(*values: int) -> list[Site]:
    """Eight values in three functions."""
    return moved((values[:3], values[3:6], values[6:]))


def test_lines_are_like_lines() -> None:
    assert like_lines([moved(GOOD)])
    assert like_lines([moved(GOOD, 0)]), "of a file that did not change"
    assert like_lines([moved(GOOD, -7)])


def test_few_values_are_not() -> None:
    assert sum(len(values) for values in GOOD) == MIN_VALUES
    assert not like_lines([moved((*GOOD[:2], GOOD[2][:1]))])
    assert not like_lines([moved((GOOD[0], GOOD[1], (301, 301)))]), "a value counts once"


def test_few_functions_are_not() -> None:
    assert len(GOOD) == MIN_FUNCTIONS
    assert not like_lines([moved((GOOD[0] + GOOD[1], GOOD[2]))])


def test_values_of_several_files_count_together() -> None:
    one, other = moved(GOOD[:2]), [site(5, 103, 103), site(5, 119, 119)]
    assert not like_lines([one])
    assert like_lines([one, other])
    assert not like_lines([[*one, site(5, 103, 103)], other[1:]]), "within a file they contradict"


def test_dense_values_are_not() -> None:
    assert not like_lines([spread(101, 104, 107, 110, 113, 116, 119, 122)])
    assert like_lines([spread(101, 106, 111, 116, 121, 126, 131, 136)])


def test_even_values_are_not() -> None:
    """Offsets, sizes of structures."""
    assert not like_lines([spread(102, 118, 132, 206, 226, 258, 302, 345)])
    assert like_lines([spread(103, 118, 132, 206, 226, 258, 302, 345)])


def test_round_values_are_not() -> None:
    """Time limits, sizes of buffers, with some odd ones among them."""
    assert not like_lines([spread(103, 120, 131, 160, 226, 257, 300, 400)])
    assert like_lines([spread(103, 120, 131, 160, 226, 257, 300, 401)])


def test_values_that_follow_each_other_are_not() -> None:
    """Numbers of messages or resources, given out one by one."""
    assert not like_lines([spread(101, 102, 103, 201, 202, 203, 301, 307)])
    assert like_lines([spread(101, 102, 103, 201, 202, 206, 301, 307)])


def test_each_file_has_to_fit() -> None:
    good = moved(GOOD)
    assert not like_lines([good, [site(8, 10, 20), site(9, 11, 15)]])


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(10, 12), (20, 22)], True),
        ([(10, 12), (20, 12)], False),  # two become one
        ([(10, 12), (10, 13)], False),  # one becomes two
        ([(10, 22), (20, 12)], False),  # the order turns
        ([(1, 3)], False),
        ([(3, 1)], False),
        ([(0, 3)], False),
        ([(3, 0)], False),
        ([(2, 3)], True),
        ([(9, LARGEST_LINE - 1)], True),
        ([(9, LARGEST_LINE)], False),
        ([(LARGEST_LINE, 9)], False),
        ([(0xFFFFFFFF, 9)], False),
    ],
)
def test_order(pairs: list[tuple[int, int]], expected: bool) -> None:
    sites = [site(0, old, new) for old, new in pairs]
    assert in_order(sites) is expected
    assert in_order(sites[::-1]) is expected
    assert expected or not fits(sites)


def test_values_that_move_this_way_and_that() -> None:
    """Each next one by another distance."""
    sites = [site(number // 3, old, old + number) for number, old in enumerate(range(101, 181, 9))]
    assert in_order(sites)
    assert not fits(sites)
    even = [site(number // 3, old, old + number // 4) for number, old in enumerate(range(101, 181, 9))]
    assert fits(even)


def test_functions_that_use_the_same_values() -> None:
    """Error numbers: one is used in several functions."""
    sites = [*moved(GOOD), site(7, 226, 233), site(8, 119, 126)]
    assert in_order(sites)
    assert not fits(sites)
    assert not fits([*moved(GOOD), site(7, 104, 111), site(7, 340, 347)])


def test_a_lone_change_is_not_supported() -> None:
    """A limit is raised: 226 to 232, and the next ones stay."""
    sites = [site(each.fragment, each.old, 232 if each.old == 226 else each.old) for each in moved(GOOD)]
    assert like_lines([sites])
    assert {each.old for each in set(sites) - supported(sites)} == {226}


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        (((301, 307), (313,)), True),
        (((301, 307), ()), False),
        (((301, 307, 313), ()), False),
        (((301, 307), (307,)), False),
    ],
)
def test_support_takes_values_and_functions(functions: tuple[tuple[int, ...], ...], expected: bool) -> None:
    assert MIN_RUN == 3
    still = [site(9, old, old) for old in (101, 117, 119)] + [site(8, old, old) for old in (201, 217, 219)]
    run = moved(functions)
    assert set(run) <= supported([*still, *run]) if expected else not supported([*still, *run]) & set(run)


def test_support_of_as_many_as_are_asked_for() -> None:
    two = moved(((301, 307),))
    assert not supported(two)
    assert supported(two, values=2, functions=1) == set(two)
    assert not supported(two[:1], values=2, functions=1)
    assert not supported([two[0], site(8, 304, 304), two[1]], values=2, functions=1) & set(two), "together"
    assert not supported([two[0], site(8, 301, 308)], values=2, functions=1), "values, not places"


def test_support_comes_from_neighbours_only() -> None:
    """Three move by one distance, but not together."""
    lines = [site(number, old, old + 7 * (number % 2)) for number, old in enumerate(range(101, 221, 20))]
    assert supported(lines) == set()


LINES = [site(0, 100, 106), site(0, 140, 146), site(1, 200, 206), site(2, 300, 300)]


@pytest.mark.parametrize(
    ("fragment", "old", "new", "own", "both"),
    [
        (0, 120, 126, True, True),
        (0, 120, 127, False, False),
        (0, 160, 166, True, True),
        (1, 160, 166, True, True),
        (3, 160, 166, False, True),
        (0, 90, 96, True, False),  # before all
        (3, 90, 96, False, False),
        (1, 250, 256, False, False),  # between two that moved differently
        (2, 250, 250, False, False),
        (2, 350, 350, True, False),
        (2, 350, 351, False, False),
    ],
)
def test_moving_along(fragment: int, old: int, new: int, own: bool, both: bool) -> None:
    each = site(fragment, old, new)
    assert moves_along(each, LINES, own=True) is own
    assert moves_along(each, LINES, own=False) is both


def test_nothing_to_move_along() -> None:
    assert not moves_along(site(0, 5, 6), [], own=True)
    assert not moves_along(site(0, 5, 6), [], own=False)
    assert supported([]) == set()
    assert not like_lines([])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400), st.integers(0, 400)), max_size=30))
def test_any_values(rows: list[tuple[int, int, int]]) -> None:
    sites = [site(*row) for row in rows]
    found = supported(sites)
    assert found <= set(sites)
    if like_lines([sites]):
        assert in_order(sites)
        assert len({each.old for each in sites}) >= MIN_VALUES
