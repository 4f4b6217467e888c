"""Fragments in the making: code is scanned, cut short and scanned again."""

from collections.abc import Callable

import pytest

from hpbuild.code.decode import ReferenceColumns, RefKind
from hpbuild.code.layout import Layout, add_code, rescan, truncate
from hpbuild.code.pieces import Piece
from hpbuild.pe.image import Image

Build = Callable[..., Image]


def piece(start: int, end: int) -> Piece:
    return Piece(start, end, start, 0, False)


def sites(layout: Layout, *starts: int) -> list[int]:
    rows: list[int] = layout.references([layout.pieces[start] for start in starts])[0].tolist()
    return rows


@pytest.fixture
def image(build: Build) -> Image:
    """`call`, `jmp` to the fourth byte behind it, four no-operations, `ret`; bytes that are no code."""
    text = "e8 fb0f0000 eb04 90909090 c3" + "06" * 4 + "e8 00000000 c3"
    return build(text=bytes.fromhex(text))


def test_references_of_chosen_pieces(image: Image) -> None:
    layout = Layout()
    add_code(image, layout, [piece(0x1000, 0x100C), piece(0x1010, 0x1016)])
    assert sites(layout, 0x1000, 0x1010) == [0x1001, 0x1011]
    assert sites(layout, 0x1010) == [0x1011]
    add_code(image, layout, [piece(0x1005, 0x1007)])
    assert sites(layout, 0x1010, 0x1005) == [0x1011, 0x1006]
    more = ReferenceColumns()
    more.add(7, 8, RefKind.IMAGE_BASE)
    layout.pieces[0x1005].more = more
    assert sites(layout, 0x1005) == [0x1006, 7]
    assert layout.references([]).shape == Layout().references([]).shape == (3, 0)


def test_bytes_behind_the_code_are_opaque(image: Image) -> None:
    layout = Layout()
    add_code(image, layout, [piece(0x1000, 0x1010)])
    found = [(p.start, p.end, p.opaque, p.falls_through) for p in layout.pieces.values()]
    assert found == [(0x1000, 0x100C, False, False), (0x100C, 0x1010, True, False)]


@pytest.mark.parametrize(
    ("stop", "expected", "falls"),
    [
        (0x1007, [0x1001, 0x1006], False),  # the jump leaves now
        (0x100B, [0x1001, 0x1006], False),
        (0x1008, [0x1001, 0x1006], False),
        (0x1005, [0x1001], False),
        (0x1006, [0x1001], False),  # in the middle of the jump
        (0x1003, [], False),
    ],
)
def test_truncated_code(image: Image, stop: int, expected: list[int], falls: bool) -> None:
    layout = Layout()
    add_code(image, layout, [piece(0x1000, 0x100C)])
    code = layout.pieces[0x1000]
    assert sites(layout, 0x1000) == [0x1001]
    truncate(layout, code, stop)
    rescan(image, layout, [code])
    assert (code.end, layout.pieces[stop].opaque, layout.pieces[stop].end) == (stop, True, 0x100C)
    assert sites(layout, 0x1000) == expected
    assert code.falls_through is falls


def test_truncated_where_it_falls_through(image: Image) -> None:
    layout = Layout()
    add_code(image, layout, [piece(0x1007, 0x100C)])
    code = layout.pieces[0x1007]
    assert not code.falls_through
    truncate(layout, code, 0x1009)
    rescan(image, layout, [code])
    assert code.falls_through
