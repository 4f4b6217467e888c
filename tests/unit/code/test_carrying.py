"""What is known of one image's code carried over to another is what scanning that one finds."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code import carrying
from hpbuild.code.carrying import Target, carried, carried_part, completed
from hpbuild.code.decode import RefKind
from hpbuild.code.partners import partners
from hpbuild.code.scanned import Scanned
from hpbuild.code.scanning import scan_runs
from hpbuild.code.survey import Rows, Survey, survey
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image

TEXT, SIZE = 0x1000, 0x1000
Build = Callable[..., Image]
Found = tuple[list[tuple[list[list[int]], int, bool, frozenset[int]]], list[int]]


def found(scanned: Scanned) -> Found:
    """Of each run its references, and all else that is known of it; where wide displacements are."""
    rows = np.stack([scanned.site, scanned.target, scanned.meta]).T
    bounds = zip(scanned.first.tolist(), scanned.ends.tolist(), strict=True)
    references = [rows[first:end].tolist() for first, end in bounds]
    columns = (scanned.sizes.tolist(), scanned.falls_through.tolist())
    bases = [scanned.image_base.get(run, frozenset()) for run in range(len(references))]
    runs = list(zip(references, *columns, bases, strict=True))
    return runs, sorted(scanned.wide_at.tolist())


def scan(surveyed: Survey) -> Scanned:
    return scan_runs(surveyed.image, surveyed.rows.start, surveyed.rows.end)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the rows begin that were not carried."""
    starts: list[int] = []

    def remember(image: Image, start: np.ndarray, *others: object) -> Scanned:
        starts.extend(start.tolist())
        return scan_runs(image, start, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(carrying, "scan_runs", remember)
    return starts


@pytest.fixture(scope="module")
def blank(build: Build) -> Survey:
    """An image with room for code."""
    return survey(build(text=bytes(SIZE)))


def with_rows(blank: Survey, *rows: tuple[int, str]) -> Survey:
    """Rows at these addresses."""
    memory = blank.image.memory.copy()
    spans = []
    for start, text in rows:
        octets = bytes.fromhex(text)
        memory[start : start + len(octets)] = np.frombuffer(octets, dtype=np.uint8)
        spans.append((start, start + len(octets), 0))
    start, end, unwind = np.array(spans, dtype=np.int64).reshape(-1, 3).T
    image = replace(blank.image, memory=memory)
    return replace(blank, image=image, rows=Rows(start=start, end=end, unwind=unwind))


@pytest.mark.parametrize("name", ["codec.dll", "throwing.dll"])
@pytest.mark.parametrize("sides", [("baseline", "fixed"), ("fixed", "baseline"), ("fixed", "fixed")])
def test_a_pair_of_binaries(binaries: Path, decoded: list[int], name: str, sides: tuple[str, str]) -> None:
    old, new = (survey(read_image(binaries / side / name)) for side in sides)
    assert found(carried(scan(old), old, new)) == found(scan(new))
    assert len(decoded) < len(new.rows) / 2
    assert bool(decoded) is (sides[0] != sides[1])


def test_binaries_with_nothing_in_common(binaries: Path) -> None:
    old, new = (survey(read_image(binaries / name)) for name in ("host.exe", "baseline/codec.dll"))
    assert found(carried(scan(old), old, new)) == found(scan(new))


def test_small_batches(binaries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (survey(read_image(binaries / side / "throwing.dll")) for side in ("baseline", "fixed"))
    expected = found(scan(new))
    monkeypatch.setattr(carrying, "_BATCH", 64)
    assert found(carried(scan(old), old, new)) == expected


@pytest.mark.parametrize("part", [0, 0.3, 1])
@pytest.mark.parametrize("known", [0, 0.6, 1])
def test_in_two_parts(binaries: Path, decoded: list[int], known: float, part: float) -> None:
    """Whoever knows which rows of the one image, and whoever decodes what is new in the other."""
    old, new = (survey(read_image(binaries / side / "throwing.dll")) for side in ("baseline", "fixed"))
    target = Target(new.image, new.rows, partners(old.rows, new.rows))
    half = int(known * len(old.rows))
    whole = carried(scan(old), old, new)
    once = sorted(decoded)
    decoded.clear()
    chosen = target.shares(half, part)
    halves = [
        scan_runs(old.image, old.rows.start[run], old.rows.end[run])
        for run in (slice(half), slice(half, None))
    ]
    parts = [
        carried_part(scanned, old, target, rows, first)
        for scanned, rows, first in zip(halves, chosen, (0, half), strict=True)
    ]
    assert found(completed(parts)) == found(completed(parts[::-1])) == found(whole)
    assert sorted(decoded) == once
    assert sorted([*chosen[0].tolist(), *chosen[1].tolist()]) == list(range(len(new.rows)))
    assert all(len(rows) for rows in chosen) or known != 0.6


def test_rows_without_a_partner_are_shared(blank: Survey) -> None:
    rows = [(0x1000 + 16 * number, call(number) + "90" * number) for number in range(10)]
    alone = Target(blank.image, with_rows(blank, *rows).rows, np.full(10, -1))
    assert [numbers.tolist() for numbers in alone.shares(0, 0.4)] == [list(range(5)), list(range(5, 10))]
    assert [len(numbers) for numbers in alone.shares(5, 1)] == [10, 0]
    met = Target(blank.image, alone.rows, np.arange(10))
    assert [numbers.tolist() for numbers in met.shares(3, 0)] == [[0, 1, 2], [3, 4, 5, 6, 7, 8, 9]]


def call(distance: int) -> str:
    return "e8" + struct.pack("<i", distance).hex() + "c3"


def test_only_what_the_fields_name_is_new(blank: Survey, decoded: list[int]) -> None:
    old = with_rows(blank, (0x1000, call(0x100)), (0x1010, "488d0500200000 c3"))
    new = with_rows(blank, (0x1020, call(0x200)), (0x1040, "488d0500100000 c3"))
    scanned = carried(scan(old), old, new)
    assert scanned.site.tolist() == [0x1021, 0x1043]
    assert scanned.target.tolist() == [0x1225, 0x2047]
    assert decoded == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("e9 00010000 31c0 90 c3", "e9 02000000 31c0 90 c3"),  # leads into the run now
        ("e9 02000000 31c0 90 c3", "e9 00010000 31c0 90 c3"),  # leaves it now
        ("488d05 f9efffff c3", "488d05 f9dfffff c3"),  # took the image base
        ("488d05 00100000 c3", "488d05 f9efffff c3"),  # takes it
        ("31c0 c3", "31c9 c3"),  # another instruction
        ("b8 00000000 c3", "b8 01000000 c3"),  # a number
        ("eb10 c3", "eb11 c3"),  # a short jump
        ("c3 06 01", "c3 06 02"),  # bytes that are no instruction
        ("c7f8 00010000 c3", "c7f8 00010001 c3"),  # xbegin, by the decoder
        ("66c7f8 0001 c3", "66c7f8 0001 c3"),  # a field of two bytes
    ],
)
def test_what_changes_more_than_a_target(blank: Survey, decoded: list[int], before: str, after: str) -> None:
    old, new = with_rows(blank, (0x1000, before)), with_rows(blank, (0x1000, after))
    scanned = scan(old)
    result = carried(scanned, old, new)
    assert found(result) == found(scan(new))
    assert len(decoded) == ("c7f8 " not in before or "66" in before)


