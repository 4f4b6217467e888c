"""Fragments in the making: pieces of code and data, their references, the tables they read."""

from dataclasses import dataclass, field

from hpbuild.code.decode import ReferenceColumns, scan
from hpbuild.pe.image import Image


@dataclass(slots=True)
class Piece:
    """One fragment in the making. ``tables`` are RVAs of MSVC jump tables that its code reads."""

    start: int
    end: int
    root: int
    unwind: int
    opaque: bool
    registers: frozenset[int] = frozenset()
    falls_through: bool = False


@dataclass(slots=True)
class Layout:
    """All fragments of an image (by start), its filler, its references, its RVA tables."""

    pieces: dict[int, Piece] = field(default_factory=dict)
    padding: list[tuple[int, int]] = field(default_factory=list)
    columns: dict[int, ReferenceColumns] = field(default_factory=dict)
    tables: dict[int, tuple[int, int]] = field(default_factory=dict)
    """MSVC table RVA -> (root of the function that reads it, bytes read at once)."""
    selected: set[int] = field(default_factory=set)
    """Roots of functions that read single bytes behind the image base: which entry of a table to take."""


def add_code(image: Image, layout: Layout, piece: Piece) -> None:
    """Scan a piece and add it; bytes from the first non-instruction on become an opaque piece."""
    columns = ReferenceColumns()
    code = image.read(piece.start, piece.end - piece.start)
    run = scan(code, piece.start, columns)
    piece.registers = run.image_base
    piece.falls_through = run.falls_through
    layout.columns[piece.start] = columns
    layout.pieces[piece.start] = piece
    if run.bad >= 0:
        truncate(image, layout, piece, run.bad)


def cut_heads(layout: Layout, heads: dict[int, int]) -> None:
    """Let the pieces at the keys begin at the values instead: what lies before is filler, which names
    nothing. A function that began there has its new start for a root."""
    for old, new in heads.items():
        piece = layout.pieces.pop(old)
        piece.start = new
        layout.pieces[new] = piece
        if old in layout.columns:
            layout.columns[new] = layout.columns.pop(old)
        layout.padding.append((old, new))
    for piece in layout.pieces.values():
        piece.root = heads.get(piece.root, piece.root)
    for table, (root, width) in layout.tables.items():
        layout.tables[table] = heads.get(root, root), width
    layout.selected = {heads.get(root, root) for root in layout.selected}


def truncate(image: Image, layout: Layout, piece: Piece, stop: int) -> None:
    """End the code of ``piece`` at ``stop``; the rest of it becomes opaque, with what was opaque behind it
    for no other reason than a byte that is no instruction."""
    end, piece.end = piece.end, stop
    if stop < end:
        behind = layout.pieces.get(end)
        if behind is not None and behind.opaque and behind.root == piece.root and end not in layout.tables:
            end = layout.pieces.pop(end).end
        layout.pieces[stop] = Piece(stop, end, piece.root, 0, True)
    if stop == piece.start:
        layout.columns.pop(stop, None)
        return
    columns = ReferenceColumns()
    run = scan(image.read(piece.start, stop - piece.start), piece.start, columns)
    piece.falls_through = run.falls_through
    layout.columns[piece.start] = columns
