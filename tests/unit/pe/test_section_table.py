"""Hostile section tables, and names."""

import struct

from hpbuild.codes import pe as codes
from hpbuild.pe.preflight import preflight

_TABLE = 0x98 + 240


def _patched(data, row, offset, value):
    out = bytearray(data)
    struct.pack_into("<I", out, _TABLE + 40 * row + offset, value)
    return bytes(out)


def test_uninitialised_section(pe):
    pe.section(b".bss", b"", size=0x2345)
    section = preflight(pe.build(), "x").sections[1]
    assert (section.virtual_size, section.raw_size) == (0x2345, 0)


def test_virtual_size_zero_means_raw_size(pe):
    pe.section(b".data", b"\1" * 0x300)
    section = preflight(_patched(pe.build(), 1, 8, 0), "x").sections[1]
    assert (section.virtual_size, section.raw_size) == (0x400, 0x400)


def test_only_whole_pages_of_the_virtual_size_are_mapped(pe):
    pe.section(b".data", b"\1" * 0x1200, size=0x10)
    assert preflight(pe.build(), "x").sections[1].raw_size == 0x1000


def test_section_without_bytes(pe, refuses):
    pe.section(b".none", b"", size=0)
    refuses(codes.SECTION_OUTSIDE, preflight, pe.build(size_of_image=0x3000), "x")


def test_unsorted(pe, refuses):
    pe.section(b".a", b"a")
    pe.section(b".b", b"b")
    refuses(codes.SECTIONS_UNSORTED, preflight, _patched(pe.build(), 0, 12, 0x3000), "x")


def test_overlap_in_memory(pe, refuses):
    pe.section(b".a", b"a")
    refuses(codes.SECTIONS_OVERLAP, preflight, _patched(pe.build(), 0, 8, 0x1001), "x")
    refuses(codes.SECTIONS_OVERLAP, preflight, _patched(pe.build(), 1, 12, 0x1000), "x")


def test_section_over_the_headers(pe, refuses):
    refuses(codes.SECTIONS_OVERLAP, preflight, _patched(pe.build(), 0, 12, 0), "x")


def test_overlap_in_file(pe, refuses):
    pe.section(b".a", b"a")
    refuses(codes.RAW_OVERLAP, preflight, _patched(pe.build(), 1, 20, 0x400), "x")
    refuses(codes.RAW_OVERLAP, preflight, _patched(pe.build(), 1, 20, 0), "x")


def test_many_sections_over_the_same_bytes(pe, refuses):
    for index in range(9):
        pe.section(b".%d" % index, b"a")
    data = pe.build()
    for row in range(1, 10):
        data = _patched(data, row, 20, 0x1400)
    refuses(codes.RAW_OVERLAP, preflight, data, "x")


def test_section_outside_image(pe, refuses):
    refuses(codes.SECTION_OUTSIDE, preflight, pe.build(size_of_image=0x1000), "x")
    refuses(codes.SECTION_OUTSIDE, preflight, _patched(pe.build(), 0, 8, 0xFFFFFFFF), "x")


def test_misaligned(pe, refuses):
    refuses(codes.BAD_ALIGNMENT, preflight, _patched(pe.build(), 0, 12, 0x1200), "x")
    pe.overlay = b"\0" * 0x200
    refuses(codes.BAD_ALIGNMENT, preflight, _patched(pe.build(), 0, 20, 0x410), "x")


def test_raw_data_beyond_the_file(pe, refuses):
    refuses(codes.TRUNCATED, preflight, _patched(pe.build(), 0, 16, 0x1200), "x")
    refuses(codes.TRUNCATED, preflight, _patched(pe.build(), 0, 20, 0xFFFFFE00), "x")


def test_long_names_come_from_the_string_table(pe):
    pe.section(b"/4", b"dwarf")
    strings = b".debug_aranges\0"
    pe.overlay = b"\0" * 18 + struct.pack("<I", 4 + len(strings)) + strings
    data = pe.build()
    data = pe.build(symbol_table=len(data) - len(pe.overlay), symbol_count=1)
    assert preflight(data, "x").sections[1].name == ".debug_aranges"


def test_long_name_that_leads_nowhere_stays_as_it_is(pe):
    pe.section(b"/9999999", b"x")
    assert (
        preflight(pe.build(symbol_table=0xFFFFFFFF, symbol_count=0xFFFFFFFF), "x").sections[1].name
        == "/9999999"
    )


def test_control_characters_in_names_are_escaped(pe):
    pe.section(b"\x1b[31m\xff", b"x")
    assert preflight(pe.build(), "x").sections[1].name == "\\x1b[31m\\xff"
