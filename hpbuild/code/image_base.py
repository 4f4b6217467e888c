"""Operands relative to the image base, and the jump tables that MSVC lays behind its code."""

from collections.abc import Collection

import numpy as np

from hpbuild.code.columns import among, distinct
from hpbuild.code.decode import ReferenceColumns, image_base_operands
from hpbuild.code.layout import Layout, rescan, truncate
from hpbuild.code.pieces import Piece
from hpbuild.code.sections import section_numbers
from hpbuild.code.tables import address_tables
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
    users = [piece for piece in pieces if piece.root in registers and not piece.opaque]
    rows = [_image_base_rows(image, piece, registers[piece.root]) for piece in users]
    operands = _operands(image, users, rows, _function_spans(layout, registers))
    for found in operands:
        _find_tables(image, layout, found)
    if cut:
        _cut_tables(image, layout)
    for found in operands:
        piece, columns = found.piece, found.columns
        if piece.opaque or layout.pieces.get(piece.start) is not piece:
            continue
        kept = piece.more = piece.more or ReferenceColumns()
        table = zip(columns.site, columns.target, columns.meta, found.table, strict=True)
        for site, target, meta, is_table in table:
            if is_table and site + 4 + (meta >> _TRAILING_SHIFT & 15) <= piece.end:
                kept.add(site, target, meta)


@dataclass(frozen=True, slots=True)
class _Operands:
    """The operands of one fragment, whose function lies in ``span``. A displacement names data, or a table in
    or right behind its own function: ``table``. Anything else in ``code`` is an offset in a structure, held
    by a register that had the image base before."""

    piece: Piece
    columns: ReferenceColumns
    span: tuple[int, int]
    table: list[bool]
    code: list[bool]


def _operands(
    image: Image, users: list[Piece], rows: list[ReferenceColumns], spans: dict[int, tuple[int, int]]
) -> list[_Operands]:
    """Those of the fragments that have any."""
    some = [(piece, columns) for piece, columns in zip(users, rows, strict=True) if len(columns.site)]
    if not some:
        return []
    target = np.concatenate([columns.target for _, columns in some]).astype(np.int64)
    ends = np.cumsum([len(columns.site) for _, columns in some])
    bounds = [spans[piece.root] for piece, _ in some]
    low, high = np.repeat(np.array(bounds, dtype=np.int64), np.diff(ends, prepend=0), axis=0).T
    number = section_numbers(image, target)
    code = np.array([*(section.executable for section in image.sections), False])[number]
    table = (number >= 0) & (~code | (low <= target) & (target <= high + _BEHIND))
    flags = zip(np.split(table, ends[:-1]), np.split(code, ends[:-1]), strict=True)
    return [
        _Operands(piece, columns, span, is_table.tolist(), in_code.tolist())
        for (piece, columns), span, (is_table, in_code) in zip(some, bounds, flags, strict=True)
    ]


def _find_tables(image: Image, layout: Layout, found: _Operands) -> None:
    """Note the tables that a fragment reads. Tables lie behind the code that reads them, so what a table's
    own bytes look like, when they are taken for instructions, is not believed. Outside of code a table is one
    if its words are made addresses: behind a table of numbers a word may look like an entry by chance."""
    piece, columns, span = found.piece, found.columns, found.span
    stop, added = piece.end, set[int]()
    if not all(found.code):
        named = dict(zip(columns.site, columns.target, strict=True))
        added = address_tables(image.read(piece.start, piece.end - piece.start), piece.start, named)
    rows = zip(columns.site, columns.target, columns.meta, found.table, found.code, strict=True)
    for site, target, meta, is_table, in_code in rows:
        if site >= stop:
            break
        if meta >> _ACCESS_SHIFT == 1:
            layout.selected.add(piece.root)
        if meta >> _ACCESS_SHIFT == 4 and is_table and (in_code or target in added):
            table = _first_entry(image, target, span)
            if _no_entries(image, table, span):
                continue
            layout.tables[table] = (piece.root, 4)
            if site < table < stop:
                stop = table


_BEHIND = 16
_MAX_BIAS = 1024


def _function_spans(layout: Layout, roots: Collection[int]) -> dict[int, tuple[int, int]]:
    """Lowest start and highest end of the fragments of each function among ``roots``, by root."""
    found = [(piece.root, piece.start, piece.end) for piece in layout.pieces.values() if piece.root in roots]
    wanted = np.array(sorted(roots), dtype=np.int64)
    for table in (layout.rows, layout.gaps):
        chosen = np.flatnonzero(among(table.root, wanted))
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


def _image_base_rows(image: Image, piece: Piece, registers: set[int]) -> ReferenceColumns:
    columns = ReferenceColumns()
    if piece.wide:
        code = image.read(piece.start, piece.end - piece.start)
        bases = frozenset(registers)
        image_base_operands(code, piece.start, bases, image.size_of_image, columns, piece.wide)
    return columns


def _cut_tables(image: Image, layout: Layout) -> None:
    """Make every table that lies inside a fragment an opaque fragment of its own."""
    starts, tables = layout.starts(), np.array(sorted(layout.tables, reverse=True), dtype=np.int64)
    holder = starts[np.searchsorted(starts, tables, side="right") - 1] if len(starts) else tables
    layout.take(distinct(holder))
    shorter: dict[int, Piece] = {}
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
            truncate(layout, piece, table)
            shorter[piece.start] = piece
    rescan(image, layout, [piece for start, piece in shorter.items() if layout.pieces[start] is piece])
