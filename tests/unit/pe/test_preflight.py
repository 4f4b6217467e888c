"""Hostile headers: each refusal with its code, and what must still be accepted."""

import pytest

from hpbuild.codes import pe as codes
from hpbuild.errors import ExitStatus
from hpbuild.pe.preflight import MAX_SECTIONS, preflight
from hpbuild.values import Interval


def test_minimal_image_passes(pe):
    headers = preflight(pe.build(), "x")
    assert headers.optional.image_base == 0x180000000
    assert [s.name for s in headers.sections] == [".text"]
    assert headers.sections[0].executable
    assert len(headers.directories) == 16


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"mz": b"ZM"}, codes.NOT_A_PE),
        ({"e_lfanew": 0x10}, codes.NOT_A_PE),
        ({"e_lfanew": 0x82}, codes.NOT_A_PE),
        ({"e_lfanew": 0xFFFFFFFC}, codes.NOT_A_PE),
        ({"e_lfanew": 0x13F0}, codes.NOT_A_PE),
        ({"signature": b"NE\0\0"}, codes.NOT_A_PE),
        ({"machine": 0x14C}, codes.MACHINE_32_BIT),
        ({"machine": 0x1C4}, codes.MACHINE_32_BIT),
        ({"machine": 0xAA64}, codes.MACHINE_ARM64),
        ({"machine": 0xA641}, codes.MACHINE_ARM64),
        ({"machine": 0x200}, codes.MACHINE_UNKNOWN),
        ({"characteristics": 0x20}, codes.NOT_LINKED),
        ({"magic": 0x10B}, codes.NOT_PE32_PLUS),
        ({"optional_size": 96}, codes.NOT_PE32_PLUS),
        ({"section_count": 0}, codes.SECTION_COUNT),
        ({"section_count": MAX_SECTIONS + 1}, codes.SECTION_COUNT),
        ({"size_of_image": 0x40001000}, codes.IMAGE_TOO_LARGE),
        ({"size_of_image": 0xFFFFF000}, codes.IMAGE_TOO_LARGE),
        ({"size_of_image": 0}, codes.BAD_ALIGNMENT),
        ({"size_of_image": 0x2001}, codes.BAD_ALIGNMENT),
        ({"section_alignment": 0}, codes.BAD_ALIGNMENT),
        ({"section_alignment": 0x200}, codes.BAD_ALIGNMENT),
        ({"section_alignment": 0x1800}, codes.BAD_ALIGNMENT),
        ({"file_alignment": 0}, codes.BAD_ALIGNMENT),
        ({"file_alignment": 0x100}, codes.BAD_ALIGNMENT),
        ({"file_alignment": 0x2000}, codes.BAD_ALIGNMENT),
        ({"size_of_headers": 0x100}, codes.BAD_HEADER_SIZE),
        ({"size_of_headers": 0x200000}, codes.BAD_HEADER_SIZE),
        ({"image_base": 0}, codes.BAD_IMAGE_BASE),
        ({"image_base": 0x180001000}, codes.BAD_IMAGE_BASE),
        ({"image_base": 0xFFFFFFFFFFFF0000}, codes.BAD_IMAGE_BASE),
        ({"directory_count": 17}, codes.DIRECTORY_COUNT),
        ({"directory_count": 0xFFFFFFFF}, codes.DIRECTORY_COUNT),
        ({"optional_size": 112}, codes.DIRECTORY_COUNT),
        ({"entry_point": 0x200}, codes.BAD_ENTRY_POINT),
        ({"entry_point": 0xFFFFFFFF}, codes.BAD_ENTRY_POINT),
    ],
)
def test_hostile_field(pe, refuses, fields, code):
    # SizeOfOptionalHeader 112 moves the section table; a copy there keeps the sections in order.
    data = bytearray(pe.build(**fields))
    if fields.get("optional_size") == 112:
        data[0x108:0x130] = pe.build()[0x188:0x1B0]
    refuses(code, preflight, bytes(data), "x")


def test_unsupported_machines_are_a_matter_of_usage():
    for code in (codes.MACHINE_32_BIT, codes.MACHINE_ARM64, codes.ARM64_HYBRID, codes.DOTNET_ONLY):
        assert code.exit == ExitStatus.USAGE


@pytest.mark.parametrize("length", [2, 63, 0x90, 0x120, 0x1A0, 0x3FF, 0x400, 0x13FF])
def test_file_cut_off(pe, refuses, length):
    refuses(codes.TRUNCATED, preflight, pe.build()[:length], "x")


def test_image_without_entry_point(pe):
    assert preflight(pe.build(entry_point=0), "x").optional.entry_point == 0


def test_fewer_directories_read_as_absent(pe):
    assert preflight(pe.build(directory_count=2), "x").directories[2:] == (Interval(0, 0),) * 14


def test_directory_outside_sections(pe, refuses):
    pe.table(5, b"\0" * 16)
    for rva, size in ((0x2000, 0x1001), (0x3000, 8), (0x200, 8), (0xFFFFFFF8, 16), (0x1FF8, 16)):
        pe.directories[5] = (rva, size)
        refuses(codes.DIRECTORY_OUTSIDE, preflight, pe.build(), "x")


def test_directory_in_uninitialised_bytes(pe, refuses):
    pe.section(b".bss", b"", size=0x1000)
    pe.directories[3] = (0x2000, 12)
    refuses(codes.DIRECTORY_OUTSIDE, preflight, pe.build(), "x")


def test_bound_imports_may_lie_in_the_headers(pe):
    pe.directories[11] = (0x300, 0x20)
    assert preflight(pe.build(), "x").directories[11] == Interval(0x300, 0x320)


@pytest.mark.parametrize("extent", [(0x1000, 0), (0, 8)])
def test_directory_half_empty(pe, refuses, extent):
    pe.directories[2] = extent
    refuses(codes.DIRECTORY_HALF_EMPTY, preflight, pe.build(), "x")


def test_certificates_are_file_offsets(pe, refuses):
    pe.overlay = b"\0" * 0x100
    pe.directories[4] = (0x1400, 0x100)
    assert preflight(pe.build(), "x").directories[4] == Interval(0x1400, 0x1500)
    pe.directories[4] = (0x1400, 0x108)
    refuses(codes.CERTIFICATES_OUTSIDE, preflight, pe.build(), "x")


def test_data_after_the_last_section_is_tolerated(pe):
    pe.overlay = b"installer payload"
    assert preflight(pe.build(), "x").sections


def test_message_names_place_and_value(pe, refuses):
    error = refuses(codes.MACHINE_UNKNOWN, preflight, pe.build(machine=0x200), "odd.dll")
    assert error.finding.place == "odd.dll"
    assert "0x200" in error.finding.cause
