"""Fragments as columns and as objects."""

import numpy as np
import pytest

from hpbuild.code.decode import ReferenceColumns, RefKind
from hpbuild.code.layout import Layout, cut_heads
from hpbuild.code.pieces import Columns, Piece, columns_of

ONE = Piece(0x10, 0x18, 0x10, 0x3000, False, falls_through=True, rows=(2, 4))
TWO = Piece(0x20, 0x28, 0x10, 0, True)
THREE = Piece(0x30, 0x38, 0x30, 0, False, rows=(0, 2))


def starts(columns: Columns) -> list[int]:
    found: list[int] = columns.start.tolist()
    return found


def test_objects_as_columns_and_back() -> None:
    assert list(columns_of([THREE, ONE, TWO]).pieces()) == [ONE, TWO, THREE]
    assert list(columns_of([]).pieces()) == []
    assert len(columns_of([ONE, TWO])) == 2


def test_chosen_and_joined() -> None:
    columns = columns_of([ONE, THREE])
    assert list(columns.only(np.array([False, True])).pieces()) == [THREE]
    assert list(columns.joined(columns_of([TWO])).pieces()) == [ONE, TWO, THREE]
    assert list(columns_of([]).joined(columns).pieces()) == [ONE, THREE]


def test_end_of_a_fragment() -> None:
    columns = columns_of([ONE, THREE])
    assert [columns.end_of(start) for start in (0x0F, 0x10, 0x11, 0x30, 0x40)] == [
        None,
        0x18,
        None,
        0x38,
        None,
    ]
    assert columns_of([]).end_of(0x10) is None


@pytest.fixture
def layout() -> Layout:
    """One fragment of an unwind row, one of a gap, one object; four references."""
    block = np.array([[0x31, 0x33, 0x11, 0x13], [1, 2, 3, 4], [RefKind.CALL] * 4], dtype=np.uint32)
    return Layout(
        rows=columns_of([ONE]),
        gaps=columns_of([THREE]),
        pieces={TWO.start: TWO},
        blocks=[block[:, :3], block[:, 3:]],
        count=4,
    )


def test_a_layout_of_both(layout: Layout) -> None:
    assert layout.starts().tolist() == [0x10, 0x20, 0x30]
    assert list(layout.table().pieces()) == [ONE, TWO, THREE]
    assert [layout.end_of(start) for start in (0x10, 0x20, 0x30, 0x12)] == [0x18, 0x28, 0x38, None]


def test_fragments_become_objects(layout: Layout) -> None:
    layout.take(np.array([0x10, 0x15, 0x20]))
    assert layout.pieces == {0x10: ONE, 0x20: TWO}
    assert (starts(layout.rows), starts(layout.gaps)) == ([], [0x30])
    layout.take(np.array([0x30]))
    assert layout.pieces[0x30] == THREE
    assert list(layout.table().pieces()) == [ONE, TWO, THREE]


def test_references_of_all(layout: Layout) -> None:
    more = ReferenceColumns()
    more.add(0x21, 5, RefKind.IMAGE_BASE)
    layout.pieces[TWO.start] = Piece(0x20, 0x28, 0x10, 0, False, more=more)
    assert sorted(layout.references().T.tolist()) == [
        [0x11, 3, RefKind.CALL],
        [0x13, 4, RefKind.CALL],
        [0x21, 5, RefKind.IMAGE_BASE],
        [0x31, 1, RefKind.CALL],
        [0x33, 2, RefKind.CALL],
    ]
    assert layout.references([THREE])[0].tolist() == [0x31, 0x33]


@pytest.mark.parametrize("count", range(5))
def test_references_found_since(layout: Layout, count: int) -> None:
    found = [site for block in layout.since(count) for site in block[0].tolist()]
    assert found == [0x31, 0x33, 0x11, 0x13][count:]


def test_a_moved_start_moves_its_function(layout: Layout) -> None:
    other = Piece(0x50, 0x58, 0x20, 0, False)
    layout.rows = layout.rows.joined(columns_of([other]))
    layout.tables, layout.selected = {0x60: (0x20, 4), 0x70: (0x30, 4)}, {0x20, 0x30}
    cut_heads(layout, {0x20: 0x24})
    assert [(piece.start, piece.root) for piece in layout.table().pieces()] == [
        (0x10, 0x10),
        (0x24, 0x10),
        (0x30, 0x30),
        (0x50, 0x24),
    ]
    assert layout.padding.tolist() == [[0x20, 0x24]]
    assert (layout.tables, layout.selected) == ({0x60: (0x24, 4), 0x70: (0x30, 4)}, {0x24, 0x30})


def test_fragments_of_functions() -> None:
    """Parts of a function whose first fragment is elsewhere are of its root too."""
    pieces = [
        Piece(0x10 * n, 0x10 * n + 8, root, 0, False) for n, root in enumerate((0, 0x10, 0x10, 0x50, 0))
    ]
    columns = columns_of(pieces)
    for roots in ([], [0], [0x10], [0, 0x50], [0x20, 0x30, 0x60], [0, 0x10, 0x50]):
        chosen = columns.of_roots(np.array(roots, dtype=np.int64))
        assert sorted(chosen.tolist()) == [n for n, piece in enumerate(pieces) if piece.root in roots]
    assert columns_of([]).of_roots(np.array([1])).tolist() == []
