"""Code of which the begin is the same in another image: what is found is what a scan finds."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code import carried_heads
from hpbuild.code.carrying import carried
from hpbuild.code.scanned import Scanned
from hpbuild.code.scanning import scan_runs
from hpbuild.code.survey import Rows, Survey, survey
from hpbuild.pe.image import Image

TEXT, ROOM = 0x1000, 0x400
Facts = tuple[list[tuple[list[list[int]], int, bool, frozenset[int]]], list[int]]


@pytest.fixture(scope="module")
def blank(build: Callable[..., Image]) -> Survey:
    return survey(build(text=bytes(4 * ROOM)))


def with_rows(blank: Survey, codes: list[bytes], move: int = 0) -> Survey:
    memory = blank.image.memory.copy()
    start = TEXT + move + ROOM * np.arange(len(codes))
    for place, code in zip(start.tolist(), codes, strict=True):
        memory[place : place + len(code)] = np.frombuffer(code, dtype=np.uint8)
    end = start + np.array([len(code) for code in codes], dtype=np.int64)
    rows = Rows(start=start, end=end, unwind=np.zeros_like(start))
    return replace(blank, image=replace(blank.image, memory=memory), rows=rows)


def scan(surveyed: Survey) -> Scanned:
    return scan_runs(surveyed.image, surveyed.rows.start, surveyed.rows.end)


def facts(scanned: Scanned) -> Facts:
    rows = np.stack([scanned.site, scanned.target, scanned.meta]).T
    bounds = zip(scanned.first.tolist(), scanned.ends.tolist(), strict=True)
    references = [rows[first:end].tolist() for first, end in bounds]
    columns = (scanned.sizes.tolist(), scanned.falls_through.tolist())
    bases = [scanned.image_base.get(run, frozenset()) for run in range(len(references))]
    return list(zip(references, *columns, bases, strict=True)), sorted(scanned.wide_at.tolist())


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where, in the only row, what is decoded of heads begins."""
    places: list[int] = []

    def remember(image: Image, start: np.ndarray, *others: object) -> Scanned:
        places.extend((start - TEXT).tolist())
        return scan_runs(image, start, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(carried_heads, "scan_runs", remember)
    return places


def both(blank: Survey, before: str, after: str) -> None:
    old, new = (with_rows(blank, [bytes.fromhex(code)]) for code in (before, after))
    assert facts(carried(scan(old), old, new)) == facts(scan(new))


LONG = "488d05 f9efffff e8 00010000" + "488b88 00100000" + "90" * 200
"""Takes the image base, calls, reads behind the image base."""
CALLED = 12


def test_only_the_end_is_decoded(blank: Survey, begun: list[int]) -> None:
    both(blank, LONG + "e8 00000000 c3 10200000", LONG + "e8 00000000 c3 44230000")
    assert begun == [CALLED]


def test_what_differs_early(blank: Survey, begun: list[int]) -> None:
    both(blank, LONG[:200] + "e8 00000000 c3 10200000", LONG[:200] + "e8 00000000 c3 44230000")
    assert begun == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("90 90 c3", "90 91 c3"),  # without a reference at the end
        ("31c0 e8 00000000 c3", "06 90 e8 00000000 c3"),  # ends at once
        ("31c0 e8 00000000 31c0 c3", "31c9 e8 00000000 06 90 c3"),  # ends before
        ("31c0 e8 00000000 06 90 c3", "31c9 e8 00000000 31c0 c3"),  # ends later
        ("31c0 488d15 {base} c3", "31c9 488d15 {base} c3"),  # takes the image base at the end too
        ("31c0 488d15 00000000 c3", "31c9 488d15 {base} c3"),
        ("31c0 488d15 {base} e8 00000000 c3", "31c9 488d15 00000000 e8 00000000 c3"),  # no more
        ("31c0 e9 {back}", "31c9 e9 {back}"),  # a jump back into the begin
        ("31c0 eb00 488d0d 00000000 488b90 00200000 cc", "31c9 eb00 488d0d 00000000 488b90 00300000 cc"),
    ],
)
def test_other_ends(blank: Survey, begun: list[int], before: str, after: str) -> None:
    size = len(bytes.fromhex(LONG))
    base = (-(TEXT + size + 2 + 7)).to_bytes(4, "little", signed=True).hex()
    back = (-100).to_bytes(4, "little", signed=True).hex()
    both(blank, LONG + before.format(base=base, back=back), LONG + after.format(base=base, back=back))


@pytest.mark.parametrize("jump", ["e9 d9000000", "0f84 d8000000"])
def test_a_jump_over_an_end_that_is_nearer(blank: Survey, jump: str) -> None:
    """It stayed in the code, and leaves it now."""
    head = jump + "e8 00010000" + "90" * 200
    tail = "31c0 e8 00000000 {} 90 c3 90 90 90 90 90 90 c3"
    both(blank, head + tail.format("31c9"), head + tail.format("0690"))
    both(blank, head + tail.format("0690"), head + tail.format("31c9"))


def test_only_no_operations_behind_a_call(blank: Survey, begun: list[int]) -> None:
    """Control does not go on there: so much is told by the begin alone."""
    both(blank, "e8 00010000" + "90" * 200 + "06 90", "e8 00010000" + "90" * 200 + "06 91")
    assert begun == [5]


PARTS = tuple(
    map(
        bytes.fromhex,
        (
            "c3", "50", "31c0", "90", "06", "eb02", "eb7f", "7480", "e800000000", "e900010000", "e901000000",
            "e9f0000000", "0f8440000000", "488d05f9efffff", "488d0d00100000", "833d0010000001",
            "8b8c8200200000", "ff2500100000", "f390", "0f1f0500100000", "c7f800000000",
        ),
    )
)  # fmt: skip


@given(st.integers(0, 2**32), st.integers(1, 4), st.sampled_from((0, 16)))
def test_any_change(blank: Survey, seed: int, count: int, move: int) -> None:
    dice = random.Random(seed)
    codes, others = list[bytes](), list[bytes]()
    for _ in range(count):
        code = b"".join(dice.choices(PARTS, [10] * 4 + [1] + [10] * 15 + [1], k=dice.randrange(20, 110)))
        code = (code + dice.randbytes(dice.randrange(30)))[:600]
        other = bytearray(code)
        for _ in range(dice.choice((0, 1, 1, 2, 4))):
            place = dice.randrange(min(len(code) - 1, dice.choice((0, 150))), len(code))
            other[place] = dice.choice((0, 1, 2, 0x10, 0x40, 0xFF, 0x90, 0x06, dice.randrange(256)))
        codes.append(code)
        others.append(bytes(other))
    old, new = with_rows(blank, codes), with_rows(blank, others, move)
    assert facts(carried(scan(old), old, new)) == facts(scan(new))
