"""Gaps as columns of runs: where they are cut, and what a change of the starts changes."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.cutter import CODE
from hpbuild.code.gap_runs import Cut, Runs, Spans, cut_at, first_cut, recut
from hpbuild.pe.image import Image

TEXT = 0x1000
LEAVES = bytes.fromhex("31c0c3 cccccccccc 90c3 cccccccccccc") * 20
GAPS = [(TEXT, TEXT + 0x50), (TEXT + 0x60, TEXT + 0x61), (TEXT + 0x70, TEXT + 0x100)]


@pytest.fixture(scope="module")
def image(build: Callable[..., Image]) -> Image:
    return build(text=LEAVES)


def column(numbers: list[int]) -> npt.NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


def spans(gaps: list[tuple[int, int]]) -> Spans:
    return Spans(column([start for start, _ in gaps]), column([end for _, end in gaps]))


def runs(gaps: list[tuple[int, int]], cuts: list[int]) -> list[tuple[int, int, bool]]:
    none = np.zeros(len(gaps), dtype=np.bool_)
    found = cut_at(Runs(spans(gaps), none, none), column(cuts))
    return [(*found.spans.row(number), bool(found.named[number])) for number in range(len(found.named))]


def parts(cut: Cut) -> list[tuple[int, int, int]]:
    columns = cut.parts.start, cut.parts.end, cut.parts.kind
    return list(zip(*(part.tolist() for part in columns), strict=True))


def test_owners() -> None:
    assert spans([(10, 20), (20, 30), (40, 41)]).owners(column([9, 10, 19, 20, 30, 40, 41])).tolist() == [
        -1,
        0,
        0,
        1,
        -1,
        2,
        -1,
    ]
    assert spans([]).owners(column([1, 2])).tolist() == [-1, -1]


def test_cut_at_known_starts() -> None:
    assert runs([(10, 20), (30, 40)], [12, 30, 39]) == [
        (10, 12, False),
        (12, 20, True),
        (30, 39, True),
        (39, 40, True),
    ]
    assert runs([(10, 20)], []) == [(10, 20, False)]
    assert runs([], []) == []


def test_which_lie_in_spans() -> None:
    assert spans([(10, 20), (30, 31)]).hold(column([5, 10, 19, 20, 30, 31])).tolist() == [
        False, True, True, False, True, False,
    ]  # fmt: skip
    assert spans([]).hold(column([5])).tolist() == [False]


def inside(gaps: list[tuple[int, int]], known: set[int]) -> npt.NDArray[np.int64]:
    return column(sorted(place for place in known if any(low <= place < high for low, high in gaps)))


@given(st.lists(st.sets(st.integers(TEXT - 2, TEXT + 0x102), max_size=12), min_size=1, max_size=4))
def test_a_change_is_as_good_as_a_new_beginning(image: Image, steps: list[set[int]]) -> None:
    """And what went and came is the difference of the parts."""
    known: set[int] = set()
    cut = first_cut(image, spans(GAPS), inside(GAPS, known))
    for step in steps:
        new = step - known
        known |= step
        before, cut = parts(cut), recut(image, cut, inside(GAPS, new), spans([]))
        scratch = first_cut(image, spans(GAPS), inside(GAPS, known))
        assert parts(cut) == parts(scratch)
        assert cut.padding().tolist() == scratch.padding().tolist()
        assert cut.runs.spans.start.tolist() == scratch.runs.spans.start.tolist()
        assert cut.runs.named.tolist() == scratch.runs.named.tolist()
        gone, fresh = set(cut.gone.start.tolist()), set(cut.fresh.start.tolist())
        assert set(parts(cut)) - set(before) <= {row for row in parts(cut) if row[0] in fresh}
        assert set(before) - set(parts(cut)) <= {row for row in before if row[0] in gone}
        assert len(before) - len(gone) + len(fresh) == len(parts(cut))
        assert len(cut.scanned.sizes) == np.count_nonzero(cut.fresh.kind == CODE)


def test_nothing_new_cuts_nothing(image: Image) -> None:
    cut = recut(image, first_cut(image, spans(GAPS), column([TEXT, TEXT + 8])), column([]), spans([]))
    assert len(cut.fresh.start) == len(cut.gone.start) == 0
    assert parts(cut)


def test_a_cut_where_code_begins_is_no_change(image: Image) -> None:
    first = first_cut(image, spans(GAPS), column([]))
    begin = int(first.parts.start[first.parts.kind == CODE][1])
    cut = recut(image, first, column([begin]), spans([]))
    assert len(cut.fresh.start) == len(cut.gone.start) == 0
    assert begin in cut.runs.spans.start.tolist()
    assert parts(cut) == parts(first)
    cut = recut(image, cut, column([begin + 1]), spans([]))
    assert cut.fresh.start[:2].tolist() == [begin, begin + 1]
    assert cut.gone.start[0] == begin


def test_gaps_that_are_taken_out(image: Image) -> None:
    first = first_cut(image, spans(GAPS), column([TEXT + 0x20]))
    cut = recut(image, first, column([TEXT + 0x80]), spans(GAPS[:1]))
    assert parts(cut) == parts(first_cut(image, spans(GAPS[1:]), column([TEXT + 0x80])))
    assert set(cut.gone.start.tolist()) >= {
        start for start in first.parts.start.tolist() if start < TEXT + 0x50
    }
