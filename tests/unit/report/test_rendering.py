"""Blocks as plain text and on a terminal."""

import pytest

from hpbuild.report import plain, terminal
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import SHOWN_ROWS, shortened, shortened_list

BLOCKS: list[Block] = [
    Line("verdict: refused", Tone.BAD),
    Pairs((("baseline", "a.dll"), ("id", "T-1"))),
    Heading("functions"),
    Table(("name", "bytes"), (("f\x1b[2J", "1"), ("[red]g[/red]", "1,000")), frozenset({1})),
]


def test_plain_text_is_aligned_and_escaped() -> None:
    assert plain.render(BLOCKS) == (
        "verdict: refused\n"
        "baseline  a.dll\n"
        "id        T-1\n"
        "\n"
        "functions\n"
        "  name          bytes\n"
        "  f\\x1b[2J          1\n"
        "  [red]g[/red]  1,000\n"
    )


def test_plain_text_of_nothing() -> None:
    assert plain.render([]) == ""


def test_first_heading_has_no_empty_line_before_it() -> None:
    assert plain.render([Heading("x"), Table(("a",), ())]) == "x\n  a\n"


def test_terminal_without_colour_has_no_control_characters() -> None:
    text = terminal.render(BLOCKS, colour=False, width=80)
    assert "\x1b" not in text
    assert "f\\x1b[2J" in text
    assert "[red]g[/red]" in text


def test_terminal_with_colour() -> None:
    text = terminal.render(BLOCKS, colour=True, width=80)
    assert "\x1b[1;31mverdict: refused\x1b[0m" in text
    assert "f\\x1b[2J" in text
    assert "\x1b[2J" not in text


def test_a_wrapped_line_keeps_its_indentation() -> None:
    text = terminal.render([Line("    one two three four")], colour=False, width=14)
    assert text == "    one two\n    three four\n"


def test_no_cell_is_lost_on_a_narrow_terminal() -> None:
    digest = "0123456789abcdef" * 4
    text = terminal.render([Table(("file", "sha256"), (("a.dll", digest),))], colour=False, width=30)
    assert digest in "".join(line[7:].strip() for line in text.splitlines())


@pytest.mark.parametrize("full", [False, True])
def test_only_rows_that_are_shown_are_made(full: bool) -> None:
    made: list[int] = []

    def row(number: int) -> tuple[str, ...]:
        made.append(number)
        return (str(number),)

    numbers = range(SHOWN_ROWS + 2)
    shown = shortened_list(("n",), numbers, row, full=full)
    assert made == list(numbers if full else numbers[:-2])
    assert shown == shortened(Table(("n",), tuple((str(number),) for number in numbers)), full=full)


@pytest.mark.parametrize(
    ("count", "full", "rows", "hidden"), [(40, False, 40, 0), (41, False, 40, 1), (41, True, 41, 0)]
)
def test_long_lists_are_cut_and_say_so(count: int, full: bool, rows: int, hidden: int) -> None:
    assert SHOWN_ROWS == 40
    table = Table(("n",), tuple((str(index),) for index in range(count)))
    shown = shortened(table, full=full)
    assert isinstance(shown[0], Table)
    assert len(shown[0].rows) == rows
    assert [
        block for block in shown[1:] if isinstance(block, Line) and "1 more; -v shows all" in block.text
    ] == (shown[1:] if hidden else [])
    assert len(shown) == (2 if hidden else 1)
