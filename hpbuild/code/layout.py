"""Fragments in the making: pieces of code and data, their references, the tables they read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hpbuild.code.decode import ReferenceColumns, scan
from hpbuild.code.model import I64
from hpbuild.code.scanning import Scanned, scan_all
from hpbuild.pe.image import Image


@dataclass(slots=True)
class Piece:
    """One fragment in the making. ``registers`` took the image base; ``rows`` is the run of ``Layout.blocks``
    with the references of its code, ``more`` holds others of it."""

    start: int
    end: int
    root: int
    unwind: int
    opaque: bool
    registers: frozenset[int] = frozenset()
    falls_through: bool = False
    rows: tuple[int, int] = (0, 0)
    more: ReferenceColumns | None = None


@dataclass(slots=True)
class Layout:
    """All fragments of an image (by start), its filler, its references, its RVA tables."""

    pieces: dict[int, Piece] = field(default_factory=dict)
    padding: list[tuple[int, int]] = field(default_factory=list)
    blocks: list[I64] = field(default_factory=list)
    """References: columns of three rows (site, target, meta), as they were found."""
    count: int = 0
    """References in ``blocks``."""
    tables: dict[int, tuple[int, int]] = field(default_factory=dict)
    """MSVC table RVA -> (root of the function that reads it, bytes read at once)."""
    selected: set[int] = field(default_factory=set)
    """Roots of functions that read single bytes behind the image base: which entry of a table to take."""

    def add(self, scanned: Scanned) -> list[int]:
        """Keep what was found; where the rows of each run begin, and where the last end."""
        begin, self.count = self.count, self.count + len(scanned.site)
        self.blocks.append(np.stack([scanned.site, scanned.target, scanned.meta]))
        return [begin, *(scanned.ends + begin).tolist()]

    def references(self, pieces: Iterable[Piece]) -> I64:
        """The references of ``pieces``: columns of three rows (site, target, meta)."""
        chosen = list(pieces)
        self.blocks = [np.concatenate([np.zeros((3, 0), dtype=np.int64), *self.blocks], axis=1)]
        rows = np.array([piece.rows for piece in chosen], dtype=np.int64).reshape(-1, 2)
        own = self.blocks[0][:, _members(rows[:, 0], rows[:, 1])]
        more = [piece.more.rows() for piece in chosen if piece.more is not None]
        return np.concatenate([own, *more], axis=1)


def _members(begin: I64, end: I64) -> I64:
    """All numbers of the runs ``[begin, end)``, one run behind the other."""
    sizes = end - begin
    before = np.cumsum(sizes) - sizes
    found: I64 = np.arange(sizes.sum(), dtype=np.int64) + np.repeat(begin - before, sizes)
    return found


def add_code(image: Image, layout: Layout, pieces: Sequence[Piece]) -> None:
    """Scan pieces and add them; bytes from the first non-instruction on become an opaque piece."""
    number = 0
    for scanned in _scan(image, pieces):
        done = pieces[number : number + len(scanned.sizes)]
        layout.pieces.update((piece.start, piece) for piece in done)
        facts = zip(done, pairwise(layout.add(scanned)), scanned.falls_through.tolist(), strict=True)
        for piece, rows, falls in facts:
            piece.rows, piece.falls_through = rows, falls
        for index, registers in scanned.image_base.items():
            done[index].registers = registers
        sizes = np.array([piece.end - piece.start for piece in done], dtype=np.int64)
        for index in np.flatnonzero(scanned.sizes < sizes).tolist():
            truncate(layout, done[index], done[index].start + int(scanned.sizes[index]))
        number += len(done)


def _scan(image: Image, pieces: Sequence[Piece]) -> Iterator[Scanned]:
    memory = image.memory.data
    starts = [piece.start for piece in pieces]
    return scan_all([bytes(memory[piece.start : piece.end]) for piece in pieces], starts)


def cut_heads(layout: Layout, heads: dict[int, int]) -> None:
    """Let the pieces at the keys begin at the values instead: what lies before is filler, which names
    nothing. A function that began there has its new start for a root."""
    for old, new in heads.items():
        piece = layout.pieces.pop(old)
        piece.start = new
        layout.pieces[new] = piece
        layout.padding.append((old, new))
    for piece in layout.pieces.values():
        piece.root = heads.get(piece.root, piece.root)
    for table, (root, width) in layout.tables.items():
        layout.tables[table] = heads.get(root, root), width
    layout.selected = {heads.get(root, root) for root in layout.selected}


def truncate(layout: Layout, piece: Piece, stop: int) -> None:
    """End the code of ``piece`` at ``stop``; the rest of it becomes opaque, with what was opaque behind it
    for no other reason than a byte that is no instruction. What it refers to is then to be found again."""
    end, piece.end = piece.end, stop
    if stop < end:
        behind = layout.pieces.get(end)
        if behind is not None and behind.opaque and behind.root == piece.root and end not in layout.tables:
            end = layout.pieces.pop(end).end
        layout.pieces[stop] = Piece(stop, end, piece.root, 0, True)


def rescan(image: Image, layout: Layout, pieces: Sequence[Piece]) -> None:
    """Find again what truncated pieces refer to. Their last instruction may be cut in two."""
    number = 0
    for scanned in _scan(image, pieces):
        done = pieces[number : number + len(scanned.sizes)]
        facts = zip(done, pairwise(layout.add(scanned)), strict=True)
        for index, (piece, rows) in enumerate(facts):
            piece.rows, piece.falls_through = rows, bool(scanned.falls_through[index])
            if scanned.sizes[index] < piece.end - piece.start:
                columns = ReferenceColumns()
                code = image.read(piece.start, piece.end - piece.start)
                piece.falls_through = scan(code, piece.start, columns).falls_through
                piece.rows, piece.more = (0, 0), columns
        number += len(done)
