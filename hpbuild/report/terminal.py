"""Blocks on a terminal, by rich: wrapped to its width and, when wanted, coloured."""

from collections.abc import Iterable
from io import StringIO

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.escape import escape

STYLES = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.BAD: "bold red", Tone.WARN: "yellow", Tone.FAINT: "dim"}


def render(blocks: Iterable[Block], *, colour: bool, width: int) -> str:
    """The blocks as text for a terminal of ``width`` columns, with ANSI colours when ``colour``.

    Markup in the text has no meaning: cells are ``Text`` objects. The text is not written here, so that
    rich has no say in what happens when the reader of a pipe is gone."""
    stream = StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        emoji=False,
        markup=False,
    )
    first = True
    for block in blocks:
        if isinstance(block, Heading) and not first:
            console.print()
        console.print(_renderable(block))
        first = False
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().split("\n")[:-1])


def _renderable(block: Block) -> RenderableType:
    match block:
        case Heading(text):
            return Text(escape(text), style="bold")
        case Line(text, tone):
            # Lines that are wrapped keep their indentation.
            indent = len(text) - len(text.lstrip(" "))
            return Padding(Text(escape(text[indent:]), style=STYLES[tone]), (0, 0, 0, indent))
        case Pairs(rows):
            grid = RichTable.grid(padding=(0, 2))
            grid.add_column(no_wrap=True)
            grid.add_column(overflow="fold")
            for name, value in rows:
                grid.add_row(Text(name, style="dim"), Text(escape(value)))
            return grid
        case Table():
            return _table(block)


def _table(block: Table) -> RenderableType:
    table = RichTable(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for index, name in enumerate(block.columns):
        table.add_column(name, justify="right" if index in block.right else "left", overflow="fold")
    for row in block.rows:
        table.add_row(*(Text(escape(cell)) for cell in row))
    return table
