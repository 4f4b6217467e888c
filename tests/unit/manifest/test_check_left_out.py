"""Ranges of what is left out: each way to contradict oneself has its negative case."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.codes import manifest as codes
from hpbuild.errors import Code
from hpbuild.manifest.check_left_out import left_out_findings, stays_findings
from hpbuild.manifest.left_out import LeftOut
from hpbuild.manifest.model import Module
from hpbuild.values import Interval

FUNCTIONS = LeftOut(
    what="function",
    change="changed",
    ranges=2,
    kept=1,
    fixed=(0x1500, 0x1550, 0x1700, 0x1710, 0x1600, 0x1610, 0x1650, 0x1660),
    baseline=(0x1400, 0x1440, 0x1600, 0x1610),
)
TABLES = LeftOut(
    what="rodata", change="same", ranges=1, kept=1, fixed=(0x3100, 0x3108), baseline=(0x3100, 0x3108)
)


@pytest.fixture
def limited(sample_module: Module) -> Module:
    return replace(sample_module, only=("0x1130", "codec_decode"), left_out=(FUNCTIONS, TABLES))


def found(module: Module) -> list[tuple[Code, str]]:
    findings = [*left_out_findings(module, "m"), *stays_findings(module, "m")]
    return [(item.code, item.place) for item in findings]


def test_a_sound_list_has_no_findings(limited: Module) -> None:
    assert found(limited) == []
    assert found(replace(limited, only=(), left_out=())) == []


def test_ranges_may_touch(limited: Module) -> None:
    """The end of one is the start of the next, also of what is carried."""
    item = replace(TABLES, fixed=(0x3030, 0x3040, 0x3040, 0x3048), baseline=(0x3100, 0x3108) * 2)
    assert limited.data[0].fixed == Interval(0x3020, 0x3030)
    assert found(replace(limited, left_out=(FUNCTIONS, item))) == []


def functions(**changes: object) -> Callable[[Module], Module]:
    return lambda module: replace(module, left_out=(replace(FUNCTIONS, **changes), TABLES))  # type: ignore[arg-type]


def tables(*fixed: int, **changes: object) -> Callable[[Module], Module]:
    wanted = {"fixed": fixed or TABLES.fixed, "baseline": TABLES.baseline * (len(fixed) // 2 or 1), **changes}
    return lambda module: replace(module, left_out=(FUNCTIONS, replace(TABLES, **wanted)))  # type: ignore[arg-type]


LIES: list[tuple[str, Callable[[Module], Module], Code, str]] = [
    ("no list", lambda m: replace(m, only=()), codes.BAD_SELECTION, "m.left_out[1]"),
    ("old version of new parts", functions(change="new"), codes.BAD_SELECTION, "m.left_out[0].kept"),
    (
        "an address as a name",
        functions(names=("f", "sub_1600")),
        codes.BAD_SELECTION,
        "m.left_out[0].names",
    ),
    ("changed from nothing", functions(kept=0, baseline=()), codes.BAD_SELECTION, "m.left_out[0].kept"),
    (
        "parts out of order",
        functions(fixed=(*FUNCTIONS.fixed[4:], *FUNCTIONS.fixed[:4])),
        codes.NOT_SORTED,
        "m.left_out[0].fixed",
    ),
    ("a part twice", tables(0x3100, 0x3108, 0x3100, 0x3108), codes.NOT_SORTED, "m.left_out[1].fixed"),
    (
        "kinds out of order",
        lambda m: replace(m, left_out=(TABLES, FUNCTIONS)),
        codes.NOT_SORTED,
        "m.left_out",
    ),
    (
        "one kind and shape twice",
        lambda m: replace(m, left_out=(FUNCTIONS, TABLES, replace(TABLES, fixed=(0x3200, 0x3210)))),
        codes.NOT_SORTED,
        "m.left_out",
    ),
    ("an empty range", tables(0x3100, 0x3100), codes.BAD_RANGE, "m.left_out[1].fixed"),
    ("an empty old range", tables(baseline=(5, 5)), codes.BAD_RANGE, "m.left_out[1].moves"),
    ("outside of the image", tables(0x8FFF, 0x9001), codes.BAD_RANGE, "m.left_out[1].fixed"),
    ("far outside of the image", tables(0x7FFFFFF0, 2**31), codes.BAD_RANGE, "m.left_out[1].fixed"),
    ("old range outside", tables(baseline=(0x7FFF, 0x8001)), codes.BAD_RANGE, "m.left_out[1].moves"),
    ("two of a group overlap", tables(0x3100, 0x3108, 0x3107, 0x3110), codes.OVERLAP, "m.left_out"),
    ("one within another", tables(0x3100, 0x3200, 0x3110, 0x3120), codes.OVERLAP, "m.left_out"),
    ("two of two groups overlap", tables(0x165F, 0x1670), codes.OVERLAP, "m.left_out"),
    ("a carried function", tables(0x1050, 0x1061), codes.OVERLAP, "m.left_out"),
    ("a carried datum", tables(0x3020, 0x3021), codes.OVERLAP, "m.left_out"),
    ("around a carried datum", tables(0x3000, 0x3100), codes.OVERLAP, "m.left_out"),
    ("within a carried datum", tables(0x3022, 0x3023), codes.OVERLAP, "m.left_out"),
    (
        "it stays and is redirected",
        functions(baseline=(0x1400, 0x1440, 0x1010, 0x1020)),
        codes.BAD_SELECTION,
        "m.functions[0].baseline",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("lie", "code", "place"), [c[1:] for c in LIES], ids=[c[0] for c in LIES])
def test_a_contradiction_is_found(
    limited: Module, lie: Callable[[Module], Module], code: Code, place: str
) -> None:
    assert (code, place) in found(lie(limited))


ROWS = st.lists(st.tuples(st.integers(0x2000, 0x2040), st.integers(1, 8)), min_size=1, max_size=5)


@given(one=ROWS, two=ROWS)
def test_overlaps_are_found_whatever_the_order(
    sample_module: Module, one: list[tuple[int, int]], two: list[tuple[int, int]]
) -> None:
    groups = [[Interval(start, start + size) for start, size in sorted(rows)] for rows in (one, two)]
    ranges = [*groups[0], *groups[1]]
    apart = not any(a.overlaps(b) for i, a in enumerate(ranges) for b in ranges[:i])
    made = tuple(
        LeftOut(
            what=what,
            change="new",
            ranges=1,
            kept=0,
            fixed=tuple(chain.from_iterable((part.start, part.end) for part in rows)),
        )
        for what, rows in zip(("data", "rodata"), groups, strict=True)
    )
    module = replace(sample_module, only=("0x1130", "codec_decode"), left_out=made)
    overlapping = [item for item in left_out_findings(module, "m") if item.code is codes.OVERLAP]
    assert (not overlapping) == apart
