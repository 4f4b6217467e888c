"""Operands relative to the image base, and the jump tables that MSVC lays behind its code."""

from collections.abc import Collection, Iterator
from itertools import islice

import numpy as np

from hpbuild.code.address_tables import address_tables
from hpbuild.code.base_operands import Row, image_base_operands
from hpbuild.code.columns import distinct
from hpbuild.code.decode import ReferenceColumns
from hpbuild.code.layout import Layout, truncate
from hpbuild.code.pieces import Piece
from hpbuild.code.sections import section_numbers
from hpbuild.code.shortening import rescan_ends
from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image

_ACCESS_SHIFT, _TRAILING_SHIFT = 12, 8


def add_image_base_operands(image: Image, layout: Layout, pieces: list[Piece], cut: bool) -> None:
    """Add image-base-relative operands of those functions among ``pieces`` that take the image base. ``cut``
    their tables off the fragments in which they lie (MSVC puts them behind the code, inside the unwind row);
    in a gap they cut like any known start."""
    registers: dict[int, set[int]] = {}
    for piece in pieces:
        if piece.registers:
            registers.setdefault(piece.root, set()).update(piece.registers)
    operands = _operands(image, list(_uses(image, pieces, registers)), _function_spans(layout, registers))
    for found in operands:
        _find_tables(image, layout, found)
    if cut:
        _cut_tables(image, layout)
    for found in operands:
        piece = found.piece
        if piece.opaque or layout.pieces.get(piece.start) is not piece:
            continue
        kept = piece.more = piece.more or ReferenceColumns()
        for (site, target, meta), is_table in zip(found.rows, found.table, strict=True):
            if is_table and site + 4 + (meta >> _TRAILING_SHIFT & 15) <= piece.end:
                kept.add(site, target, meta)


@dataclass(frozen=True, slots=True)
class _Operands:
    """The operands of one fragment, whose function lies in ``span``. A displacement names data, or a table in
    or right behind its own function: ``table``. Anything else in ``code`` is an offset in a structure, held
    by a register that had the image base before."""

    piece: Piece
    rows: list[Row]
    span: tuple[int, int]
    table: list[bool]
    code: list[bool]


def _uses(
    image: Image, pieces: list[Piece], registers: dict[int, set[int]]
) -> Iterator[tuple[Piece, list[Row]]]:
    """Those of the fragments that have operands behind the image base in ``registers`` of their function."""
    memory, limit = image.memory.data, image.size_of_image
    for piece in pieces:
        if not piece.wide_at or piece.root not in registers or piece.opaque:
            continue
        code, bases = memory[piece.start : piece.end], frozenset(registers[piece.root])
        rows = image_base_operands(code, piece.start, bases, limit, piece.wide_at)
        if rows:
            yield piece, rows


def _operands(
    image: Image, uses: list[tuple[Piece, list[Row]]], spans: dict[int, tuple[int, int]]
) -> list[_Operands]:
    """Their operands."""
    sizes = [len(rows) for _, rows in uses]
    bounds = [spans[piece.root] for piece, _ in uses]
    target = np.array([row[1] for _, rows in uses for row in rows], dtype=np.int64)
    low, high = np.repeat(np.array(bounds, dtype=np.int64).reshape(-1, 2), sizes, axis=0).T
    number = section_numbers(image, target)
    code = np.array([*(section.executable for section in image.sections), False])[number]
    table = (number >= 0) & (~code | (low <= target) & (target <= high + _BEHIND))
    tables, codes = iter(table.tolist()), iter(code.tolist())
    return [
        _Operands(piece, rows, span, list(islice(tables, len(rows))), list(islice(codes, len(rows))))
        for (piece, rows), span in zip(uses, bounds, strict=True)
    ]


