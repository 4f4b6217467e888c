"""Fragments of gaps as more becomes known: what is there in the end is as if all had been known at once."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.gap_filling import Gaps, fill_gaps
from hpbuild.code.layout import Layout
from hpbuild.pe.image import Image

Build = Callable[..., Image]
TEXT, END = 0x1000, 0x1100
BASE = "488d15 f9efffff"
"""`lea rdx, [image base]` at 0x1000."""
TABLE = 0x1080
CODE = bytes.fromhex(
    BASE + "8b8c82 80100000 4801d1 ffe1 c3 c3 cccccc" + "31c0c3 cc" * 10 + "e8 00000000 c3 cccc" * 8
)


@pytest.fixture(scope="module")
def image(build: Build) -> Image:
    table = struct.pack("<IIII", 0x1013, 0x1014, 0x1013, 0x2000)
    text = bytearray(CODE.ljust(END - TEXT, b"\xcc"))
    text[TABLE - TEXT : TABLE - TEXT + len(table)] = table
    return build(text=bytes(text))


def fill(image: Image, layout: Layout, gaps: Gaps, known: set[int]) -> set[int]:
    """The starts of the fragments that are new, or looked at again."""
    fresh = fill_gaps(image, layout, gaps, np.array(sorted(known), dtype=np.int64))
    return set(fresh.starts.tolist())


def pieces(layout: Layout) -> list[tuple[int, int, int, bool, frozenset[int], list[list[int]]]]:
    layout.take(layout.starts())
    found = (layout.pieces[start] for start in sorted(layout.pieces))
    return [(p.start, p.end, p.root, p.opaque, p.registers, layout.references([p]).T.tolist()) for p in found]


GAPS = np.array([(TEXT, 0x1060), (0x1060, 0x10A0), (0x10A0, END)]).T


@given(st.lists(st.sets(st.integers(0x101C, END - 1), max_size=5), min_size=1, max_size=4), st.integers(0, 4))
def test_step_by_step(image: Image, steps: list[set[int]], table_at: int) -> None:
    """The table becomes known on the way, or not at all; the code that reads it is known."""
    layout, gaps, known = Layout(), Gaps(*GAPS), {TEXT, 0x101C}
    for number, step in enumerate(steps):
        known |= step
        if number == table_at:
            layout.tables[TABLE] = (TEXT, 4)
            known.add(TABLE)
        fill(image, layout, gaps, known)
    direct, at_once = Layout(tables=dict(layout.tables)), Gaps(*GAPS)
    fill(image, direct, at_once, known)
    assert pieces(layout) == pieces(direct)
    assert sorted(gaps.padding().tolist()) == sorted(at_once.padding().tolist())
    covered = [[start, end] for start, end, *_ in pieces(layout)] + gaps.padding().tolist()
    assert sum(end - start for start, end in covered) == END - TEXT


def test_only_what_changes_is_new(image: Image) -> None:
    """Code that takes the image base is looked at again when its gap changes."""
    layout, gaps = Layout(), Gaps(*GAPS)
    first = fill(image, layout, gaps, {TEXT, 0x101C})
    assert first == set(layout.starts().tolist())
    assert layout.pieces[TEXT].registers
    assert fill(image, layout, gaps, {TEXT, 0x101C}) == set()
    assert fill(image, layout, gaps, {TEXT, 0x101C, 0x10A2}) == {0x10A2}
    assert fill(image, layout, gaps, {TEXT, 0x101C, 0x1024, 0x10A2}) == {TEXT}  # code began there before
    assert fill(image, layout, gaps, {0x1025}) >= {TEXT, 0x1024, 0x1025}


def test_table_in_a_gap_ends_with_its_entries(image: Image) -> None:
    layout, gaps = Layout(tables={TABLE: (TEXT, 4)}), Gaps(*GAPS)
    fill(image, layout, gaps, {TEXT, 0x101C, TABLE})
    table = layout.pieces[TABLE]
    assert (table.end, table.root, table.opaque) == (TABLE + 12, TEXT, True)
