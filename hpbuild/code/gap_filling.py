"""The fragments of gaps: what no unwind row describes, rebuilt whenever something new is known."""

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.cutter import CODE, OPAQUE, PADDING
from hpbuild.code.cutting import Parts
from hpbuild.code.gap_runs import Spans, cut_at, nothing_cut, recut
from hpbuild.code.gaps import split_gap
from hpbuild.code.layout import Layout, Piece, add_code
from hpbuild.code.model import I64
from hpbuild.pe.image import Image

Pieces = dict[int, Piece]


@dataclass(slots=True)
class _Gap:
    """One gap that holds jump tables, as last built: the starts it was cut at, the fragments and filler that
    came of it."""

    start: int
    end: int
    cuts: list[int] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    padding: list[tuple[int, int]] = field(default_factory=list)


class Gaps:
    """All gaps ``[start, end)`` of an image, ascending, and what they were last found to hold."""

    def __init__(self, gaps: list[tuple[int, int]]) -> None:
        columns = np.array(gaps, dtype=np.int64).reshape(-1, 2).T
        self.spans = Spans(columns[0], columns[1])
        self.cut = nothing_cut()
        self.with_tables: dict[int, _Gap] = {}
        """By number of the gap."""
        self.takers: Pieces = {}
        """Code of the other gaps that takes the image base."""

    def padding(self) -> list[tuple[int, int]]:
        """The filler in all gaps."""
        return self.cut.padding() + [run for gap in self.with_tables.values() for run in gap.padding]


def fill_gaps(image: Image, layout: Layout, gaps: Gaps, known: I64) -> list[Piece]:
    """(Re)build the fragments of each gap whose starts have changed; ``known`` are all starts, ascending.
    Those that are new, and what else in such a gap takes the image base: its tables may have changed."""
    tables = np.array(sorted(layout.tables), dtype=np.int64)
    owner = gaps.spans.owners(tables)
    plain = np.ones(len(gaps.spans), dtype=np.bool_)
    plain[owner[owner >= 0]] = False
    gaps.cut = recut(image, gaps.cut, cut_at(gaps.spans.only(plain), known))
    gone = {start: layout.pieces.pop(start) for start, *_ in _contents(gaps.cut.gone)}
    made = {start: _piece(start, end, kind, gone) for start, end, kind in _contents(gaps.cut.fresh)}
    layout.pieces.update(made)
    again = _takers_of_changed(layout, gaps, made)
    switches = []
    for number in np.flatnonzero(~plain).tolist():
        gap = gaps.with_tables.setdefault(number, _Gap(*gaps.spans.row(number)))
        low, high = np.searchsorted(known, (gap.start, gap.end)).tolist()
        cuts, inside = known[low:high].tolist(), tables[owner == number].tolist()
        if (cuts, inside) != (gap.cuts, gap.tables):
            gap.cuts, gap.tables = cuts, inside
            switches += _rebuilt(image, layout, gap, _Earlier(layout.pieces, made, gone, gap.end))
    unknown = [piece for piece in made.values() if piece is not gone.get(piece.start)]
    add_code(image, layout, [piece for piece in [*unknown, *switches] if not piece.opaque])
    takers = {**gaps.takers, **made}.values()
    gaps.takers = {
        piece.start: piece for piece in takers if piece.registers and layout.pieces.get(piece.start) is piece
    }
    return sorted([*made.values(), *again, *switches], key=lambda piece: piece.start)


def _contents(parts: Parts) -> list[tuple[int, int, int]]:
    """The parts that are no filler."""
    some = parts.only(parts.kind != PADDING)
    return list(zip(some.start.tolist(), some.end.tolist(), some.kind.tolist(), strict=True))


def _piece(start: int, end: int, kind: int, gone: Pieces) -> Piece:
    """A fragment of a gap; the one that was there before when it is the same code."""
    before = gone.get(start)
    if before is not None and before.end == end and kind == CODE and not before.opaque:
        before.more = None
        return before
    return Piece(start, end, start, 0, kind == OPAQUE)


def _takers_of_changed(layout: Layout, gaps: Gaps, made: Pieces) -> list[Piece]:
    """The code that takes the image base and stays in gaps that changed."""
    live = {
        start: piece
        for start, piece in gaps.takers.items()
        if start not in made and layout.pieces.get(start) is piece
    }
    changed = distinct(gaps.spans.owners(gaps.cut.fresh.start))
    owner = gaps.spans.owners(np.array(list(live), dtype=np.int64))
    found = [piece for piece, at in zip(live.values(), np.isin(owner, changed).tolist(), strict=True) if at]
    for piece in found:
        piece.more = None
    return found


@dataclass(frozen=True, slots=True)
class _Earlier:
    """The pieces as they are while a gap is rebuilt: gaps change in ascending order, so of those behind it
    the pieces are the ones that were there before."""

    pieces: Pieces
    made: Pieces
    gone: Pieces
    end: int

    def get(self, start: int) -> Piece | None:
        """The piece that begins at ``start``."""
        if start >= self.end and (start in self.gone or start in self.made):
            return self.gone.get(start)
        return self.pieces.get(start)


def _rebuilt(image: Image, layout: Layout, gap: _Gap, readers: _Earlier) -> list[Piece]:
    """Cut the gap at its known starts, with the jump tables in it set apart first."""
    for start in gap.pieces:
        del layout.pieces[start]
    gap.pieces, gap.padding = [], []
    at = gap.start
    for table, following in pairwise([*gap.tables, gap.end]):
        if table < at:  # another reader's address inside a table
            continue
        _build_run(image, layout, gap, (at, table))
        root, _ = layout.tables[table]
        at = _table_end(image, layout, gap, (table, following), readers.get(root))
        layout.pieces[table] = Piece(table, at, root, 0, True)
        gap.pieces.append(table)
    _build_run(image, layout, gap, (at, gap.end))
    return [layout.pieces[start] for start in gap.pieces]


def _build_run(image: Image, layout: Layout, gap: _Gap, run: tuple[int, int]) -> None:
    made = split_gap(image.read(run[0], run[1] - run[0]), run[0], set(gap.cuts))
    gap.padding += [(part.start, part.end) for part in made if part.kind == "padding"]
    for part in made:
        if part.kind != "padding":
            opaque = part.kind == "opaque"
            layout.pieces[part.start] = Piece(part.start, part.end, part.start, 0, opaque)
    gap.pieces = sorted({*gap.pieces, *(part.start for part in made if part.kind != "padding")})


def _table_end(image: Image, layout: Layout, gap: _Gap, span: tuple[int, int], reader: Piece | None) -> int:
    """End of the MSVC table in ``span``: entries that point into the function that reads it, and the table of
    bytes that selects them when that function reads one; all of the span when it has no entry."""
    at = table = span[0]
    limit = span[1]
    while reader is not None and at + 4 <= limit and reader.start <= image.u32(at) < reader.end:
        at += 4
    if at == table:
        return limit
    if layout.tables[table][0] in layout.selected:
        following = bisect_left(gap.cuts, at)
        return _bytes_end(image, at, min(limit, gap.cuts[following] if following < len(gap.cuts) else limit))
    return at


def _bytes_end(image: Image, at: int, limit: int) -> int:
    """End of the table of bytes at ``at``: where int3 fills up to a boundary of 16, at most ``limit``."""
    code = image.read(at, limit - at)
    for boundary in range(at // 16 * 16 + 16, limit, 16):
        kept = code[: boundary - at].rstrip(b"\xcc")
        if len(kept) < boundary - at:
            return at + len(kept)
    return at + len(code.rstrip(b"\xcc"))
