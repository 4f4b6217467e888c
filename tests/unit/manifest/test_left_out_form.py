"""The wire form of what is left out: what is written is read back, and every other form is refused."""

from collections.abc import Callable
from itertools import accumulate, chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.codes import manifest as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.left_out import CHANGES, KINDS, LeftOut
from hpbuild.manifest.left_out_form import read_left_out, write_left_out
from hpbuild.manifest.readers import root
from hpbuild.manifest.schema import load_schema
from hpbuild.manifest.schema_subset import judge

SIZES = st.integers(0, 300)
REACH = 2**31


@st.composite
def groups(draw: st.DrawFn) -> LeftOut:
    """Any group whose numbers are in range; ranges in any order."""
    count, ranges = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    kept = draw(st.integers(0, ranges))

    def borders(number: int) -> tuple[int, ...]:
        rows = [(draw(st.integers(0, 5000)), draw(SIZES)) for _ in range(number)]
        return tuple(chain.from_iterable((start, start + size) for start, size in rows))

    names = st.just(()) | st.lists(st.text("ab", min_size=1), min_size=count, max_size=count).map(tuple)
    return LeftOut(
        what=draw(st.sampled_from(KINDS)),
        change=draw(st.sampled_from(CHANGES)),
        ranges=ranges,
        kept=kept,
        fixed=borders(count * ranges),
        baseline=borders(count * kept),
        names=draw(names),
    )


@given(groups())
def test_what_is_written_is_read_back(item: LeftOut) -> None:
    document: Any = write_left_out(item)
    assert read_left_out(root(document, "m")) == item
    assert ("moves" in document, "names" in document) == (item.kept > 0, bool(item.names))
    assert list(accumulate(document["fixed"])) == list(item.fixed)


def form(**changes: object) -> dict[str, Any]:
    """Two functions of two ranges, of which the first has an old version."""
    sound: dict[str, Any] = {
        "what": "function", "change": "changed", "ranges": 2, "kept": 1,
        "fixed": [0x1000, 16, 0x100, 8, -0x110, 4, 0x10, 2], "moves": [1, 32, 0, 1, -16, 4],
        "names": ["a", "b"],
    }  # fmt: skip
    return {key: value for key, value in {**sound, **changes}.items() if value is not None}


def test_the_numbers_mean_what_the_specification_says() -> None:
    item = read_left_out(root(form(), "m"))
    assert item.fixed == (0x1000, 0x1010, 0x1110, 0x1118, 0x1008, 0x100C, 0x101C, 0x101E)
    assert item.baseline == (0x1020, 0x1030, 0xFF8, 0x1000)
    plain = form(moves=[2, 0, 0], names=None)
    assert read_left_out(root(plain, "m")).baseline == (0x1000, 0x1010, 0x1008, 0x100C)


