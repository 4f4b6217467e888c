"""What is known of an image's code before it is decoded."""

from collections.abc import Callable

import pytest

from hpbuild.code.program import load_program
from hpbuild.code.survey import survey
from hpbuild.pe.image import Image
from hpbuild.pe.symbols import Symbols

CONST = 0x3000
LEAF = bytes([1, 0, 0, 0])
Build = Callable[..., Image]


def test_rows_in_executable_runs(build: Build) -> None:
    """The file does not fill the section: what lies behind its bytes is not looked at."""
    rows = (
        (0x1000, 0x1010, CONST),
        (0x1010, 0x1018, CONST),
        (0x11F0, 0x1208, CONST),
        (0x1300, 0x1310, CONST),
    )
    surveyed = survey(build(text=b"\xc3" * 0x200, const=LEAF, rows=rows, virtual=0x900))
    found = surveyed.rows
    assert found.start.tolist() == [0x1000, 0x1010, 0x11F0]
    assert found.end.tolist() == [0x1010, 0x1018, 0x1200]
    assert found.unwind.tolist() == [CONST] * 3
    assert len(found) == 3
    assert surveyed.code == ((0x1000, 0x1200),)
    assert len(surveyed.table) == 4


@pytest.mark.parametrize("rows", [(), ((0x1000, 0x1001, CONST),)])
def test_few_rows(build: Build, rows: tuple[tuple[int, int, int], ...]) -> None:
    surveyed = survey(build(text=b"\xc3" * 16, const=LEAF, rows=rows))
    assert surveyed.rows.start.tolist() == [row[0] for row in rows]


def test_rows_are_fragments(build: Build) -> None:
    image = build(text=b"\xc3" * 16, const=LEAF, rows=((0x1002, 0x1003, CONST), (0x1003, 0x1008, CONST)))
    program = load_program(image, Symbols(source="none", items=()))
    assert set(survey(image).rows.start.tolist()) <= set(program.fragments.start.tolist())
    assert program.metadata == survey(image).metadata
