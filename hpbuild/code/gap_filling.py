"""The fragments of gaps: what no unwind row describes, rebuilt whenever something new is known."""

from bisect import bisect_left
from itertools import pairwise

import numpy as np

from hpbuild.code.columns import among, distinct, marked, picked
from hpbuild.code.cutter import CODE, PADDING
from hpbuild.code.cutting import Parts
from hpbuild.code.gap_runs import Cut, Spans, first_cut, recut
from hpbuild.code.gaps import Runs, split_gap
from hpbuild.code.layout import Layout, add_code, tell_places
from hpbuild.code.model import I64
from hpbuild.code.pieces import Columns, Piece
from hpbuild.code.scanned import Scanned
from hpbuild.dataclass import dataclass, field
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
    runs: Runs = field(default_factory=dict)
    """What its runs were cut into so far: a new start changes only the one in which it lies."""


class Gaps:
    """All gaps ``[start, end)`` of an image, ascending, and what they were last found to hold."""

    def __init__(self, start: I64, end: I64) -> None:
        self.spans = Spans(start, end)
        self.known = start[:0]
        """The starts in them that are known, ascending."""
        self.cut: Cut | None = None
        """Those without tables."""
        self.with_tables: dict[int, _Gap] = {}
        """By number of the gap."""
        self.takers: Pieces = {}
        """Code of the other gaps that takes the image base."""

    def padding(self) -> I64:
        """The filler in all gaps: rows (start, end), in no order."""
        others = [run for gap in self.with_tables.values() for run in gap.padding]
        rows = [np.array(others, dtype=np.int64).reshape(-1, 2)]
        return np.concatenate([*rows, self.cut.padding()] if self.cut is not None else rows)


@dataclass(frozen=True, slots=True)
class Fresh:
    """What changed in the gaps: where the fragments begin that are new or looked at again (in no order), and
    those among them, as objects, that may take the image base, ascending."""

    starts: I64
    takers: list[Piece]


def fill_gaps(image: Image, layout: Layout, gaps: Gaps, known: I64) -> Fresh:
    """(Re)build the fragments of each gap in which more starts are ``known`` (ascending; those of before may
    be left out). Those that are new, and what else in such a gap takes the image base: its tables may have
    changed."""
    known = picked(known, gaps.spans.owners(known) >= 0)
    known = picked(known, ~among(known, gaps.known))
    gaps.known = np.sort(np.concatenate([gaps.known, known]))
    tables = np.array(sorted(layout.tables), dtype=np.int64)
    owner = gaps.spans.owners(tables)
    tables, owner = tables[owner >= 0], owner[owner >= 0]
    numbers = distinct(owner)
    gaps.cut, changed = _cut(image, gaps, known, numbers)
    gone, made = _contents(gaps.cut.gone), _contents(gaps.cut.fresh)
    again = _takers_of(layout, gaps, changed, made, gone)
    _exchange(layout, gone, made, gaps.cut.scanned)
    switches = []
    bounds = np.stack([gaps.spans.start[numbers], gaps.spans.end[numbers]], axis=1)
    rows = zip(numbers.tolist(), np.searchsorted(gaps.known, bounds).tolist(), strict=True)
    for (number, (low, high)), (first, last) in zip(
        rows, np.searchsorted(tables, bounds).tolist(), strict=True
    ):
        gap = gaps.with_tables.setdefault(number, _Gap(*gaps.spans.row(number)))
        cuts, inside = gaps.known[low:high].tolist(), tables[first:last].tolist()
        if (cuts, inside) != (gap.cuts, gap.tables):
            gap.cuts, gap.tables = cuts, inside
            switches += _rebuilt(image, layout, gap, _Earlier(layout, made, gone, gap.end))
    add_code(image, layout, [piece for piece in switches if not piece.opaque])
    takers = [piece for piece in _objects(layout, made.start) if piece.registers]
    gaps.takers = {
        piece.start: piece
        for piece in [*gaps.takers.values(), *takers]
        if layout.pieces.get(piece.start) is piece
    }
    found = sorted([*takers, *again, *switches], key=lambda piece: piece.start)
    others = np.array([piece.start for piece in [*again, *switches]], dtype=np.int64)
    return Fresh(np.concatenate([made.start, others]), found)


def _cut(image: Image, gaps: Gaps, known: I64, with_tables: I64) -> tuple[Cut, I64]:
    """The gaps but for those numbers ``with_tables``, cut at what is ``known`` now; the numbers of those of
    which more is."""
    plain = np.ones(len(gaps.spans), dtype=np.bool_)
    plain[with_tables] = False
    owner = gaps.spans.owners(known)
    cuts = known[plain[owner]]
    if gaps.cut is None:
        return first_cut(image, gaps.spans.only(plain), cuts), owner[:0]
    plain[list(gaps.with_tables)] = True  # those were taken out before
    return recut(image, gaps.cut, cuts, gaps.spans.only(~plain)), distinct(owner)


def _contents(parts: Parts) -> Parts:
    """The parts that are no filler."""
    return parts.only(parts.kind != PADDING)


def _objects(layout: Layout, starts: I64) -> list[Piece]:
    """Those of the fragments that begin at ``starts`` (ascending) which are objects."""
    objects = np.fromiter(layout.pieces, dtype=np.int64, count=len(layout.pieces))
    return [layout.pieces[start] for start in objects[among(objects, starts)].tolist()]