LIES: list[tuple[str, dict[str, Any], Code, str]] = [
    ("no ranges", form(fixed=[]), codes.BAD_LEFT_OUT, "m: fixed"),
    ("half a range", form(fixed=[0x1000, 16, 0x100]), codes.BAD_LEFT_OUT, "m: fixed"),
    ("half a part", form(fixed=[0x1000, 16]), codes.BAD_LEFT_OUT, "m: fixed"),
    ("parts without ranges", form(ranges=0), codes.OUT_OF_RANGE, "m: ranges"),
    ("more ranges than a part can have", form(ranges=4097), codes.OUT_OF_RANGE, "m: ranges"),
    ("more old versions than ranges", form(kept=3), codes.BAD_LEFT_OUT, "m: kept"),
    ("fewer than no old versions", form(kept=-1), codes.OUT_OF_RANGE, "m: kept"),
    ("below the image", form(fixed=[-1, 16, 0x100, 8]), codes.BAD_LEFT_OUT, "m: fixed"),
    ("a size below zero", form(fixed=[0x1000, -1, 0x100, 8]), codes.BAD_LEFT_OUT, "m: fixed"),
    ("beyond every image", form(fixed=[REACH, 16, 0, 8]), codes.BAD_LEFT_OUT, "m: fixed"),
    ("a huge number", form(fixed=[0x1000, 2**53 - 1, 0, 8]), codes.OUT_OF_RANGE, "m: fixed[1]"),
    ("a number far below zero", form(fixed=[0x1000, 16, -(2**40), 8]), codes.OUT_OF_RANGE, "m: fixed[2]"),
    ("no number", form(fixed=[0x1000, "16", 0, 8]), codes.WRONG_TYPE, "m: fixed[1]"),
    ("true as a number", form(fixed=[0x1000, True, 0, 8]), codes.WRONG_TYPE, "m: fixed[1]"),
    ("no list", form(fixed=16), codes.WRONG_TYPE, "m: fixed"),
    ("too many numbers", form(fixed=[0] * 2_000_004), codes.OUT_OF_RANGE, "m: fixed"),
    ("no moves", form(moves=None), codes.BAD_LEFT_OUT, "m"),
    ("moves of nothing", form(kept=0), codes.BAD_LEFT_OUT, "m: moves"),
    ("empty moves", form(moves=[]), codes.BAD_LEFT_OUT, "m: moves"),
    ("half a run", form(moves=[2, 0]), codes.BAD_LEFT_OUT, "m: moves"),
    ("an empty run", form(moves=[2, 0, 0, 0, 1, 0]), codes.BAD_LEFT_OUT, "m: moves"),
    ("a run below zero", form(moves=[3, 0, 0, -1, 1, 0]), codes.BAD_LEFT_OUT, "m: moves"),
    ("runs that are too short", form(moves=[1, 0, 0]), codes.BAD_LEFT_OUT, "m: moves"),
    ("runs that are too long", form(moves=[1, 0, 0, 2, 1, 0]), codes.BAD_LEFT_OUT, "m: moves"),
    ("a run that is endless", form(moves=[2**53 - 1, 0, 0]), codes.OUT_OF_RANGE, "m: moves[0]"),
    ("one run as two", form(moves=[1, 7, 1, 1, 7, 1]), codes.BAD_LEFT_OUT, "m: moves"),
    ("moved below the image", form(moves=[2, -0x1001, 0]), codes.BAD_LEFT_OUT, "m: moves"),
    ("moved beyond every image", form(moves=[2, REACH - 0x1000, 0]), codes.BAD_LEFT_OUT, "m: moves"),
    ("an old size below zero", form(moves=[2, 0, -5]), codes.BAD_LEFT_OUT, "m: moves"),
    ("too few names", form(names=["a"]), codes.BAD_LEFT_OUT, "m: names"),
    ("no names", form(names=[]), codes.BAD_LEFT_OUT, "m: names"),
    ("an empty name", form(names=["a", ""]), codes.BAD_TEXT, "m: names[1]"),
    ("a name with a line break", form(names=["a", "b\n"]), codes.BAD_TEXT, "m: names[1]"),
    ("another kind", form(what="thread"), codes.OUT_OF_RANGE, "m: what"),
    ("another reason", form(change="removed"), codes.OUT_OF_RANGE, "m: change"),
    ("no kind", form(what=None), codes.MISSING_KEY, "m"),
    ("a key more", form(place="x"), codes.UNKNOWN_KEY, "m"),
]


@pytest.mark.parametrize(("lie", "code", "place"), [c[1:] for c in LIES], ids=[c[0] for c in LIES])
def test_another_form_is_refused(lie: dict[str, Any], code: Code, place: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        read_left_out(root(lie, "m"))
    assert (caught.value.code, caught.value.finding.place) == (code, place)


def test_what_is_read_meets_the_schema() -> None:
    schema = load_schema("manifest-1")
    said = judge({"$ref": "#/$defs/left_out", "$defs": schema["$defs"]})
    assert said is not None
    assert said(form())
    assert said(form(names=None))
    stricter: list[Callable[[], dict[str, Any]]] = [
        lambda: form(fixed=[]), lambda: form(kept=-1), lambda: form(ranges=0), lambda: form(fixed=[0, True]),
        lambda: form(fixed=[0, 2**53 - 1]), lambda: form(names=[]), lambda: form(names=["a", ""]),
        lambda: form(what="thread"), lambda: form(change="x"), lambda: form(place="x"),
        lambda: form(what=None), lambda: form(moves=[]), lambda: form(fixed=[0] * 2_000_001),
    ]  # fmt: skip
    assert [said(lie()) for lie in stricter] == [False] * len(stricter)