def _find_tables(image: Image, layout: Layout, found: _Operands) -> None:
    """Note the tables that a fragment reads. Tables lie behind the code that reads them, so what a table's
    own bytes look like, when they are taken for instructions, is not believed. Outside of code a table is one
    if its words are made addresses: behind a table of numbers a word may look like an entry by chance."""
    piece, span = found.piece, found.span
    rows = list(zip(found.rows, found.table, found.code, strict=True))
    outside = {
        target
        for (_, target, meta), is_table, in_code in rows
        if is_table and not in_code and meta >> _ACCESS_SHIFT == _ENTRY
    }
    stop, added = piece.end, set[int]()
    if outside:
        named = {site: target for site, target, _ in found.rows if target in outside}
        code = image.read(piece.start, piece.end - piece.start)
        added = address_tables(code, piece.start, named, piece.wide_at)
    for (site, target, meta), is_table, in_code in rows:
        if site >= stop:
            break
        if meta >> _ACCESS_SHIFT == 1:
            layout.selected.add(piece.root)
        if meta >> _ACCESS_SHIFT == _ENTRY and is_table and (in_code or target in added):
            table = _first_entry(image, target, span)
            if _no_entries(image, table, span):
                continue
            layout.tables[table] = (piece.root, 4)
            if site < table < stop:
                stop = table


_ENTRY = 4
"""Bytes of an entry, which are read at once."""
_BEHIND = 16
_MAX_BIAS = 1024


def _function_spans(layout: Layout, roots: Collection[int]) -> dict[int, tuple[int, int]]:
    """Lowest start and highest end of the fragments of each function among ``roots``, by root."""
    found = [(piece.root, piece.start, piece.end) for piece in layout.pieces.values() if piece.root in roots]
    wanted = np.array(sorted(roots), dtype=np.int64)
    for table in (layout.rows, layout.gaps):
        chosen = table.of_roots(wanted)
        columns = (table.root[chosen], table.start[chosen], table.end[chosen])
        found += zip(*(column.tolist() for column in columns), strict=True)
    spans: dict[int, tuple[int, int]] = {}
    for root, start, end in found:
        low, high = spans.get(root, (start, end))
        spans[root] = (min(low, start), max(high, end))
    return spans


def _first_entry(image: Image, target: int, span: tuple[int, int]) -> int:
    """The first entry of a table read at ``target``: code that subtracts the lowest case from the index
    reads below its table, so entries that do not point into the function are passed over."""
    for at in range(target, min(target + 4 * _MAX_BIAS, image.size_of_image - 3), 4):
        if span[0] <= image.u32(at) < span[1]:
            return at
    return target


def _no_entries(image: Image, table: int, span: tuple[int, int]) -> bool:
    """In code only a table whose entries point into the function is one: compilers align it, and an offset in
    a structure may look like its address."""
    section = image.section_at(table)
    if section is None or not section.executable:
        return False
    inside = table + 4 <= image.size_of_image and span[0] <= image.u32(table) < span[1]
    return table % 4 != 0 or not inside


def _cut_tables(image: Image, layout: Layout) -> None:
    """Make every table that lies inside a fragment an opaque fragment of its own."""
    starts, tables = layout.starts(), np.array(sorted(layout.tables, reverse=True), dtype=np.int64)
    holder = starts[np.searchsorted(starts, tables, side="right") - 1] if len(starts) else tables
    layout.take(distinct(holder))
    shorter: dict[int, Piece] = {}
    before: dict[int, int] = {}
    for table, start in zip(tables.tolist(), holder.tolist(), strict=True):
        piece = layout.pieces.get(start)
        if piece is None or not piece.start <= table < piece.end:
            continue
        if piece.start == table:  # a chained unwind row of its own, or one that was cut already
            if piece.root != piece.start:
                truncate(layout, piece, table)
        elif piece.opaque:
            layout.pieces[table] = Piece(table, piece.end, piece.root, 0, True)
            piece.end = table
        else:
            before.setdefault(piece.start, piece.end)
            truncate(layout, piece, table)
            shorter[piece.start] = piece
    left = [piece for start, piece in shorter.items() if layout.pieces[start] is piece]
    rescan_ends(image, layout, left, [before[piece.start] for piece in left])