def _exchange(layout: Layout, gone: Parts, made: Parts, scanned: Scanned) -> None:
    """Put fragments in the place of others, ``scanned`` being what was found in their code. What is the same
    code as before is kept as it was."""
    if not len(gone.start) and not len(made.start):
        return
    stays = among(_keys(made), _keys(gone)) & (made.kind == CODE)
    kept = made.only(stays)
    for piece in _objects(layout, gone.start):
        if among(np.array([piece.start]), kept.start)[0]:
            piece.more = None
        else:
            del layout.pieces[piece.start]
    live = ~marked(layout.gaps.start, gone.start) | marked(layout.gaps.start, kept.start)
    fresh = scanned.only(~stays[made.kind == CODE])
    layout.gaps = layout.gaps.only(live).joined(_added(layout, made.only(~stays), fresh))


def _keys(parts: Parts) -> I64:
    """A number for each part that tells it from all others; ascending."""
    found: I64 = parts.start << 32 | parts.end << 1 | (parts.kind == CODE)
    return found


def _added(layout: Layout, parts: Parts, scanned: Scanned) -> Columns:
    """Fragments of these parts, ``scanned`` being what was found in the code; those that take the image base
    become objects."""
    code = parts.kind == CODE
    before, (first, last) = layout.add(scanned), np.zeros((2, len(code)), dtype=np.int64)
    first[code], last[code] = scanned.first + before, scanned.ends + before
    falls = np.zeros(len(code), dtype=np.bool_)
    falls[code] = scanned.falls_through
    columns = Columns(
        start=parts.start, end=parts.end, root=parts.start, unwind=np.zeros_like(parts.start),
        opaque=~code, falls_through=falls, first=first, last=last,
    )  # fmt: skip
    runs = np.fromiter(scanned.image_base, dtype=np.int64, count=len(scanned.image_base))
    takers = np.zeros(len(code), dtype=np.bool_)
    takers[np.flatnonzero(code)[runs]] = True
    for piece in columns.only(takers).pieces():
        layout.pieces[piece.start] = piece
    for start, registers in zip(parts.start[code][runs].tolist(), scanned.image_base.values(), strict=True):
        layout.pieces[start].registers = registers
    tell_places([layout.pieces[start] for start in parts.start[code][runs].tolist()], scanned)
    return columns.only(~takers)


def _takers_of(layout: Layout, gaps: Gaps, changed: I64, made: Parts, gone: Parts) -> list[Piece]:
    """The code in the ``changed`` gaps (by number) that takes the image base and stays."""
    starts = np.array(sorted(gaps.takers), dtype=np.int64)
    starts = starts[~among(starts, made.start) & ~among(starts, gone.start)]
    starts = starts[among(gaps.spans.owners(starts), changed)]
    found = [gaps.takers[start] for start in starts.tolist()]
    found = [piece for piece in found if layout.pieces.get(piece.start) is piece]
    for piece in found:
        piece.more = None
    return found


@dataclass(frozen=True, slots=True)
class _Earlier:
    """The fragments as they are while a gap is rebuilt: gaps change in ascending order, so of those behind it
    the fragments are the ones that were there before."""

    layout: Layout
    made: Parts
    gone: Parts
    end: int

    def end_of(self, start: int) -> int | None:
        """The end of the fragment that begins at ``start``, if one does."""
        if start < self.end:
            return self.layout.end_of(start)
        place = int(np.searchsorted(self.gone.start, start))
        if place < len(self.gone.start) and self.gone.start[place] == start:
            return int(self.gone.end[place])
        return None if among(np.array([start]), self.made.start)[0] else self.layout.end_of(start)


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
        at = _table_end(image, layout, gap, (table, following), (root, readers.end_of(root)))
        layout.pieces[table] = Piece(table, at, root, 0, True)
        gap.pieces.append(table)
    _build_run(image, layout, gap, (at, gap.end))
    return [layout.pieces[start] for start in gap.pieces]


def _build_run(image: Image, layout: Layout, gap: _Gap, run: tuple[int, int]) -> None:
    cuts = gap.cuts[bisect_left(gap.cuts, run[0]) : bisect_left(gap.cuts, run[1])]
    made = split_gap(image.read(run[0], run[1] - run[0]), run[0], cuts, gap.runs)
    gap.padding += [(part.start, part.end) for part in made if part.kind == "padding"]
    for part in made:
        if part.kind != "padding":
            opaque = part.kind == "opaque"
            layout.pieces[part.start] = Piece(part.start, part.end, part.start, 0, opaque)
    gap.pieces = sorted({*gap.pieces, *(part.start for part in made if part.kind != "padding")})


def _table_end(
    image: Image, layout: Layout, gap: _Gap, span: tuple[int, int], reader: tuple[int, int | None]
) -> int:
    """End of the MSVC table in ``span``: entries that point into the function that reads it, and the table of
    bytes that selects them when that function reads one; all of the span when it has no entry."""
    at = table = span[0]
    limit = span[1]
    while reader[1] is not None and at + 4 <= limit and reader[0] <= image.u32(at) < reader[1]:
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
