"""Which counterpart is right for whom: the rules of the design, section 5, one by one."""

from collections.abc import Callable

import numpy as np
import pytest

from hpbuild.pe.metadata import metadata_runs
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.ownership import import_slots, ownership
from hpbuild.prove.references import Use
from hpbuild.values import Interval

from .conftest import Story

Tell = Callable[..., Story]
DELTA = 0x30000


@pytest.fixture
def judge(tell: Tell) -> Correspondence:
    story = tell()
    owners = ownership(
        story.claims(),
        story.module(),
        story.fixed,
        (metadata_runs(story.fixed), metadata_runs(story.baseline)),
        DELTA,
    )
    return Correspondence(owners, import_slots(story.fixed, story.baseline))


@pytest.fixture
def places(tell: Tell, symbols: dict[str, Interval]) -> dict[str, int]:
    """Addresses by name: functions and data of the baseline and, with a prime, their placed copies."""
    story = tell()
    found = {name: part.start for name, part in symbols.items()}
    for item in [*story.functions, *story.data]:
        parts = item.patch if isinstance(item.patch, tuple) else (item.patch,)
        found[item.name + "'"] = parts[0].start + DELTA
    return found


def _right(judge: Correspondence, target: int, other: int, use: Use, carried: bool) -> bool:
    columns = (np.array([value], dtype=np.int64) for value in (target, other, use))
    return bool(judge.right(*columns, carried=carried)[0])  # type: ignore[misc]


@pytest.mark.parametrize(
    ("target", "other", "use", "carried", "right"),
    [
        ("codec_count", "codec_count", Use.BRANCH, False, True),
        ("codec_count", "codec_lookups", Use.BRANCH, False, False),
        ("codec_count", "codec_count", Use.BRANCH, True, True),
        # Identical code and data reach a changed function through its old entry.
        ("codec_find", "codec_find", Use.BRANCH, False, True),
        ("codec_find", "codec_find", Use.ADDRESS, False, True),
        ("codec_find", "codec_find'", Use.BRANCH, False, False),
        # New code calls new code directly, but a pointer to it stays the old one.
        ("codec_find", "codec_find'", Use.BRANCH, True, True),
        ("codec_find", "codec_find", Use.BRANCH, True, False),
        ("codec_find", "codec_find", Use.ADDRESS, True, True),
        ("codec_find", "codec_find'", Use.ADDRESS, True, False),
        ("codec_find", "codec_find'", Use.UNWIND, True, True),
        ("codec_find", "codec_find", Use.UNWIND, True, True),
        ("codec_find", "codec_find'", Use.ACCESS, True, True),
        # A changed constant: only new code may refer to it, and only to the copy.
        ("hex", "hex", Use.ACCESS, False, False),
        ("hex", "hex'", Use.ACCESS, False, False),
        ("hex", "hex'", Use.ACCESS, True, True),
        ("hex", "hex", Use.ADDRESS, True, False),
        ("lookups", "lookups", Use.ACCESS, True, True),
        ("lookups", "attached", Use.ACCESS, True, False),
        ("__imp_HeapFree", "__imp_HeapFree", Use.ACCESS, False, True),
        ("__imp_HeapFree", "__imp_HeapAlloc", Use.ACCESS, True, False),
        ("lookups", "__imp_HeapAlloc", Use.ACCESS, True, False),
    ],
)
def test_rule(
    judge: Correspondence,
    places: dict[str, int],
    target: str,
    other: str,
    use: Use,
    carried: bool,
    right: bool,
) -> None:
    assert _right(judge, places[target], places[other], use, carried) is right
    if not right:
        assert f"{places[other]:#x}" in judge.explain(places[target], places[other], use, carried)


def test_inside_of_a_changed_function(judge: Correspondence, places: dict[str, int]) -> None:
    inner, copy = places["codec_find"] + 9, places["codec_find'"] + 9
    for use in Use:
        assert not _right(judge, inner, inner, use, False)
        assert _right(judge, inner, copy, use, True)


def test_image_base_and_headers(judge: Correspondence) -> None:
    assert _right(judge, 0, 0, Use.ADDRESS, False)
    assert not _right(judge, 0, 0x40, Use.ADDRESS, True)


def test_end_of_a_run(judge: Correspondence, symbols: dict[str, Interval]) -> None:
    """The end of an array may be named when nothing else begins there, but not branched to."""
    end = symbols["longest_run"].end
    assert _right(judge, end, end, Use.ADDRESS, False)
    assert not _right(judge, end, end, Use.BRANCH, False)
    assert not _right(judge, end + 1, end + 1, Use.ADDRESS, False)


def test_outside_of_everything(judge: Correspondence) -> None:
    for address in (-1, 0x7FFFFFFF, -(1 << 40), 1 << 40):
        assert not _right(judge, address, address, Use.ACCESS, True)
