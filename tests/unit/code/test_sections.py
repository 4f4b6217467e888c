"""What many addresses lie in, as one by one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hpbuild.code.sections import in_code_sections, in_constants, section_numbers
from hpbuild.pe.image import IMAGE_SCN_MEM_WRITE, Image

Build = Callable[..., Image]


@pytest.fixture
def image(build: Build) -> Image:
    """Code, constants, a writable section, one more of constants."""
    made = build(text=b"\xc3" * 100, const=bytes(200), rows=((0x1000, 0x1001, 0x3000),), pointers=(0x3000,))
    text, const, rows, sites = made.sections
    rows = replace(rows, characteristics=rows.characteristics | IMAGE_SCN_MEM_WRITE)
    return replace(made, sections=(text, const, rows, sites))


def borders(image: Image) -> list[int]:
    around = [at for section in image.sections for at in (section.range.start, section.range.end)]
    return [-1, 0, *(at + step for at in around for step in range(-5, 3)), image.size_of_image, 1 << 40]


def test_numbers(image: Image) -> None:
    rvas = borders(image)
    found = section_numbers(image, np.array(rvas)).tolist()
    assert [image.sections[n] if n >= 0 else None for n in found] == [image.section_at(rva) for rva in rvas]
    assert {-1, 0, 1, 2, 3} == set(found)
    bare = replace(image, sections=())
    assert section_numbers(bare, np.array(rvas)).tolist() == [-1] * len(rvas)


def test_code_and_constants(image: Image) -> None:
    rvas = borders(image)
    sections = [image.section_at(rva) for rva in rvas]
    assert in_code_sections(image, np.array(rvas)).tolist() == [bool(s and s.executable) for s in sections]
    for size in (1, 4):
        assert in_constants(image, np.array(rvas), size).tolist() == [
            bool(s and not s.executable and not s.writable and rva + size <= s.range.end)
            for rva, s in zip(rvas, sections, strict=True)
        ]
