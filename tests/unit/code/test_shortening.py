"""Code that is cut off: what is left refers to the same as if all of it were decoded again."""

import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code import shortening
from hpbuild.code.layout import Layout, add_code, rescan, truncate
from hpbuild.code.pieces import Piece
from hpbuild.code.shortening import rescan_ends
from hpbuild.pe.image import Image

Build = Callable[..., Image]
Found = list[tuple[int, int, bool, list[list[int]]]]
TEXT, CALL = 0x1000, "e8 00100000"
LONG = CALL + "90" * 140
"""A reference that need not be decoded again when the code is cut behind it."""


@pytest.fixture(scope="module")
def blank(build: Build) -> Image:
    return build(text=bytes(0x2000))


def image_of(blank: Image, *codes: str) -> tuple[Image, list[Piece]]:
    """The codes one behind the other, each from a boundary of 16 bytes on."""
    memory, pieces, at = blank.memory.copy(), list[Piece](), TEXT
    for code in map(bytes.fromhex, codes):
        memory[at : at + len(code)] = np.frombuffer(code, dtype=np.uint8)
        pieces.append(Piece(at, at + len(code), at, 0, False))
        at += len(code) + -len(code) % 16
    return replace(blank, memory=memory), pieces


def cut(image: Image, pieces: list[Piece], sizes: list[int], whole: bool) -> Found:
    """The pieces cut off behind ``sizes`` bytes; decoded again as a ``whole`` or not."""
    layout, pieces = Layout(), [replace(piece) for piece in pieces]
    add_code(image, layout, pieces)
    before = [piece.end for piece in pieces]
    for piece, size in zip(pieces, sizes, strict=True):
        truncate(layout, piece, min(piece.start + size, piece.end))
    if whole:
        rescan(image, layout, pieces)
    else:
        rescan_ends(image, layout, pieces, before)
    rows = [sorted(layout.references([piece]).T.tolist()) for piece in pieces]
    return [(p.start, p.end, p.falls_through, row) for p, row in zip(pieces, rows, strict=True)]


def near(distance: int) -> str:
    return struct.pack("<i", distance).hex()


@pytest.mark.parametrize(
    ("code", "size", "again"),
    [
        (LONG + "c3 cc", 146, False),
        (LONG + "ffd0 cc", 147, False),
        (LONG + CALL + "90" * 140 + "c3", 200, False),  # only what follows the first call is decoded
        (LONG + "cc cc", 3, True),  # in the middle of the call
        ("e9" + near(145) + LONG + "cc cc", 150, False),  # a jump to the cut that is decoded again
        ("e9" + near(150) + LONG + LONG + "cc cc", 155, False),
        ("e9" + near(290) + LONG + LONG + "cc cc", 295, True),  # a jump over the cut that is not
        ("0f84" + near(290) + LONG + LONG + "cc cc", 296, True),
        ("c7f8" + near(0) + LONG + LONG + "cc cc", 296, True),
        ("0f84" + near(284) + LONG + LONG + "cc cc", 296, False),  # up to the cut
        ("48b8 e9" + near(293) + "000000" + LONG + LONG + "cc cc", 300, True),  # a number like a jump
        ("48b8 e9" + near(292) + "000000" + LONG + LONG + "cc cc", 300, False),
        ("0f1f0500000000" + "90" * 140 + "cc", 147, False),  # the reference of a no-operation
        (CALL + "c3" + "0f1f0500000000" + "90" * 140 + "cc", 153, False),
        ("c3" + "90" * 140, 100, False),
        ("eb7e" + "90" * 126 + "cc", 128, False),
        (CALL + "eb7d" + "90" * 126 + "cc", 132, False),
        ("06" + LONG, 1, False),  # no code at all
    ],
)
def test_cut_off(blank: Image, monkeypatch: pytest.MonkeyPatch, code: str, size: int, again: bool) -> None:
    image, pieces = image_of(blank, code)
    expected = cut(image, pieces, [size], whole=True)
    told: list[int] = []

    def remember(image: Image, layout: Layout, pieces: list[Piece]) -> None:
        told.extend(piece.start for piece in pieces)
        rescan(image, layout, pieces)

    monkeypatch.setattr(shortening, "rescan", remember)
    assert cut(image, pieces, [size], whole=False) == expected
    assert told == [TEXT] * again


PARTS = st.sampled_from(
    (CALL, LONG, "90", "c3", "cc", "ffd0", "488d0d 00100000", "0f1f05 00100000", "90" * 100, "06")
)
JUMPS = st.integers(-400, 400).map(lambda distance: "e9" + near(distance))
BRANCHES = st.integers(-400, 400).map(lambda distance: "0f8c" + near(distance))
SHORT = st.integers(0, 127).map(lambda distance: f"eb{distance:02x}")
CODES = st.lists(PARTS | JUMPS | BRANCHES | SHORT, min_size=1, max_size=8).map("".join)


@given(st.lists(st.tuples(CODES, st.integers(0, 700)), min_size=1, max_size=3))
def test_any_cut(blank: Image, made: list[tuple[str, int]]) -> None:
    image, pieces = image_of(blank, *(code for code, _ in made))
    sizes = [size for _, size in made]
    assert cut(image, pieces, sizes, whole=False) == cut(image, pieces, sizes, whole=True)


def test_nothing_cut_off(blank: Image) -> None:
    layout = Layout()
    rescan_ends(blank, layout, [], [])
    assert (layout.count, layout.pieces) == (0, {})
