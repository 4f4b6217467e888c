"""A module in memory back to the image of its file: what is restored, what stays unknown, what is refused."""

import struct
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hpbuild.codes import pe as pe_codes
from hpbuild.codes import process as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.image import Image
from hpbuild.pe.imports import slot_tables
from hpbuild.pe.loader_writes import loader_written
from hpbuild.pe.mapped import MappedImage, image_from_memory, with_names
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.values import Interval
from tests.memories import Parts, loaded, module

BASES = [0x180000000, 0x190000000, 0x7FF612340000, 0x10000]


@pytest.fixture
def image(binaries: Path) -> Image:
    return read_image(binaries / "baseline" / "throwing.dll")


def mapped(image: Image, base: int, content: bytes, file: Image | None = None) -> MappedImage:
    memory = Parts()
    memory.put(base, content)
    return image_from_memory(memory, module(image, base), preferred=image.image_base, file=file)


def refused(image: Image, content: bytes) -> Code:
    with pytest.raises(HpbuildError) as caught:
        mapped(image, 0x190000000, content)
    return caught.value.code


def not_writable(image: Image) -> np.ndarray:
    """True for every RVA in sections that are not writable."""
    fixed = np.zeros(image.size_of_image, dtype=bool)
    for section in image.sections:
        if not section.writable:
            fixed[section.rva : section.rva + section.raw_size] = True
    return fixed


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("rename_base", [False, True])
def test_relocations_come_off_and_slots_are_filled_in(image: Image, base: int, rename_base: bool) -> None:
    found = mapped(image, base, loaded(image, base, rename_base=rename_base))
    assert (found.base, found.moved) == (base, base - image.image_base)
    assert found.image.image_base == image.image_base
    fixed = not_writable(image)
    assert np.array_equal(found.image.memory[fixed], image.memory[fixed])
    assert not found.image.memory.flags.writeable
    for table in slot_tables(image):
        section = image.section_at(table.slots.start)
        assert section is not None
        listed = any(place.covers(table.slots) for place in found.unknown)
        assert listed is not section.writable
    assert found.writable == tuple(section.range for section in image.sections if section.writable)


def test_without_a_preferred_base_the_header_is_believed(image: Image) -> None:
    memory = Parts()
    memory.put(0x190000000, loaded(image, 0x190000000))
    found = image_from_memory(memory, module(image, 0x190000000))
    assert found.image.image_base == image.image_base


def test_a_changed_byte_is_never_equal(image: Image) -> None:
    """Anywhere in what is not writable, but for the places that are listed as unknown."""
    base = 0x190000000
    content = loaded(image, base)
    clean = mapped(image, base, bytes(content))
    rng = np.random.default_rng(1)
    for at in rng.choice(np.flatnonzero(not_writable(image)), 64, replace=False).tolist():
        changed = bytearray(content)
        changed[at] ^= 0x10
        try:
            found = mapped(image, base, bytes(changed))
        except HpbuildError:
            continue
        same = np.array_equal(found.image.memory[not_writable(image)], image.memory[not_writable(image)])
        assert not same or any(at in place for place in clean.unknown), hex(at)


def test_with_the_file_only_real_differences_are_unknown(image: Image) -> None:
    base = 0x190000000
    content = loaded(image, base)
    slots = [table.slots for table in slot_tables(image)]
    found = mapped(image, base, bytes(content), image)
    assert all(any(place.overlaps(slot) for slot in slots) for place in found.unknown)
    fixed = not_writable(image)
    assert np.array_equal(found.image.memory[fixed], image.memory[fixed])
    # Nothing was resolved: nothing is unknown.
    for table in slot_tables(image):
        content[table.slots.start : table.slots.end] = image.read(table.slots.start, len(table.slots))
    assert mapped(image, base, bytes(content), image).unknown == ()


def test_tables_cannot_vouch_for_code(image: Image) -> None:
    """An import directory in writable memory whose slots are code and whose names are the true code: the
    bytes in memory stay as they are, and so differ."""
    base = image.image_base
    content = loaded(image, base)
    text = next(section for section in image.sections if section.name == ".text")
    data = next(section for section in image.sections if section.writable and section.raw_size >= 0x100)
    true = image.read(text.rva + 0x10, 8)
    content[text.rva + 0x10 : text.rva + 0x18] = b"\xcc" * 8
    fake = data.rva
    content[fake : fake + 0x60] = bytes(0x60)
    struct.pack_into("<IIIII", content, fake, fake + 0x40, 0, 0, fake + 0x50, text.rva + 0x10)
    content[fake + 0x40 : fake + 0x48] = true
    content[fake + 0x50 : fake + 0x56] = b"x.dll\0"
    directory = int.from_bytes(content[0x3C:0x40], "little") + 24 + 112 + 8
    struct.pack_into("<II", content, directory, fake, 0x28)
    found = mapped(image, base, bytes(content))
    assert found.image.read(text.rva + 0x10, 8) == b"\xcc" * 8
    assert mapped(image, base, bytes(content), image).image.read(text.rva + 0x10, 8) == b"\xcc" * 8


