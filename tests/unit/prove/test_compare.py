"""Bytes of many runs at once: what lies between runs is nobody's, what lies in them is compared."""

import numpy as np
import pytest

from hpbuild.codes import prove as codes
from hpbuild.prove.checks import Recorder
from hpbuild.prove.compare import Runs, Side, compare
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.ownership import Ownership, Slots
from hpbuild.prove.references import References
from hpbuild.prove.space import Space

_NONE = np.zeros(0, dtype=np.int64)
_JUDGE = Correspondence(
    Ownership(**dict.fromkeys(("start", "end", "owner", "baseline", "patch", "entry", "number"), _NONE)),
    Slots(_NONE, _NONE, _NONE, _NONE, ()),
)
LARGE = (1 << 20) + 512
Rows = list[tuple[int, int, int]]


def _space(name: str, start: int, memory: bytes) -> Space:
    return Space(
        name=name, memory=np.frombuffer(memory, dtype=np.uint8), start=start, image_base=0, relocated=_NONE
    )


def _compare(rows: Rows, here: bytes, there: bytes, start: int = 0, lines: tuple[int, ...] = ()) -> list[str]:
    """Findings for ``rows`` of (start, end, counterpart); the other space begins at ``start``."""
    side = Side(
        fixed=_space("fixed", 0, here),
        other=_space("other", start, there),
        judge=_JUDGE,
        carried=False,
        differs=codes.CODE_DIFFERS,
        refers=codes.CODE_REFERENCE,
        relocated=codes.RELOCATIONS_DIFFER,
    )
    recorder = Recorder("P0", "bytes")
    nothing = References(**dict.fromkeys(("site", "width", "anchor", "form", "use", "row"), _NONE))
    runs = Runs.of([(low, high, other, f"run {low:#x}") for low, high, other in rows])
    compare(recorder, side, runs, nothing, np.array(lines, dtype=np.int64))
    assert all(finding.code == codes.CODE_DIFFERS for finding in recorder.findings)
    return [f"{finding.place}: {finding.cause}" for finding in recorder.findings]


ROWS: Rows = [(0x10, 0x20, 0x110), (0x20, 0x28, 0x120), (0x30, 0x40, 0x130), (0x40, 0x44, 0x100)]


def _two() -> tuple[bytearray, bytearray]:
    here = bytearray(range(1, 0x51))
    there = bytearray(b"\xff" * 0x150)
    for low, high, other in ROWS:
        there[other : other + high - low] = here[low:high]
    return here, there


def test_equal_runs_with_other_bytes_between_them() -> None:
    here, there = _two()
    assert here[0x28:0x30] != there[0x128:0x130]
    assert _compare(ROWS, bytes(here), bytes(there)) == []


@pytest.mark.parametrize("row", range(len(ROWS)))
@pytest.mark.parametrize("place", ["first", "last"])
def test_each_byte_counts(row: int, place: str) -> None:
    here, there = _two()
    low, high, other = ROWS[row]
    at = other if place == "first" else other + high - low - 1
    there[at] ^= 0x80
    found = _compare(ROWS, bytes(here), bytes(there))
    assert len(found) == 1
    assert found[0].startswith(f"run {low:#x}: 1 bytes differ, first at {at - other + low:#x}")


def test_counterparts_that_leave_the_space() -> None:
    here, there = _two()
    leaving: Rows = [(0x10, 0x20, 0x110), (0x20, 0x28, 0x120), (0x44, 0x50, 0x144 + 1)]
    assert _compare(leaving, bytes(here), bytes(there)) == ["run 0x44: the counterpart leaves the image"]
    found = _compare([(0x10, 0x20, 0x0F8), (0x20, 0x28, 0x108)], bytes(here), bytes(there[0x100:]), 0x100)
    assert found[0] == "run 0x10: the counterpart leaves the image"
    assert found[1].startswith("run 0x20: 8 bytes differ")


def test_runs_that_overlap() -> None:
    here, there = _two()
    overlapping: Rows = [(0x10, 0x20, 0x110), (0x14, 0x18, 0x114), (0x16, 0x20, 0x0)]
    found = _compare(overlapping, bytes(here), bytes(there))
    assert [cause.split(":")[0] for cause in found] == ["run 0x16"]
    there[0x11C] ^= 0x80
    found = _compare(overlapping, bytes(here), bytes(there))
    assert [cause.split(":")[0] for cause in found] == ["run 0x10", "run 0x16"]


def test_large_runs_to_their_last_byte() -> None:
    here = bytes(LARGE)
    for at in (0, (1 << 20) - 1, 1 << 20, LARGE - 1):
        there = bytearray(LARGE)
        there[at] = 1
        found = _compare([(0, LARGE, 0)], here, bytes(there))
        assert [cause.split(",")[1] for cause in found] == [f" first at {at:#x}: 00 in the fixed image"]


def test_only_what_is_declared_may_differ() -> None:
    here, there = _two()
    there[0x112:0x116] = b"\0\0\0\0"
    assert _compare(ROWS, bytes(here), bytes(there), lines=(0x12,)) == []
    assert len(_compare(ROWS, bytes(here), bytes(there), lines=(0x13,))) == 1


@pytest.mark.parametrize("line", [(1 << 20) - 4, (1 << 20) - 2, 1 << 20])
def test_declared_bytes_at_the_border_of_what_is_compared_at_once(line: int) -> None:
    here = bytes(LARGE)
    for at in range(line - 1, line + 5):
        there = bytearray(LARGE)
        there[at] = 1
        found = _compare([(0, LARGE, 0)], here, bytes(there), lines=(line,))
        assert len(found) == (not line <= at < line + 4), at


def test_runs_with_counterparts_at_all_distances() -> None:
    """What is compared at once is one run each; a field in each may differ, and the byte behind it not."""
    rows: Rows = [(at, at + 8, 0x4000 + 2 * at) for at in range(0x10, 0x100, 0x10)]
    here, there = bytearray(range(256)), bytearray(0x8000)
    for low, high, other in rows:
        there[other : other + high - low] = here[low:high]
        there[other + 1 : other + 5] = b"\xff\xfe\xfd\xfc"
    lines = tuple(low + 1 for low, _, _ in rows)
    assert _compare(rows, bytes(here), bytes(there), lines=lines) == []
    for low, _, other in rows:
        touched = bytearray(there)
        touched[other + 5] ^= 1
        found = _compare(rows, bytes(here), bytes(touched), lines=lines)
        assert [cause.split(":")[0] for cause in found] == [f"run {low:#x}"]


def test_no_runs() -> None:
    assert _compare([], b"\0" * 8, b"\1" * 8) == []
