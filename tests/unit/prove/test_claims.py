"""Claims are believed only in their shape, and that is checked."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hpbuild.codes.prove import MALFORMED_CLAIMS
from hpbuild.errors import HpbuildError
from hpbuild.prove.claims import Claims, check_claims

from .conftest import Story

Tell = Callable[..., Story]


def test_of_sorts_and_fills() -> None:
    claims = Claims.of(code=[(0x20, 0x30, 0x10), (0x10, 0x20, 0x30)])
    assert claims.code.tolist() == [[0x10, 0x20, 0x30], [0x20, 0x30, 0x10]]
    assert claims.code.dtype == np.uint32
    assert claims.fields.shape == (0, 4)


def test_true_claims(tell: Tell) -> None:
    story = tell()
    check_claims(story.claims(), story.fixed, story.baseline)


@pytest.mark.parametrize(
    "rows",
    [
        {"code": [(0x1000, 0x1010, 0x1000), (0x1008, 0x1020, 0x1000)]},
        {"code": [(0x1000, 0x1000, 0x1000)]},
        {"code": [(0x1010, 0x1000, 0x1000)]},
        {"code": [(0x1000, 0x1010, 0xFFFFFFFF)]},
        {"data": [(0x7FF0, 0x8001, 0x1000)]},
        {"data": [(0x7000, 0x7010, 0x7FF8)]},
        {"padding": [(0x1000, 0x1010), (0x1000, 0x1010)]},
        {"excluded": [(0x1000, 0x80000000)]},
        {"fields": [(0x3000, 8, 1, 0)]},
        {"fields": [(0x3000, 4, 0, 0)]},
        {"fields": [(0x3000, 4, 4, 0)]},
        {"fields": [(0x3000, 4, 1, 0), (0x3002, 4, 1, 0)]},
        {"fields": [(0x7FFD, 4, 1, 0)]},
    ],
)
def test_malformed_rows(tell: Tell, rows: dict[str, list[tuple[int, ...]]]) -> None:
    story = tell()
    with pytest.raises(HpbuildError) as caught:
        check_claims(Claims.of(**rows), story.fixed, story.baseline)
    assert caught.value.code is MALFORMED_CLAIMS


def test_wrong_array(tell: Tell) -> None:
    story = tell()
    for array in (
        np.zeros((1, 3), dtype=np.int64),
        np.zeros(3, dtype=np.uint32),
        np.zeros((1, 2), dtype=np.uint32),
    ):
        with pytest.raises(HpbuildError) as caught:
            check_claims(replace(Claims.of(), code=array), story.fixed, story.baseline)
        assert caught.value.code is MALFORMED_CLAIMS
