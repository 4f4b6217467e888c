"""Where a stack cookie lies in its frame: a number that must never be taken for an address."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.exceptions import read_record
from hpbuild.code.model import FieldForm, Program
from hpbuild.code.stack_cookies import HandlerForms, allocated, handler_forms, in_frame, stack_cookie
from hpbuild.pe.image import Image

TEXT, CONST = 0x1000, 0x3000
HANDLER, OTHER = 0x1040, 0x1050
Make = Callable[[bytes], Image]
Analyse = Callable[..., Program]
WIDE = "00 01 0003"
"""Unwind code: 0x1800 bytes in a slot of 8-byte units."""


def record(codes: str, *language: int, handler: int = HANDLER, version: int = 1) -> bytes:
    """Unwind record with these codes, a handler, and its language data."""
    octets = bytes.fromhex(codes)
    head = struct.pack("<BBBB", version | 3 << 3, 0, len(octets) // 2, 0)
    padded = octets.ljust((len(octets) + 3) & ~3, b"\0")
    return head + padded + struct.pack(f"<{1 + len(language)}I", handler, *language)


@pytest.mark.parametrize(
    ("codes", "version", "size"),
    [
        ("", 1, 0),
        ("0030", 1, 8),  # push rbx
        ("0042", 1, 0x28),  # sub rsp, 0x28
        ("0432 0130", 1, 0x28),  # push rbx; sub rsp, 0x20
        (WIDE, 1, 0x1800),
        ("0001 0003 0050", 1, 0x1808),
        ("0011 00000200", 1, 0x20000),
        ("0013 0070", 1, 8),  # a frame register
        ("0014 0500 0042", 1, 0x28),  # a saved register
        ("0015 00000100 0042", 1, 0x28),  # far away
        ("0018 0500 0042", 1, 0x28),
        ("0019 00000100 0042", 1, 0x28),
        ("000a", 1, 40),
        ("001a", 1, 48),
        ("0506 0006 0042", 2, 0x28),  # epilogs of version 2
        ("0016 0500 0042", 1, 0x28),
        ("0017 00000100 0042", 1, 0x28),
        ("000b 0042", 1, 0),  # no such code
        ("0021 0042 0042 0042", 1, 0),
        ("0001", 1, 0),  # its slot is missing
        ("0042 0011 0001", 1, 0),
    ],
)
def test_what_a_prolog_allocates(with_constants: Make, codes: str, version: int, size: int) -> None:
    assert allocated(with_constants(record(codes, 0, version=version)), CONST) == size


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ((0x1000,), True),
        ((0x17F8,), True),
        ((0x1800,), False),  # outside of the frame
        ((0x1001,), False),  # the flags of a wrapped handler: its data comes first
        ((0x1002,), False),
        ((0x1004, 0x60, 0x40), True),  # an aligned frame
        ((0x1004, 0x60, 0x48), False),
        ((0x1004, 0x60, 0), False),
        ((0x1004, 0x60, 0x4000), False),
        ((0x1004, 0x1801, 0x40), False),
        ((0xFFFFFFF8,), False),
    ],
)
def test_a_place_inside_of_the_frame(with_constants: Make, words: tuple[int, ...], fits: bool) -> None:
    made = record(WIDE, *words)
    assert in_frame(with_constants(made), CONST, CONST + len(made) - 4 * len(words)) is fits


def test_nothing_lies_below_the_first_section(with_constants: Make) -> None:
    """Also behind the headers, which have 0x400 bytes."""
    for value, fine in ((0, True), (0x400, True), (0xFFF, True), (0x1000, False)):
        assert (stack_cookie(with_constants(struct.pack("<I", value)), CONST) is not None) is fine


def forms_of(make: Make, *records: bytes) -> tuple[Image, list[int], HandlerForms]:
    page, places = b"", []
    for content in records:
        places.append(CONST + len(page))
        page += content
    image = make(page)
    return image, places, handler_forms(image, places)


def test_a_handler_is_judged_by_all_its_records(with_constants: Make) -> None:
    small, large = record(WIDE, 0x20), record(WIDE, 0x1010)
    outside, other = record("", 0x1010), record(WIDE, 0x1010, handler=OTHER)
    for records, expected in (
        ((small, large), HandlerForms(numbers=frozenset({HANDLER}))),
        ((large,), HandlerForms()),  # nothing tells
        ((small, large, outside), HandlerForms(others=frozenset({HANDLER}))),
        ((small, other), HandlerForms(numbers=frozenset({HANDLER}))),
        ((outside, other), HandlerForms(others=frozenset({HANDLER}))),
    ):
        assert forms_of(with_constants, *records)[2] == expected


def test_records_that_leave_the_image_tell_nothing(with_constants: Make) -> None:
    image = with_constants(record(WIDE, 0x20))
    assert handler_forms(image, (0xFFFFFFF0, image.size_of_image - 2)) == HandlerForms()


def test_a_large_offset_is_known_by_the_small_ones(with_constants: Make) -> None:
    image, places, forms = forms_of(with_constants, record(WIDE, 0x20), record(WIDE, 0x1010))
    found = read_record(image, places[1], forms)
    assert found is not None
    assert (found.known, found.doubtful, found.size) == (True, False, 16)
    assert [site for site, *_ in found.fields] == [places[1] + 8]  # the handler alone


def test_a_large_offset_alone_is_in_doubt(with_constants: Make) -> None:
    """It may be an address as well, even that of a FuncInfo4: hpbuild cannot carry it."""
    info = CONST + 0x100
    for word in (0x1010, info):
        page = record("0011 00000200", word).ljust(0x100, b"\0") + b"\x00" + struct.pack("<I", CONST)
        image = with_constants(page)
        found = read_record(image, CONST)
        assert found is not None
        assert (found.known, found.doubtful) == (False, True)
        other = read_record(image, CONST, HandlerForms(others=frozenset({HANDLER})))
        assert other is not None
        assert (other.known, other.doubtful) == (word == info, False)


CODE = b"\xc3" * 0x200


def fields_of(program: Program) -> list[tuple[int, int]]:
    table = program.fields
    assert set(table.form.tolist()) <= {FieldForm.ADDR32NB}
    return list(zip(table.site.tolist(), table.target.tolist(), strict=True))


@pytest.mark.parametrize("others", [(), (0x20,), (0x20, 0x28)])
def test_an_offset_in_the_functions_own_code_is_no_label(analyse: Analyse, others: tuple[int, ...]) -> None:
    """The function lies where its cookie's offset, taken for an address, would lead."""
    records = [record(WIDE, 0x1010), *(record(WIDE, word) for word in others)]
    size = len(records[0])
    rows = tuple((TEXT + 0x20 * n, TEXT + 0x20 * n + 0x20, CONST + size * n) for n in range(len(records)))
    program = analyse(text=CODE, const=b"".join(records), rows=rows)
    assert fields_of(program) == [(CONST + size * n + size - 8, HANDLER) for n in range(len(records))]
    assert program.exceptions.unknown == (frozenset() if others else frozenset({CONST}))
    assert program.exceptions.records[0] == (CONST, size if others else size - 4)


def test_labels_of_assembly_stay_labels(analyse: Analyse) -> None:
    """No frame in the unwind codes: the words behind the handler are addresses of its own code."""
    program = analyse(text=CODE, const=record("", 0x1010, 0x1018), rows=((TEXT, TEXT + 0x20, CONST),))
    assert fields_of(program) == [(CONST + 4, HANDLER), (CONST + 8, 0x1010), (CONST + 12, 0x1018)]
    assert program.exceptions.unknown == frozenset({CONST})


@given(st.binary(min_size=0x100, max_size=0x100))
def test_any_bytes(with_constants: Make, page: bytes) -> None:
    image = with_constants(page)
    forms = handler_forms(image, range(CONST, CONST + 0x100, 4))
    assert not forms.numbers & forms.others
    assert all(allocated(image, rva) >= 0 for rva in range(CONST, CONST + 0x80))
