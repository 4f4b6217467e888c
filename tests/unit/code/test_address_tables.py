"""Tables of RVAs: which code turns what it reads relative to the image base into addresses."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import Register

from hpbuild.code.address_tables import address_tables
from hpbuild.code.base_operands import image_base_operands, may_be_based
from hpbuild.code.decode import ReferenceColumns, RefKind, instructions, scan
from hpbuild.code.model import FieldForm, Program

AT, CONST = 0x1000, 0x3000
LIMIT = 0x10000
Analyse = Callable[..., Program]

RDX = frozenset({int(Register.RDX)})
BASE_RDX = "488d15 f9efffff"
"""`lea rdx, [image base]` at 0x1000."""
LOAD = "8b8c82 00300000"
"""`mov ecx, [rdx+rax*4+0x3000]`"""
ADD = "4803ca"
"""`add rcx, rdx`"""


def sites_of(code: bytes) -> dict[int, int]:
    """The image-base operands of a function, found as the program does."""
    registers = scan(code, AT, ReferenceColumns()).image_base
    places = [insn.ip for insn in instructions(code, AT) if may_be_based(insn)]
    rows = image_base_operands(memoryview(code), AT, registers, LIMIT, places)
    return {site: target for site, target, meta in rows if meta >> 12 == 4}


def tables(code: str) -> set[int]:
    octets = bytes.fromhex(code)
    return address_tables(octets, AT, sites_of(octets))


@pytest.mark.parametrize(
    "code",
    [
        BASE_RDX + LOAD + ADD + "ffe1",
        BASE_RDX + LOAD + "4801d1 ffe1",  # the other encoding of the same addition
        BASE_RDX + LOAD + "4803d1 ffe2",  # add rdx, rcx
        BASE_RDX + "48638c82 00300000" + ADD + "ffe1",  # movsxd rcx
        BASE_RDX + LOAD + "488d0c11 ffe1",  # lea rcx, [rcx+rdx]
        BASE_RDX + LOAD + "488d0c0a ffe1",  # lea rcx, [rdx+rcx]
        BASE_RDX + LOAD + "488d040a ffe0",  # lea rax, [rdx+rcx]
        BASE_RDX + LOAD + "488d4c0a08 ffe1",  # lea rcx, [rdx+rcx+8]
        BASE_RDX + "8b8a 00300000" + ADD,  # mov ecx, [rdx+0x3000]
        BASE_RDX + "8b8c02 00300000" + ADD,  # [rdx+rax]: the image base comes first
        BASE_RDX + "8b8c10 00300000" + ADD,  # [rax+rdx]: and second
        BASE_RDX + LOAD + "33c0 4c8bc0" + ADD,  # other registers in between
        BASE_RDX + LOAD + "83f905" + ADD,  # cmp ecx, 5: read, not written
        BASE_RDX + LOAD + "85c9 7402" + ADD,  # test ecx, ecx; je
        BASE_RDX + LOAD + "4839c2" + ADD,  # cmp rdx, rax
        BASE_RDX + LOAD + "51" + ADD,  # push rcx
        BASE_RDX + LOAD + "488d15 ebefffff" + ADD,  # the image base once more
        BASE_RDX + LOAD + "4c8d05 ebefffff 4903c8",  # in another register
        "4c8d05 f9efffff 488d15 f2efffff" + LOAD + "4903c8",
        "4c8d05 f9efffff 418b8c80 00300000 4903c8 ffe1",  # r8
        "4c8d1d f9efffff 478b9493 00300000 4d03d3 41ffe2",  # r11 and r10d
        "4c8d2d f9efffff 418b4c8500 458bbc8d 00300000 4d03fd",  # r13 and r15d, a plain read before
    ],
)
def test_what_is_read_and_added_to_the_image_base(code: str) -> None:
    assert tables(code) == {CONST}


@pytest.mark.parametrize(
    "code",
    [
        "",
        BASE_RDX + LOAD + "8bc1 c3",  # a plain number
        BASE_RDX + LOAD + "83c108 c3",  # add ecx, 8
        BASE_RDX + LOAD + "4883c108 c3",
        BASE_RDX + LOAD + "4803c8",  # the index is added
        BASE_RDX + LOAD + "03c8",  # 32 bits of it
        BASE_RDX + LOAD + "488d4c08 08",  # lea rcx, [rax+rcx+8]
        BASE_RDX + LOAD + "33c9" + ADD,  # overwritten
        BASE_RDX + LOAD + "8b4c2408" + ADD,
        BASE_RDX + LOAD + "488d4c2408" + ADD,
        BASE_RDX + LOAD + "59" + ADD,  # pop rcx
        BASE_RDX + LOAD + "33d2" + ADD,  # the base is overwritten
        BASE_RDX + LOAD + "488b542408" + ADD,
        BASE_RDX + LOAD + "488d542408" + ADD,
        BASE_RDX + LOAD + "488d15 ebf0ffff" + ADD,  # lea rdx of something else
        BASE_RDX + "8b9482 00300000" + "4803d2",  # add rdx, rdx: the entry took the base's place
        BASE_RDX + LOAD + "488d0c4a",  # lea rcx, [rdx+rcx*2]
        BASE_RDX + LOAD + "488d0cd1",  # lea rcx, [rcx+rdx*8]
        BASE_RDX + LOAD + "482bca",  # sub rcx, rdx
        BASE_RDX + LOAD + "490bca",  # or
        BASE_RDX + "3b8c82 00300000" + ADD,  # cmp ecx, [rdx+rax*4+0x3000]
        BASE_RDX + "038c82 00300000" + ADD,  # add ecx, the number
        BASE_RDX + "898c82 00300000" + ADD,  # written, not read
        BASE_RDX + "0fb68c02 00300000" + ADD,  # bytes
        BASE_RDX + "488b8cc2 00300000" + ADD,  # 8 bytes
        BASE_RDX + "488d8a 00300000" + ADD,  # the address itself
        BASE_RDX + "8b4c82 40" + ADD,  # no address: no page lies there
        BASE_RDX + ADD + LOAD,  # added before
        LOAD + ADD,  # nobody took the image base
        BASE_RDX + "8b8c81 00300000" + ADD,  # another base
    ],
)
def test_what_is_no_table_of_addresses(code: str) -> None:
    assert tables(code) == set()


@pytest.mark.parametrize(
    "code",
    [
        BASE_RDX + "8b8a 00300000 488d4908 c3",  # lea rcx, [rcx+8]: one register only
        BASE_RDX + "8b8a 00300000 014c2408 c3",  # add [rsp+8], ecx
        BASE_RDX + "8b8a 00300000 488d0c09",  # lea rcx, [rcx+rcx]
        BASE_RDX + "8b0c15 00300000 488d4908",  # mov ecx, [rdx*1+0x3000]
        BASE_RDX + "8b8a 00300000 8a01 0208",  # add cl, [rax]
    ],
)
def test_no_register_is_no_image_base(code: str) -> None:
    """An operand without an index must not make every sum with one register an address."""
    assert tables(code) == set()


def test_index_that_is_added_once_more() -> None:
    """With scale 1 both registers may be the image base; it is one of them that is added."""
    both = BASE_RDX + "8b8c10 00300000"  # mov ecx, [rax+rdx+0x3000]
    assert tables(both + "4803ca") == {CONST}
    assert tables(both + "4803cb") == set()
    assert tables(BASE_RDX + LOAD + "4803c8") == set(), "with scale 4 the index is none"


def test_several_tables() -> None:
    second = "448b8482 00400000 4c03c2"  # mov r8d, [rdx+rax*4+0x4000]; add r8, rdx
    plain = "448b8c82 00500000 4503c8"  # mov r9d, [rdx+rax*4+0x5000]; add r9d, r8d
    code = BASE_RDX + LOAD + second + plain + ADD
    assert tables(code) == {CONST, 0x4000}
    assert set(sites_of(bytes.fromhex(code)).values()) == {CONST, 0x4000, 0x5000}


def test_without_operands() -> None:
    assert address_tables(bytes.fromhex(BASE_RDX + LOAD + ADD), AT, {}) == set()


PARTS = (
    BASE_RDX,
    LOAD,
    ADD,
    "4c8d05 f9efffff",
    "4903c8",
    "448b8482 00400000",
    "4c03c2",
    "33c9",
    "33d2",
    "90",
)


@given(st.lists(st.sampled_from((*PARTS, "83f905", "8bc1", "3b8c82 00300000", "8b8c10 00300000"))))
def test_what_lies_between_is_passed_over(parts: list[str]) -> None:
    """Wherever instructions are known to begin: the same tables are found."""
    code = bytes.fromhex("".join(parts))
    every = [insn.ip for insn in instructions(code, AT)]
    rows = image_base_operands(memoryview(code), AT, RDX, LIMIT, every)
    named = {site: target for site, target, _ in rows}
    expected = address_tables(code, AT, named)
    for borders in (every, every[::3], every[1:], every[-1:]):
        assert address_tables(code, AT, named, borders) == expected


@given(st.binary(max_size=100), st.dictionaries(st.integers(AT, AT + 120), st.integers(0, LIMIT)))
def test_any_bytes(tail: bytes, named: dict[int, int]) -> None:
    """Whatever is found is one of the named ones."""
    code = bytes.fromhex(BASE_RDX + LOAD) + tail
    assert address_tables(code, AT, named) <= set(named.values())


def program_with(analyse: Analyse, code: str, const: bytes, **more: object) -> Program:
    leaf = CONST + len(const)
    octets = bytes.fromhex(code)
    rows = ((AT, AT + len(octets), leaf),)
    return analyse(text=octets.ljust(0x100, b"\xcc"), const=const + bytes([1, 0, 0, 0]), rows=rows, **more)


def fields(program: Program) -> list[tuple[int, int, FieldForm, int]]:
    f = program.fields
    rows = zip(f.site.tolist(), f.target.tolist(), f.form.tolist(), f.origin.tolist(), strict=True)
    return [(site, target, FieldForm(form), origin) for site, target, form, origin in rows]


NB = FieldForm.ADDR32NB
STRINGS = struct.pack("<3I", CONST + 12, CONST + 14, CONST + 12) + b"a\0b\0"


def test_table_of_strings(analyse: Analyse) -> None:
    """RVAs of constants in constants; it ends where an entry is no address."""
    program = program_with(analyse, BASE_RDX + LOAD + ADD + "c3", STRINGS)
    assert fields(program) == [(CONST + 4 * n, at, NB, 0) for n, at in enumerate([0x300C, 0x300E, 0x300C])]
    assert RefKind.IMAGE_BASE in program.references.kind.tolist()


def test_plain_numbers_are_left_alone(analyse: Analyse) -> None:
    """The same bytes, read by code that does not add: numbers that look like addresses by chance."""
    program = program_with(analyse, BASE_RDX + LOAD + "8bc1 c3", STRINGS)
    assert fields(program) == []
    assert RefKind.IMAGE_BASE in program.references.kind.tolist()


def test_table_ends_at_what_else_is_named(analyse: Analyse) -> None:
    named = "488d05" + struct.pack("<i", CONST + 8 - (AT + 24)).hex()  # lea rax, [CONST + 8]
    program = program_with(analyse, BASE_RDX + LOAD + ADD + named + "c3", STRINGS)
    assert fields(program) == [(CONST, 0x300C, NB, 0), (CONST + 4, 0x300E, NB, 0)]


def test_table_ends_at_a_pointer(analyse: Analyse) -> None:
    const = struct.pack("<2IQ", CONST + 8, CONST + 9, 0x180000000 + CONST)
    program = program_with(analyse, BASE_RDX + LOAD + ADD + "c3", const, pointers=(CONST + 8,))
    assert fields(program) == [
        (CONST, 0x3008, NB, 0),
        (CONST + 4, 0x3009, NB, 0),
        (CONST + 8, CONST, FieldForm.ADDR64, 0),
    ]
