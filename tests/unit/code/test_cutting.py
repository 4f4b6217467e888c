"""Runs of gaps cut all at once are cut as each alone."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code import cutting
from hpbuild.code.cutter import CODE, OPAQUE, PADDING
from hpbuild.code.cutting import CutRuns, Parts, cut_runs
from hpbuild.code.gaps import split_run
from hpbuild.code.scanned import Scanned
from hpbuild.code.scanning import scan_runs
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image

TEXT, SIZE = 0x1000, 0x1000
Build = Callable[..., Image]
Rows = list[tuple[int, int, int]]
_KIND = {"padding": PADDING, "code": CODE, "opaque": OPAQUE}


@pytest.fixture(scope="module")
def blank(build: Build) -> Image:
    """An image with room for code."""
    return build(text=bytes(SIZE))


def with_code(image: Image, code: bytes) -> Image:
    memory = image.memory.copy()
    memory[TEXT : TEXT + len(code)] = np.frombuffer(code, dtype=np.uint8)
    return replace(image, memory=memory)


def cut(image: Image, runs: Sequence[tuple[int, int, bool]]) -> CutRuns:
    columns = np.array(runs, dtype=np.int64).reshape(-1, 3).T
    return cut_runs(image, columns[0], columns[1], columns[2].astype(np.bool_))


def at_once(image: Image, runs: Sequence[tuple[int, int, bool]]) -> Rows:
    """What the runs are cut into, having seen to it that what was found in the code is what is there."""
    found = cut(image, runs)
    code = found.parts.only(found.parts.kind == CODE)
    assert facts(found.scanned) == facts(scan_runs(image, code.start, code.end))
    return rows_of(found.parts)


def rows_of(parts: Parts) -> Rows:
    return list(zip(parts.start.tolist(), parts.end.tolist(), parts.kind.tolist(), strict=True))


def facts(scanned: Scanned) -> tuple[list[object], ...]:
    """All that is known of runs: their references, and what else there is."""
    bounds = zip(scanned.first.tolist(), scanned.ends.tolist(), strict=True)
    references = np.stack([scanned.site, scanned.target, scanned.meta]).T
    bases = [registers for _, registers in sorted(scanned.image_base.items())]
    return (
        [references[first:end].tolist() for first, end in bounds],
        scanned.sizes.tolist(),
        scanned.falls_through.tolist(),
        sorted(scanned.image_base),
        list(bases),
        sorted(scanned.wide_at.tolist()),
    )


def one_by_one(image: Image, runs: Sequence[tuple[int, int, bool]]) -> Rows:
    found = []
    for start, end, named in runs:
        pieces = split_run(image.read(start, end - start), start, named)
        found += [(piece.start, piece.end, _KIND[piece.kind]) for piece in pieces]
    return found


def runs_of(lengths: Sequence[tuple[int, bool]], limit: int) -> list[tuple[int, int, bool]]:
    """Runs of these lengths from TEXT on."""
    found, at = [], TEXT
    for length, named in lengths:
        end = min(at + length, TEXT + limit)
        if end > at:
            found.append((at, end, named))
        at = end
    return found


PARTS = (
    "c3",
    "f3c3",
    "50",
    "31c0",
    "488d0511110000",
    "90",
    "6690",
    "666690",
    "f390",
    "0f1f4000",
    "66662e0f1f840000000000",
    "cc",
    "cccccccccccccccc",
    "00",
    "0000",
    "0000000000000000",
    "eb00",
    "eb02",
    "eb10",
    "ebfc",
    "7403",
    "0f8408000000",
    "740a",
    "e200",
    "e8fb000000",
    "e900100000",
    "f2e900100000",
    "2e2e2eeb20",
    "e902000000",
    "ff2500100000",
    "ff2508000000",
    "48ff2500100000",
    "ffe0",
    "ff20",
    "488d15f9efffff8b8c82101000004801d1ffe1",
    "cd29",
    "0f0b",
    "0f05",
    "c7f800000000",
    "06",
    "e8",
)
code = st.lists(st.sampled_from(PARTS), max_size=24).map("".join).map(bytes.fromhex)
lengths = st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=8)


@given(code, lengths)
def test_chosen_instructions(blank: Image, code: bytes, lengths: list[tuple[int, bool]]) -> None:
    image = with_code(blank, code)
    runs = runs_of(lengths, len(code))
    assert at_once(image, runs) == one_by_one(image, runs)


@given(st.lists(code, max_size=6), st.booleans())
def test_whole_functions(blank: Image, codes: list[bytes], named: bool) -> None:
    image = with_code(blank, b"".join(codes))
    runs = runs_of([(len(code), named) for code in codes], SIZE)
    assert at_once(image, runs) == one_by_one(image, runs)


@given(st.binary(max_size=300), lengths)
def test_any_bytes(blank: Image, code: bytes, lengths: list[tuple[int, bool]]) -> None:
    image = with_code(blank, code)
    runs = runs_of(lengths, len(code))
    assert at_once(image, runs) == one_by_one(image, runs)


@pytest.mark.parametrize("batch", [64, 4096, 1 << 19])
@pytest.mark.parametrize("name", ["baseline/codec.dll", "fixed/throwing.dll", "launcher.exe"])
def test_code_of_a_binary(binaries: Path, monkeypatch: pytest.MonkeyPatch, name: str, batch: int) -> None:
    """Its sections cut at random places; runs of more bytes than a batch are cut alone."""
    monkeypatch.setattr(cutting, "BATCH", batch)
    image = read_image(binaries / name)
    dice = random.Random(name)
    for section in image.sections:
        if section.executable:
            begin, end = int(section.rva), section.rva + section.virtual_size
            cuts = sorted({begin, end, *(dice.randrange(begin, end) for _ in range(60))})
            runs = [(low, high, dice.random() < 0.6) for low, high in pairwise(cuts)]
            assert at_once(image, runs) == one_by_one(image, runs)


@given(st.lists(code | st.just(bytes.fromhex("31c0c3cccccccccccccc")), max_size=6), st.data())
def test_settled_runs_may_be_cut_where_code_begins(
    blank: Image, codes: list[bytes], data: st.DataObject
) -> None:
    octets = b"".join(codes)
    image = with_code(blank, octets)
    lengths = data.draw(st.lists(st.tuples(st.integers(1, 80), st.booleans()), min_size=1, max_size=4))
    runs = runs_of(lengths, len(octets))
    found = cut(image, runs)
    parts = rows_of(found.parts)
    for (start, end, named), settled in zip(runs, found.settled.tolist(), strict=True):
        inside = [part for part in parts if start <= part[0] < end]
        begins = [begin for begin, _, kind in inside if kind == CODE]
        if settled and begins:
            cuts = data.draw(st.sets(st.sampled_from(begins)))
            bounds = sorted({start, *cuts, end})
            smaller = [(low, high, low in cuts or (named and low == start)) for low, high in pairwise(bounds)]
            assert one_by_one(image, smaller) == inside


def test_thunks_and_functions_between_filler_are_settled(blank: Image) -> None:
    codes = [bytes.fromhex(text) for text in ("cccc", "e900100000cc", "31c0c3cccc31c0c3", "7403c3ccccc3")]
    image = with_code(blank, b"".join(codes))
    runs = runs_of([(len(code), False) for code in codes], SIZE)
    assert cut(image, runs).settled.all()


def test_the_slow_way_is_seldom_needed(blank: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filler, thunks, functions with branches and several returns: all by columns."""

    def fail(*_: object) -> None:
        raise AssertionError("cut alone")

    texts = ("cccc", "90c3cccc", "31c0c3cc", "7403c3cccc31c0c3", "e900100000e900100000", "7401c390c3cc6690")
    codes = [bytes.fromhex(text) for text in texts]
    image = with_code(blank, b"".join(codes))
    runs = runs_of([(len(code), number % 2 == 1) for number, code in enumerate(codes)], SIZE)
    expected = one_by_one(image, runs)
    monkeypatch.setattr(cutting, "split_run", fail)
    assert at_once(image, runs) == expected
    assert at_once(image, []) == []
