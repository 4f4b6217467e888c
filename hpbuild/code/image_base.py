"""Operands relative to the image base, and the jump tables that MSVC lays behind its code."""

from bisect import bisect_right
from collections.abc import Container

from hpbuild.code.decode import ReferenceColumns, image_base_operands
from hpbuild.code.layout import Layout, Piece, rescan, truncate
from hpbuild.code.tables import address_tables
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
    spans = _function_spans(layout, registers)
    operands = [_image_base_rows(image, piece, registers[piece.root]) for piece in users]
    for piece, columns in zip(users, operands, strict=True):
        _find_tables(image, layout, piece, columns, spans[piece.root])
    if cut:
        _cut_tables(image, layout)
    for piece, columns in zip(users, operands, strict=True):
        if piece.opaque or layout.pieces.get(piece.start) is not piece:
            continue
        kept = piece.more = piece.more or ReferenceColumns()
        for site, target, meta in zip(columns.site, columns.target, columns.meta, strict=True):
            inside = site + 4 + (meta >> _TRAILING_SHIFT & 15) <= piece.end
            if inside and _is_table(image, target, spans[piece.root]):
                kept.add(site, target, meta)


def _find_tables(
    image: Image, layout: Layout, piece: Piece, columns: ReferenceColumns, span: tuple[int, int]
) -> None:
    """Note the tables that ``piece`` reads. Tables lie behind the code that reads them, so what a table's own
    bytes look like, when they are taken for instructions, is not believed. Outside of code a table is one if
    its words are made addresses: behind a table of numbers a word may look like an entry by chance."""
    stop = piece.end
    elsewhere = any(not _executable(image, target) for target in columns.target)
    named = dict(zip(columns.site, columns.target, strict=True)) if elsewhere else {}
    code = image.read(piece.start, piece.end - piece.start) if elsewhere else b""
    added = address_tables(code, piece.start, named) if elsewhere else set()
    for site, target, meta in zip(columns.site, columns.target, columns.meta, strict=True):
        if site >= stop:
            break
        if meta >> _ACCESS_SHIFT == 1:
            layout.selected.add(piece.root)
        if meta >> _ACCESS_SHIFT == 4 and _is_table(image, target, span):
            if target not in added and not _executable(image, target):
                continue
            table = _first_entry(image, target, span)
            if _no_entries(image, table, span):
                continue
            layout.tables[table] = (piece.root, 4)
            if site < table < stop:
                stop = table


def _executable(image: Image, rva: int) -> bool:
    section = image.section_at(rva)
    return section is not None and section.executable


def _is_table(image: Image, target: int, span: tuple[int, int]) -> bool:
    """A displacement names data, or a table in or right behind its own function. Anything else in code is an
    offset in a structure, held by a register that had the image base before."""
    section = image.section_at(target)
    if section is None:
        return False
    return not section.executable or span[0] <= target <= span[1] + _BEHIND


_BEHIND = 16
_MAX_BIAS = 1024


def _function_spans(layout: Layout, roots: Container[int]) -> dict[int, tuple[int, int]]:
    """Lowest start and highest end of the fragments of each function among ``roots``, by root."""
    spans: dict[int, tuple[int, int]] = {}
    for piece in layout.pieces.values():
        if piece.root not in roots:
            continue
        low, high = spans.get(piece.root, (piece.start, piece.end))
        spans[piece.root] = (min(low, piece.start), max(high, piece.end))
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
    code = image.read(piece.start, piece.end - piece.start)
    image_base_operands(code, piece.start, frozenset(registers), image.size_of_image, columns)
    return columns


def _cut_tables(image: Image, layout: Layout) -> None:
    """Make every table that lies inside a fragment an opaque fragment of its own."""
    starts = sorted(layout.pieces)
    shorter: dict[int, Piece] = {}
    for table in sorted(layout.tables, reverse=True):
        place = bisect_right(starts, table) - 1
        piece = layout.pieces.get(starts[place]) if place >= 0 else None
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