def test_a_call_may_lead_into_its_own_run(blank: Survey, decoded: list[int]) -> None:
    old, new = with_rows(blank, (0x1000, call(0x100))), with_rows(blank, (0x1000, call(0)))
    result = carried(scan(old), old, new)
    assert found(result) == found(scan(new))
    assert result.target.tolist() == [0x1005]
    assert decoded == []


def test_a_field_is_not_the_operand_of_what_is_in_front_of_it(blank: Survey, decoded: list[int]) -> None:
    """The byte behind a no-operation looks like the ModRM byte of one."""
    old, new = (with_rows(blank, (0x1000, f"90 833d {field} 01")) for field in ("00100000", "00000000"))
    result = carried(scan(old), old, new)
    assert found(result) == found(scan(new))
    assert result.wide_at.tolist() == []
    assert decoded == []


def test_displacements_that_may_be_addresses(blank: Survey, decoded: list[int]) -> None:
    """They may change: with SIB byte and without, with an immediate. Not so that they may be none."""
    code = "8b8c82 {0} 488b88 {0} 833485 {0} 01 c3"
    old = with_rows(blank, (0x1000, code.format("00100000")), (0x1040, "8b8c82 00100000 c3"))
    new = with_rows(blank, (0x1000, code.format("34120100")), (0x1040, "8b8c82 00080000 c3"))
    result = carried(scan(old), old, new)
    assert found(result) == found(scan(new))
    assert sorted(result.wide_at.tolist()) == [0x1000, 0x1007, 0x100E]
    assert decoded == [0x1040]


