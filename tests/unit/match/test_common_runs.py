"""Common runs are the blocks of the library, which takes them one by one."""

from difflib import SequenceMatcher

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.match import common_runs as module
from hpbuild.match.common_runs import common_runs

LETTERS = st.lists(st.sampled_from([b"a", b"b", b"c", b"dd"]), max_size=24)


def by_library(left: list[bytes], right: list[bytes]) -> list[tuple[int, int]]:
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return pairs([(block.a, block.b, block.size) for block in blocks])


def pairs(blocks: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    return [(a + each, b + each) for a, b, size in blocks for each in range(size)]


@given(LETTERS, LETTERS)
def test_blocks_of_the_library(left: list[bytes], right: list[bytes]) -> None:
    assert pairs(common_runs(left, right)) == by_library(left, right)


@pytest.mark.parametrize(("left", "right"), [([], []), ([b"a"], []), ([], [b"a"]), ([b"a"], [b"b"])])
def test_nothing_in_common(left: list[bytes], right: list[bytes]) -> None:
    assert common_runs(left, right) == []


def test_of_equal_length_the_first_counts() -> None:
    assert common_runs([b"a", b"x", b"a"], [b"a", b"y", b"a"]) == [(0, 0, 1), (2, 2, 1)]
    assert common_runs([b"a"], [b"y", b"a", b"a"]) == [(0, 1, 1)]


def test_too_many_pairs_go_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = [b"a", b"b"] * 20, [b"b", b"a", b"c"] * 15
    short = common_runs(left, right)
    monkeypatch.setattr(module, "MAX_PAIRS", 3)
    assert pairs(common_runs(left, right)) == pairs(short) == by_library(left, right)


@pytest.mark.parametrize("few", [0, 2])
@given(left=LETTERS, right=LETTERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_runs_give_the_blocks_of_few(
    monkeypatch: pytest.MonkeyPatch, few: int, left: list[bytes], right: list[bytes]
) -> None:
    expected = common_runs(left, right)
    monkeypatch.setattr(module, "FEW_RUNS", few)
    assert common_runs(left, right) == expected


@pytest.mark.parametrize("gram", [2, 4])
@given(left=LETTERS, right=LETTERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_by_grams_are_those_of_the_library(
    monkeypatch: pytest.MonkeyPatch, gram: int, left: list[bytes], right: list[bytes]
) -> None:
    monkeypatch.setattr(module, "FEW_PAIRS", 0)
    monkeypatch.setattr(module, "GRAM", gram)
    assert pairs(common_runs(left, right)) == by_library(left, right)
