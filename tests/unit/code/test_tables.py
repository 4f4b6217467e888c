"""Tables of relative addresses and of RVAs: which code reads one, and how far it goes."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.tables import relative_entries, relative_tables, rva_counts
from hpbuild.pe.image import Image

AT, TEXT, CONST = 0x1000, 0x1000, 0x3000
Build = Callable[..., Image]

LEA_RCX = "488d0d f91f0000"
"""`lea rcx, [0x3000]` at 0x1000."""
LOAD_RAX = "48630481"
"""`movsxd rax, dword [rcx+rax*4]`."""
ADD_RAX = "4801c8"
"""`add rax, rcx`."""


def tables(code: str) -> set[int]:
    return relative_tables(bytes.fromhex(code), AT)


@pytest.mark.parametrize(
    "code",
    [
        LEA_RCX + LOAD_RAX + ADD_RAX + "ffe0",
        LEA_RCX + LOAD_RAX + "4801c1 ffe1",  # add rcx, rax
        LEA_RCX + "486314b1 4801ca ffe2",  # movsxd rdx, [rcx+rsi*4]; add rdx, rcx
        "4c8d05 f91f0000 49630480 4c01c0 ffe0",  # r8
        "4c8d1d f91f0000 4f6324a3 4d01dc 41ffe4",  # r11 and r12
        LEA_RCX + "83f805 7707" + LOAD_RAX + ADD_RAX + "ffe0",  # a bounds check between
        LEA_RCX + LOAD_RAX + "85c0 7402" + ADD_RAX,  # the entry is looked at
        LEA_RCX + LOAD_RAX + "50 4839c8" + ADD_RAX,  # pushed, compared
        LEA_RCX + LOAD_RAX + "90 4889fa" + ADD_RAX,  # other instructions between load and addition
        "4c8d2d f91f0000 4963448d00 4c01e8 ffe0",  # r13 as base is only encoded with a displacement of 0
        LEA_RCX + LOAD_RAX + ADD_RAX + "c3",  # a table of strings, not of cases
    ],
)
def test_load_and_add_of_the_table(code: str) -> None:
    assert tables(code) == {0x3000}


@pytest.mark.parametrize(
    "code",
    [
        LEA_RCX + LOAD_RAX + "ffe0",  # no addition: an array of int32
        LEA_RCX + LOAD_RAX + "4801d0 ffe0",  # something else is added
        LEA_RCX + LOAD_RAX + "31c0" + ADD_RAX,  # the entry is overwritten
        LEA_RCX + LOAD_RAX + "488d05 00000000" + ADD_RAX,  # by another address
        LEA_RCX + LOAD_RAX + "488d0d 00000000" + ADD_RAX,  # the table's address is overwritten
        LOAD_RAX + ADD_RAX + "ffe0",  # nobody took an address
        "488b0d f91f0000" + LOAD_RAX + ADD_RAX,  # the base is a variable
        LEA_RCX + "48630401" + ADD_RAX,  # scale 1
        LEA_RCX + "486304c1" + ADD_RAX,  # scale 8
        LEA_RCX
        + "48630401"
        + ADD_RAX
        + LOAD_RAX
        + "c3",  # scale 1, and a load of four that nothing is added to
        LEA_RCX + "8b0481" + ADD_RAX,  # no sign extension
        LEA_RCX + "486301" + ADD_RAX,  # no index
        "",
    ],
)
def test_other_code_reads_no_table(code: str) -> None:
    assert tables(code) == set()


def test_two_tables() -> None:
    other = "488d15 f02f0000 48630482 4801d0 ffe0"
    first = LEA_RCX + LOAD_RAX + ADD_RAX
    assert tables(first + other) == {0x3000, 0x1000 + 14 + 7 + 0x2FF0}


@given(st.binary(max_size=120))
def test_any_bytes(tail: bytes) -> None:
    relative_tables(bytes.fromhex(LEA_RCX + LOAD_RAX) + tail, AT)


def relative(*targets: int, table: int = CONST) -> bytes:
    return struct.pack(f"<{len(targets)}i", *(target - table for target in targets))


def test_jump_table_ends_where_entries_leave_the_code(build: Build) -> None:
    const = relative(0x1000, 0x1004, 0x100F) + relative(CONST + 4) + relative(0x1000)
    image = build(text=b"\xc3" * 16, const=const)
    assert relative_entries(image, CONST, CONST + 100, CONST) == [0x1000, 0x1004, 0x100F]


def test_jump_table_ends_at_the_next_known_address(build: Build) -> None:
    image = build(text=b"\xc3" * 16, const=relative(0x1000, 0x1004, 0x100F))
    assert relative_entries(image, CONST, CONST + 8, CONST) == [0x1000, 0x1004]
    assert relative_entries(image, CONST, CONST + 7, CONST) == [0x1000]
    assert relative_entries(image, CONST, CONST, CONST) == []
    assert relative_entries(image, CONST, CONST - 8, CONST) == []


def test_table_of_data_ends_where_code_begins(build: Build) -> None:
    const = relative(CONST + 16, CONST + 20, 0x1000) + bytes(16)
    image = build(text=b"\xc3" * 16, const=const)
    assert relative_entries(image, CONST, CONST + 16, CONST) == [CONST + 16, CONST + 20]


def test_entry_outside_of_every_section_ends_the_table(build: Build) -> None:
    image = build(text=b"\xc3" * 16, const=relative(0x1000, 0x100, 0x1000))
    assert relative_entries(image, CONST, CONST + 12, CONST) == [0x1000]
    image = build(text=b"\xc3" * 16, const=relative(-8, 0x1000))
    assert relative_entries(image, CONST, CONST + 8, CONST) == []


def test_table_up_to_the_end_of_the_image(build: Build) -> None:
    image = build(text=b"\xc3" * 16, const=relative(*[0x1000] * 8))
    assert relative_entries(image, CONST, 1 << 40, CONST) == [0x1000] * 8
    assert relative_entries(image, image.size_of_image, 1 << 40, 0) == []
    assert relative_entries(image, image.size_of_image + 400, 1 << 40, 0) == []


def counts(image: Image, *spans: tuple[int, int], end: int = 0x1008) -> list[int]:
    """Entries of the tables between these addresses which lead into [0x1000, end)."""
    table, stop = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    found = rva_counts(image, table, stop, lambda _, entry: (entry >= 0x1000) & (entry < end))
    return list(map(int, found))


def test_rva_table_ends_where_entries_leave_the_function(build: Build) -> None:
    image = build(text=b"\xc3" * 32, const=struct.pack("<5I", 0x1000, 0x1007, 0x1008, 0x1000, 0))
    span = CONST, CONST + 20
    assert counts(image, span, (CONST + 4, CONST + 20), (CONST + 8, CONST + 20)) == [2, 1, 0]
    assert counts(image, span, end=0x1010) == [4]
    assert counts(image, span, end=0) == [0]
    assert counts(image) == []


def test_rva_table_ends_at_the_next_known_address(build: Build) -> None:
    image = build(text=b"\xc3" * 32, const=struct.pack("<3I", *[0x1000] * 3))
    spans = [(CONST, CONST + size) for size in (8, 7, 3, 0)]
    assert counts(image, *spans, (CONST, CONST - 4)) == [2, 1, 0, 0, 0]
    assert counts(image, (image.size_of_image - 2, 1 << 40), (-4, 8), (1 << 40, 1 << 41)) == [0, 0, 0]


@pytest.mark.parametrize("size", [31, 32, 33, 95, 96, 97, 300])
def test_long_rva_tables(build: Build, size: int) -> None:
    """Each entry is held against its own table's function."""
    entries = [0x1000] * size + [0x1001] * 40
    image = build(text=b"\xc3" * 32, const=struct.pack(f"<{size + 40}I", *entries))
    middle, end = CONST + 4 * size, CONST + 4 * (size + 40)
    table, stop = np.array([(CONST, end), (middle, end), (CONST, middle - 4)], dtype=np.int64).T
    found = rva_counts(image, table, stop, lambda number, entry: entry == 0x1000 + (number == 1))
    assert found.tolist() == [size, 40, size - 1]
