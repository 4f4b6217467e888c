"""What was found in many runs, put together and in order."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hpbuild.code.scanned import Scanned, in_order, joined
from hpbuild.code.scanning import scan_runs
from hpbuild.pe.image import Image

CODES = [
    bytes.fromhex(text)
    for text in ("488d05 f9efffff 8b8c82 00100000 e8 00000000 c3", "c3", "e8 00000000 e8 00000000 50")
]
STARTS = [0x1000, 0x1100, 0x1200]


Scan = Callable[..., Scanned]


@pytest.fixture(scope="module")
def scanned(build: Callable[..., Image]) -> Scan:
    """What is in the runs of these numbers."""
    blank = build(text=bytes(0x1000))
    memory = blank.memory.copy()
    for start, code in zip(STARTS, CODES, strict=True):
        memory[start : start + len(code)] = np.frombuffer(code, dtype=np.uint8)
    start = np.array(STARTS)
    end = start + np.array([len(code) for code in CODES])

    def scan(*numbers: int) -> Scanned:
        return scan_runs(replace(blank, memory=memory), start[list(numbers)], end[list(numbers)])

    return scan


def sites(found: Scanned) -> list[list[int]]:
    bounds = zip(found.first.tolist(), found.ends.tolist(), strict=True)
    return [found.site[first:end].tolist() for first, end in bounds]


def test_parts_behind_each_other(scanned: Scan) -> None:
    whole, parts = scanned(0, 1, 2, 0), joined([scanned(0, 1), scanned(2), scanned(0)])
    assert sites(parts) == sites(whole) == [[0x1003, 0x100F], [], [0x1201, 0x1206], [0x1003, 0x100F]]
    assert parts.image_base == whole.image_base
    assert set(parts.image_base) == {0, 3}
    for name in ("target", "meta", "sizes", "falls_through", "wide_at"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name)), name


def test_nothing_joined(scanned: Scan) -> None:
    assert sites(joined([])) == []
    alone = scanned(0)
    assert joined([alone]) is alone


def test_runs_in_order(scanned: Scan) -> None:
    found = in_order(scanned(1, 2, 0), np.array([1, 2, 0]))
    assert sites(found) == sites(scanned(0, 1, 2))
    assert found.sizes.tolist() == [len(code) for code in CODES]
    assert found.falls_through.tolist() == [False, False, True]
    assert set(found.image_base) == {0}


def test_only_some_runs(scanned: Scan) -> None:
    whole = scanned(0, 1, 2, 0)
    found = whole.only(np.array([False, True, True, True]))
    assert sites(found) == sites(whole)[1:]
    assert found.image_base == {2: whole.image_base[0]}
    assert found.sizes.tolist() == whole.sizes.tolist()[1:]
    assert found.falls_through.tolist() == [False, True, False]
    assert found.wide_at.tolist() == whole.wide_at.tolist() == [0x1007, 0x1007]
    assert sites(whole.only(np.zeros(4, dtype=np.bool_))) == []