@pytest.mark.parametrize("after", ["8b8c83 00200000 c3", "8b8c82 00200000 cb", "8b8c82 00200080 c3"])
def test_what_changes_more_than_a_displacement(blank: Survey, decoded: list[int], after: str) -> None:
    old, new = with_rows(blank, (0x1000, "8b8c82 00100000 c3")), with_rows(blank, (0x1000, after))
    assert found(carried(scan(old), old, new)) == found(scan(new))
    assert decoded == [0x1000]


def test_targets_outside_of_any_image(blank: Survey) -> None:
    old, new = with_rows(blank, (0x1000, call(0))), with_rows(blank, (0x1000, call(-0x7FFF0000)))
    assert found(carried(scan(old), old, new)) == found(scan(new))


PARTS = (
    "c3", "50", "31c0", "90", "06", "eb02", "7500", "e8 00000000", "e9 00010000", "e9 01000000",
    "0f84 00010000", "488d05 f9efffff", "488d0d 00100000", "833d 00100000 01", "8b8c82 00200000",
    "ff25 00100000", "c7f8 00000000", "66c7f8 0000", "f390", "f3a4",
)  # fmt: skip
functions = st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join), max_size=8)


@given(functions, st.integers(0, 2**32), st.integers(0, 48), st.integers(0, 64))
def test_any_change(blank: Survey, texts: list[str], seed: int, shift: int, changes: int) -> None:
    """Bytes changed at random, mostly in fields: most are zero."""
    dice = random.Random(seed)
    old = with_rows(blank, *((TEXT + 64 * number, text) for number, text in enumerate(texts)))
    after = []
    for text in texts:
        octets = bytearray.fromhex(text)
        for place in dice.sample(range(len(octets)), min(changes // 16, len(octets))):
            if octets[place] in (0, 1, 0xFF, 0xEF, 0xF9):
                octets[place] = dice.choice((0, 1, 2, 8, 0x10, 0xEF, 0xFF))
        after.append(octets.hex())
    new = with_rows(blank, *((TEXT + shift + 64 * number, text) for number, text in enumerate(after)))
    assert found(carried(scan(old), old, new)) == found(scan(new))


def test_other_addresses_of_the_same_code(binaries: Path, decoded: list[int]) -> None:
    """Every row once more, in another order: each is found where its neighbours are the same."""
    old = survey(read_image(binaries / "baseline/throwing.dll"))
    half = len(old.rows) // 2
    order = np.concatenate([np.arange(half, len(old.rows)), np.arange(half)])
    rows = Rows(start=old.rows.start[order], end=old.rows.end[order], unwind=old.rows.unwind[order])
    new = replace(old, rows=rows)
    assert found(carried(scan(old), old, new)) == found(scan(new))
    assert len(decoded) < len(rows) / 2


def test_kinds_are_kept(blank: Survey) -> None:
    old = with_rows(blank, (0x1000, "e9 00010000"), (0x1010, "0f85 00010000 e8 00000000"))
    kinds = [meta & 15 for meta in carried(scan(old), old, old).meta.tolist()]
    assert kinds == [RefKind.BRANCH, RefKind.BRANCH, RefKind.CALL]
