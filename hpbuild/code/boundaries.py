"""Function boundaries: unwind tables where they speak, other evidence in the gaps (design, section 4)."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hpbuild.code.decode import ReferenceColumns, RefKind, image_base_operands, scan
from hpbuild.code.gaps import split_gap
from hpbuild.pe.image import Image
from hpbuild.pe.unwind import RuntimeFunctions

Tick = Callable[[int, int], None]


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


_KIND = 0xF
_ACCESS_SHIFT = 12


def find_fragments(
    image: Image,
    rows: RuntimeFunctions,
    roots: dict[int, int],
    executable: list[tuple[int, int]],
    starts: Iterable[int],
    tick: Tick,
) -> Layout:
    """Partition ``executable`` (disjoint runs, ascending) into fragments and filler.

    ``roots`` gives for each chained unwind row's begin the begin of the function it belongs to;
    ``starts`` are addresses from symbols, exports, guard tables and relocated pointers. Addresses that
    decoded code calls or takes are added until nothing new comes.
    """
    layout = Layout()
    spans = _spans(rows, executable)
    for number, (begin, end, unwind) in enumerate(spans):
        _add_code(image, layout, Piece(begin, end, roots.get(begin, begin), unwind, False))
        if number % 4096 == 0:
            tick(number, len(spans))
    _image_base_pass(image, layout, list(layout.pieces.values()), cut=True)
    gaps = [_Gap(start, end) for start, end in _complement(executable, spans)]
    known = set(starts)
    for _ in range(12):
        known |= _targets(layout) | layout.tables.keys()
        fresh = _fill_gaps(image, layout, gaps, known)
        if not fresh:
            break
        _image_base_pass(image, layout, fresh, cut=False)
    layout.padding = sorted(run for gap in gaps for run in gap.padding)
    return layout


def _spans(rows: RuntimeFunctions, executable: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Unwind rows inside executable runs, cut where the next begins."""
    found: list[tuple[int, int, int]] = []
    ends = [stop for _, stop in executable]
    table = zip(rows.begin.tolist(), rows.end.tolist(), rows.unwind.tolist(), strict=True)
    for begin, end, unwind in table:
        run = bisect_right(ends, begin)
        if run == len(executable) or begin < executable[run][0]:
            continue
        if found and found[-1][1] > begin:
            if found[-1][0] == begin:
                continue
            found[-1] = (found[-1][0], begin, found[-1][2])
        found.append((begin, min(end, executable[run][1]), unwind))
    return found


def _complement(
    runs: list[tuple[int, int]], spans: list[tuple[int, int, int]]
) -> list[tuple[int, int]]:
    """Parts of ``runs`` that no span covers."""
    gaps, index = [], 0
    for begin, end in runs:
        at = begin
        while index < len(spans) and spans[index][0] < end:
            if spans[index][0] > at:
                gaps.append((at, spans[index][0]))
            at = max(at, spans[index][1])
            index += 1
        if at < end:
            gaps.append((at, end))
    return gaps


def _add_code(image: Image, layout: Layout, piece: Piece) -> None:
    """Scan a piece and add it; bytes from the first non-instruction on become an opaque piece."""
    columns = ReferenceColumns()
    code = image.read(piece.start, piece.end - piece.start)
    run = scan(code, piece.start, columns)
    piece.registers = run.image_base
    piece.falls_through = run.falls_through
    layout.columns[piece.start] = columns
    layout.pieces[piece.start] = piece
    if run.bad >= 0:
        _truncate(image, layout, piece, run.bad)


def _truncate(image: Image, layout: Layout, piece: Piece, stop: int) -> None:
    """End the code of ``piece`` at ``stop``; the rest of it becomes opaque."""
    end, piece.end = piece.end, stop
    if stop < end:
        layout.pieces[stop] = Piece(stop, end, piece.root, 0, True)
    if stop == piece.start:
        layout.columns.pop(stop, None)
        return
    columns = ReferenceColumns()
    run = scan(image.read(piece.start, stop - piece.start), piece.start, columns)
    piece.falls_through = run.falls_through
    layout.columns[piece.start] = columns


def _image_base_pass(image: Image, layout: Layout, pieces: list[Piece], cut: bool) -> None:
    """Add image-base-relative operands of those functions among ``pieces`` that take the image base. ``cut``
    their tables off the fragments in which they lie (MSVC puts them behind the code, inside the unwind row);
    in a gap they cut like any known start."""
    registers: dict[int, set[int]] = {}
    for piece in pieces:
        if piece.registers:
            registers.setdefault(piece.root, set()).update(piece.registers)
    users = [piece for piece in pieces if piece.root in registers and not piece.opaque]
    spans = _function_spans(layout)
    for piece in users:
        for target, meta in _image_base_rows(image, piece, registers[piece.root])[1]:
            if meta >> _ACCESS_SHIFT == 4 and _is_table(image, target, spans[piece.root]):
                table = _first_entry(image, target, spans[piece.root])
                layout.tables[table] = (piece.root, 4)
    if cut:
        _cut_tables(image, layout)
    for piece in users:
        if piece.opaque or piece.start not in layout.columns:
            continue
        columns, _ = _image_base_rows(image, piece, registers[piece.root])
        kept = layout.columns[piece.start]
        for site, target, meta in zip(columns.site, columns.target, columns.meta, strict=True):
            if _is_table(image, target, spans[piece.root]):
                kept.add(site, target, meta)