def test_gaps_are_named_but_not_those_of_writable_sections(image: Image) -> None:
    base = 0x190000000
    content = bytes(loaded(image, base))
    writable = next(section for section in image.sections if section.writable)
    text = next(section for section in image.sections if section.executable)

    def with_gap(gap: Interval) -> Parts:
        memory = Parts()
        memory.put(base, content[: gap.start])
        memory.put(base + gap.end, content[gap.end :])
        return memory

    page = Interval(writable.rva, writable.rva + 0x1000)
    found = image_from_memory(with_gap(page), module(image, base))
    assert np.array_equal(found.image.memory[not_writable(image)], image.memory[not_writable(image)])
    page = Interval(text.rva, text.rva + 0x1000)
    with pytest.raises(HpbuildError) as caught:
        image_from_memory(with_gap(page), module(image, base))
    assert caught.value.code is codes.MEMORY_UNREADABLE
    assert str(page) in caught.value.finding.cause


def test_headers_that_are_none(image: Image) -> None:
    content = loaded(image, 0x190000000)
    assert refused(image, b"\0" * 64 + bytes(content[64:])) is pe_codes.NOT_A_PE
    at = int.from_bytes(content[0x3C:0x40], "little")
    other = bytearray(content)
    other[at + 4 : at + 6] = b"\x4c\x01"
    assert refused(image, bytes(other)) is pe_codes.MACHINE_32_BIT
    larger = bytearray(content)
    larger[at + 80 : at + 84] = struct.pack("<I", image.size_of_image + 0x1000)
    assert refused(image, bytes(larger)) is codes.MAPPED_IMAGE


def test_a_file_with_relocations_outside(image: Image) -> None:
    """The caller's file is another, larger one."""
    base = 0x190000000
    small = replace(image, size_of_image=0x2000, memory=image.memory[:0x2000])
    content = bytearray(loaded(image, base)[:0x2000])
    at = int.from_bytes(content[0x3C:0x40], "little")
    rows = at + 24 + 240
    content[at + 6 : at + 8] = b"\1\0"
    content[at + 80 : at + 84] = struct.pack("<I", 0x2000)
    content[rows + 8 : rows + 12] = struct.pack("<I", 0x1000)
    content[at + 24 + 112 : at + 24 + 112 + 128] = bytes(128)
    memory = Parts()
    memory.put(base, bytes(content))
    with pytest.raises(HpbuildError) as caught:
        image_from_memory(memory, module(small, base), file=image)
    assert caught.value.code is codes.MAPPED_IMAGE


def test_long_section_names_come_from_the_pin(image: Image) -> None:
    labels = tuple(section.name for section in image.sections)
    numbered = with_names(image, ("/4", *labels[1:]))
    assert numbered.sections[0].name == labels[0]
    rows = tuple(replace(section, name="/4") for section in image.sections)
    renamed = with_names(replace(image, sections=rows), labels[:2])
    assert tuple(section.name for section in renamed.sections) == (*labels[:2], *("/4",) * (len(rows) - 2))


def test_where_the_loader_writes(image: Image) -> None:
    places = loader_written(image)
    for table in slot_tables(image):
        assert any(place.covers(table.slots) for place in places)
    assert all(left.end < right.start for left, right in pairwise(places))


def test_pseudo_relocations_are_found_by_their_list(binaries: Path) -> None:
    """The mark, a row whose slot is an import slot, then a row that is none."""
    data = bytearray((binaries / "baseline" / "throwing.dll").read_bytes())
    image = parse_image(bytes(data), "throwing.dll")
    slot = slot_tables(image)[0].slots.start
    section = next(each for each in image.sections if each.name == ".rdata")
    target = section.rva + 0x40
    rows = bytes.fromhex("000000000000000001000000") + struct.pack(
        "<6I", slot, target, 64, slot + 4, target, 64
    )
    at = section.raw_offset + section.virtual_size - len(rows) - 8 & ~3
    before = loader_written(image)
    data[at : at + len(rows)] = rows
    after = loader_written(parse_image(bytes(data), "throwing.dll"))
    assert Interval(target, target + 8) in after
    assert Interval(target, target + 8) not in before
