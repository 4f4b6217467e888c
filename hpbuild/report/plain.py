"""Blocks as plain text: no colours, no wrapping, two spaces between columns."""

from collections.abc import Iterable, Sequence

from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table
from hpbuild.report.escape import escape


def render(blocks: Iterable[Block]) -> str:
    """The blocks as text that ends with a newline (empty for no blocks)."""
    lines: list[str] = []
    for block in blocks:
        lines.extend(_lines(block, first=not lines))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _lines(block: Block, *, first: bool) -> list[str]:
    match block:
        case Heading(text):
            return [escape(text)] if first else ["", escape(text)]
        case Line(text):
            return [escape(text)]
        case Pairs(rows):
            width = max((len(name) for name, _ in rows), default=0)
            return [f"{name:<{width}}  {escape(value)}" for name, value in rows]
        case Table():
            return _table(block)


def _table(table: Table) -> list[str]:
    cells = [table.columns, *(tuple(map(escape, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  " + "  ".join(_aligned(row, widths, table.right)) for row in cells]


def _aligned(row: Sequence[str], widths: Sequence[int], right: frozenset[int]) -> list[str]:
    return [
        cell.rjust(width) if index in right else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