def _is_table(image: Image, target: int, span: tuple[int, int]) -> bool:
    """A displacement names data, or a table in or right behind its own function. Anything else in code is an
    offset in a structure, held by a register that had the image base before."""
    section = image.section_at(target)
    if section is None:
        return False
    return not section.executable or span[0] <= target <= span[1] + _BEHIND


_BEHIND = 16
_MAX_BIAS = 1024


def _function_spans(layout: Layout) -> dict[int, tuple[int, int]]:
    """Lowest start and highest end of every function's fragments, by root."""
    spans: dict[int, tuple[int, int]] = {}
    for piece in layout.pieces.values():
        low, high = spans.get(piece.root, (piece.start, piece.end))
        spans[piece.root] = (min(low, piece.start), max(high, piece.end))
    return spans


def _first_entry(image: Image, target: int, span: tuple[int, int]) -> int:
    """The first entry of a table read at ``target``: code that subtracts the lowest case from the index
    reads below its table, so entries that do not point into the function are passed over."""
    for at in range(target, min(target + 4 * _MAX_BIAS, image.size_of_image - 4), 4):
        if span[0] <= image.u32(at) < span[1]:
            return at
    return target


def _image_base_rows(
    image: Image, piece: Piece, registers: set[int]
) -> tuple[ReferenceColumns, list[tuple[int, int]]]:
    columns = ReferenceColumns()
    code = image.read(piece.start, piece.end - piece.start)
    image_base_operands(code, piece.start, frozenset(registers), image.size_of_image, columns)
    return columns, list(zip(columns.target, columns.meta, strict=True))


def _cut_tables(image: Image, layout: Layout) -> None:
    """Make every table that lies inside a fragment an opaque fragment of its own."""
    starts = sorted(layout.pieces)
    for table in sorted(layout.tables, reverse=True):
        place = bisect_right(starts, table) - 1
        piece = layout.pieces.get(starts[place]) if place >= 0 else None
        if piece is None or not piece.start < table < piece.end:
            continue
        if piece.opaque:
            layout.pieces[table] = Piece(table, piece.end, piece.root, 0, True)
            piece.end = table
        else:
            _truncate(image, layout, piece, table)


def _targets(layout: Layout) -> set[int]:
    """Every address that code names, as candidates for a start inside a gap."""
    found: set[int] = set()
    for columns in layout.columns.values():
        found.update(columns.target)
    return found


@dataclass(slots=True)
class _Gap:
    """One gap as last built: the starts it was cut at, the fragments and filler that came of it."""

    start: int
    end: int
    cuts: tuple[int, ...] | None = None
    pieces: list[int] = field(default_factory=list)
    padding: list[tuple[int, int]] = field(default_factory=list)


def _fill_gaps(image: Image, layout: Layout, gaps: list[_Gap], known: set[int]) -> list[Piece]:
    """(Re)build the fragments of each gap whose starts have changed; those that were built."""
    ordered = np.array(sorted(known), dtype=np.int64)
    fresh: list[Piece] = []
    for gap in gaps:
        low, high = np.searchsorted(ordered, (gap.start, gap.end))
        cuts = tuple(ordered[low:high].tolist())
        if gap.cuts == cuts:
            continue
        gap.cuts = cuts
        for start in gap.pieces:
            del layout.pieces[start]
            layout.columns.pop(start, None)
        _build_gap(image, layout, gap)
        fresh += [layout.pieces[start] for start in gap.pieces]
    return fresh


def _build_gap(image: Image, layout: Layout, gap: _Gap) -> None:
    """Cut the gap at its known starts, with the jump tables in it set apart first."""
    starts = set(gap.cuts or ())
    tables = sorted(table for table in layout.tables if gap.start <= table < gap.end)
    gap.pieces, gap.padding = [], []
    at = gap.start
    for table, following in pairwise([*tables, gap.end] if tables else []):
        _build_run(image, layout, gap, (at, table), starts)
        at = _table_end(image, layout, table, following)
        layout.pieces[table] = Piece(table, at, table, 0, True)
        gap.pieces.append(table)
    _build_run(image, layout, gap, (at, gap.end), starts)


def _build_run(image: Image, layout: Layout, gap: _Gap, run: tuple[int, int], starts: set[int]) -> None:
    before = set(gap.pieces)
    for part in split_gap(image.read(run[0], run[1] - run[0]), run[0], starts):
        if part.kind == "padding":
            gap.padding.append((part.start, part.end))
            continue
        if part.kind == "opaque":
            layout.pieces[part.start] = Piece(part.start, part.end, part.start, 0, True)
        else:
            _add_code(image, layout, Piece(part.start, part.end, part.start, 0, False))
        gap.pieces.append(part.start)
    if len(before) != len(gap.pieces):
        gap.pieces = sorted(start for start in set(gap.pieces) if start in layout.pieces)


def _table_end(image: Image, layout: Layout, table: int, limit: int) -> int:
    """End of the MSVC table at ``table``: entries that point into its function, or all of it up to
    ``limit`` when it has none."""
    root, _ = layout.tables[table]
    at = table
    ranges = [(piece.start, piece.end) for piece in (layout.pieces[root],)] if root in layout.pieces else []
    while at + 4 <= limit and any(start <= image.u32(at) < end for start, end in ranges):
        at += 4
    return at if at > table else limit
