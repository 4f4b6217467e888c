"""Texts that identify a compiler, at the end of the constants."""

import pytest

from hpbuild.code.identification import identification
from hpbuild.pe.reader import parse_image
from tests.assembled import RET, Dll, datum, function

TEXT = b"GCC: (GNU) 12.2.0".ljust(32, b"\0")


def found(*constants: bytes, align: int = 16) -> list[tuple[int, int]]:
    """(distance from the section's start, bytes) of each run."""
    items = [datum(f"c{number}", content, align=align) for number, content in enumerate(constants)]
    image = parse_image(Dll(code=(function("f", RET),), constants=tuple(items)).file(), "tiny.dll")
    section = next(each for each in image.sections if each.name == ".rdata")
    return [(run.start - section.rva, len(run)) for run in identification(image)]


def test_texts_behind_the_last_constant() -> None:
    assert found(b"table of sixteen", TEXT, TEXT, TEXT) == [(16, 96)]
    assert found(b"odd", TEXT) == [(16, 32)]


@pytest.mark.parametrize(
    "constants",
    [
        (b"table of sixteen",),
        (TEXT, b"table behind it\0"),
        (b"table", TEXT, b"\1"),
        (TEXT[:17],),
        (b"GCC: (" + b"\x80" * 9 + b"\0",),
        (b"GCC: (" + b"x" * 300 + b"\0",),
    ],
    ids=["none", "something behind", "a byte behind", "without its end", "not printable", "too long"],
)
def test_anything_else_fails(constants: tuple[bytes, ...]) -> None:
    assert found(*constants) == []


def test_only_the_last_run_counts() -> None:
    assert found(TEXT, b"table of sixteen", TEXT) == [(48, 32)]


def test_a_text_inside_a_constant_fails() -> None:
    """Not at a multiple of sixteen: part of something else."""
    assert found(b"1234567" + TEXT) == []
