"""What was found in many runs, put together and in order."""

import numpy as np

from hpbuild.code.scanned import Scanned, in_order, joined
from hpbuild.code.scanning import scan_all

CODES = [
    bytes.fromhex(text) for text in ("488d05 f9efffff e8 00000000 c3", "c3", "e8 00000000 e8 00000000 50")
]
STARTS = [0x1000, 0x1100, 0x1200]


def scanned(*numbers: int) -> Scanned:
    """What is in these runs."""
    (found,) = scan_all([CODES[number] for number in numbers], [STARTS[number] for number in numbers])
    return found


def sites(found: Scanned) -> list[list[int]]:
    bounds = zip(found.first.tolist(), found.ends.tolist(), strict=True)
    return [found.site[first:end].tolist() for first, end in bounds]


def test_parts_behind_each_other() -> None:
    whole, parts = scanned(0, 1, 2, 0), joined([scanned(0, 1), scanned(2), scanned(0)])
    assert sites(parts) == sites(whole) == [[0x1003, 0x1008], [], [0x1201, 0x1206], [0x1003, 0x1008]]
    assert parts.image_base == whole.image_base
    assert set(parts.image_base) == {0, 3}
    for name in ("target", "meta", "sizes", "falls_through", "wide"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name)), name


def test_nothing_joined() -> None:
    assert sites(joined([])) == []
    alone = scanned(0)
    assert joined([alone]) is alone


def test_runs_in_order() -> None:
    found = in_order(scanned(1, 2, 0), np.array([1, 2, 0]))
    assert sites(found) == sites(scanned(0, 1, 2))
    assert found.sizes.tolist() == [len(code) for code in CODES]
    assert found.falls_through.tolist() == [False, False, True]
    assert set(found.image_base) == {0}
