"""Function boundaries: unwind tables where they speak, other evidence in the gaps (design, section 4)."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.decode import KIND_MASK, RefKind
from hpbuild.code.gaps import leading_filler, split_gap
from hpbuild.code.image_base import add_image_base_operands
from hpbuild.code.layout import Layout, Piece, add_code, cut_heads
from hpbuild.pe.image import Image
from hpbuild.pe.unwind import RuntimeFunctions

Tick = Callable[[int, int], None]
_INT3 = 0xCC
_MOST = 64
"""Most bytes of filler in front of an entry; compilers align to 64 bytes at most."""


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
        add_code(image, layout, Piece(begin, end, roots.get(begin, begin), unwind, False))
        if number % 4096 == 0:
            tick(number, len(spans))
    add_image_base_operands(image, layout, list(layout.pieces.values()), cut=True)
    gaps = [_Gap(start, end) for start, end in _complement(executable, spans)]
    known = set(starts) | _targets(layout, layout.columns)
    for _ in range(12):
        known |= layout.tables.keys()
        fresh = _fill_gaps(image, layout, gaps, known)
        if not fresh:
            break
        known |= _targets(layout, [piece.start for piece in fresh])
        add_image_base_operands(image, layout, fresh, cut=False)
    layout.padding = [run for gap in gaps for run in gap.padding]
    cut_heads(layout, _filled_heads(image, layout, [begin for begin, _, _ in spans], known))
    layout.padding.sort()
    return layout


def _filled_heads(image: Image, layout: Layout, begins: list[int], known: set[int]) -> dict[int, int]:
    """Begin of an unwind row -> the entry of its function, where filler comes first: something names the
    entry, and nothing the filler."""
    found: dict[int, int] = {}
    for begin in begins:
        piece = layout.pieces.get(begin)
        if image.memory[begin] != _INT3 or piece is None or piece.opaque:
            continue
        entry = begin + leading_filler(image.read(begin, min(piece.end - begin, _MOST)), begin)
        if entry < piece.end and entry in known and not any(at in known for at in range(begin, entry)):
            found[begin] = entry
    return found


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


def _complement(runs: list[tuple[int, int]], spans: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
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


def _targets(layout: Layout, starts: Iterable[int]) -> set[int]:
    """Every address that the pieces at ``starts`` name, as candidates for a start inside a gap. Image-base
    operands are none: the tables are known, and code that folds the lowest case into an operand names what
    lies before them."""
    columns = [layout.columns[start] for start in starts if start in layout.columns]
    if not columns:
        return set()
    target = np.concatenate([np.asarray(part.target, dtype=np.int64) for part in columns])
    kind = np.concatenate([np.asarray(part.meta, dtype=np.int64) for part in columns]) & KIND_MASK
    return set(distinct(target[kind != RefKind.IMAGE_BASE]).tolist())


@dataclass(slots=True)
class _Gap:
    """One gap as last built: the starts it was cut at, the fragments and filler that came of it."""

    start: int
    end: int
    cuts: tuple[int, ...] | None = None
    tables: tuple[int, ...] = ()
    pieces: list[int] = field(default_factory=list)
    padding: list[tuple[int, int]] = field(default_factory=list)


def _fill_gaps(image: Image, layout: Layout, gaps: list[_Gap], known: set[int]) -> list[Piece]:
    """(Re)build the fragments of each gap whose starts have changed; those that were built."""
    ordered = np.sort(np.fromiter(known, dtype=np.int64, count=len(known)))
    listed, tables = ordered.tolist(), sorted(layout.tables)
    lows = np.searchsorted(ordered, np.array([gap.start for gap in gaps], dtype=np.int64)).tolist()
    highs = np.searchsorted(ordered, np.array([gap.end for gap in gaps], dtype=np.int64)).tolist()
    fresh: list[Piece] = []
    for gap, low, high in zip(gaps, lows, highs, strict=True):
        cuts = tuple(listed[low:high])
        inside = tuple(tables[bisect_left(tables, gap.start) : bisect_left(tables, gap.end)])
        if (gap.cuts, gap.tables) == (cuts, inside):
            continue
        gap.cuts, gap.tables = cuts, inside
        for start in gap.pieces:
            del layout.pieces[start]
            layout.columns.pop(start, None)
        _build_gap(image, layout, gap)
        fresh += [layout.pieces[start] for start in gap.pieces]
    return fresh


def _build_gap(image: Image, layout: Layout, gap: _Gap) -> None:
    """Cut the gap at its known starts, with the jump tables in it set apart first."""
    starts = set(gap.cuts or ())
    gap.pieces, gap.padding = [], []
    at = gap.start
    for table, following in pairwise([*gap.tables, gap.end] if gap.tables else []):
        if table < at:  # another reader's address inside a table
            continue
        _build_run(image, layout, gap, (at, table), starts)
        at = _table_end(image, layout, table, following, gap.cuts or ())
        layout.pieces[table] = Piece(table, at, layout.tables[table][0], 0, True)
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
            add_code(image, layout, Piece(part.start, part.end, part.start, 0, False))
        gap.pieces.append(part.start)
    if len(before) != len(gap.pieces):
        gap.pieces = sorted(start for start in set(gap.pieces) if start in layout.pieces)


def _table_end(image: Image, layout: Layout, table: int, limit: int, cuts: tuple[int, ...]) -> int:
    """End of the MSVC table at ``table``: entries that point into its function, and the table of bytes that
    selects them when the function reads one; all of it up to ``limit`` when it has no entry."""
    root, _ = layout.tables[table]
    at = table
    ranges = [(piece.start, piece.end) for piece in (layout.pieces[root],)] if root in layout.pieces else []
    while at + 4 <= limit and any(start <= image.u32(at) < end for start, end in ranges):
        at += 4
    if at == table:
        return limit
    if root in layout.selected:
        following = bisect_left(cuts, at)
        return _bytes_end(image, at, min(limit, cuts[following] if following < len(cuts) else limit))
    return at


def _bytes_end(image: Image, at: int, limit: int) -> int:
    """End of the table of bytes at ``at``: where int3 fills up to a boundary of 16, at most ``limit``."""
    code = image.read(at, limit - at)
    for boundary in range(at // 16 * 16 + 16, limit, 16):
        kept = code[: boundary - at].rstrip(b"\xcc")
        if len(kept) < boundary - at:
            return at + len(kept)
    return at + len(code.rstrip(b"\xcc"))
