"""The new sections: merged, contiguous, within bounds."""

import dataclasses
from collections.abc import Callable

import pytest

from hpbuild.apply.offline.sections import new_sections
from hpbuild.apply.offline.tables import merged_tables
from hpbuild.codes import apply_offline as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.file_bytes import FileBytes

from .conftest import Packaged


def test_neighbours_with_the_same_protection_become_one(built: Callable[[str], Packaged]) -> None:
    item = built("throwing")
    sections = new_sections(item.baseline, item.patch, merged_tables(item.baseline, item.patch, 0x20000))
    assert [section.name for section in sections] == [".hptext", ".hprdata", ".hpdata", ".hotp", ".hpundo"]
    memory = [section.characteristics & 0xE0000000 for section in sections]
    assert memory == [0x60000000, 0x40000000, 0xC0000000, 0x40000000, 0x40000000]
    assert {each.name for each in item.patch.image.sections} >= {".rdata", ".xdata", ".pdata"}


def test_the_native_table_begins_its_section(built: Callable[[str], Packaged]) -> None:
    item = built("codec")
    tables = merged_tables(item.baseline, item.patch, item.patch.range.end)
    hotp = next(each for each in new_sections(item.baseline, item.patch, tables) if each.name == ".hotp")
    extent = item.patch.section(".hotp")
    assert extent is not None
    assert hotp.rva == extent.start
    assert hotp.content.startswith(item.patch.image.read(extent.start, len(extent)))
    assert hotp.content.endswith(tables.content)
    assert hotp.end == tables.start + len(tables.content)


def test_another_section_alignment(built: Callable[[str], Packaged]) -> None:
    item = built("codec")
    tables = merged_tables(item.baseline, item.patch, item.patch.range.end)
    baseline = dataclasses.replace(item.baseline, section_alignment=0x10000)
    with pytest.raises(HpbuildError) as caught:
        new_sections(baseline, item.patch, tables)
    assert caught.value.code is codes.SECTION_ALIGNMENT


@pytest.mark.parametrize(("count", "fits"), [(91, True), (92, False)])
def test_too_many_sections(built: Callable[[str], Packaged], count: int, fits: bool) -> None:
    item = built("codec")
    tables = merged_tables(item.baseline, item.patch, item.patch.range.end)
    more = (item.baseline.sections[-1],) * count
    data = FileBytes.of(item.baseline.data.whole() + bytes(0x1000))
    baseline = dataclasses.replace(item.baseline, sections=more, data=data)
    if fits:
        assert len(new_sections(baseline, item.patch, tables)) == 5
        return
    with pytest.raises(HpbuildError) as caught:
        new_sections(baseline, item.patch, tables)
    assert caught.value.code is codes.IMAGE_TOO_LARGE
