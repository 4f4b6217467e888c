"""Operands that count from the image base, by hand-assembled code: what is found at once and by following."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import Register

from hpbuild.code.base_operands import image_base_operands, may_be_based
from hpbuild.code.decode import RefKind, instructions

AT, LIMIT = 0x1000, 0x8000
Row = tuple[int, int, RefKind, int, int, int]
RDX = frozenset({int(Register.RDX)})


def operands(code: str) -> list[Row]:
    """(site, target, kind, width, trailing, access) of the operands, by ascending site."""
    octets = bytes.fromhex(code)
    places = [insn.ip for insn in instructions(octets, AT) if may_be_based(insn)]
    rows = image_base_operands(memoryview(octets), AT, RDX, LIMIT, places)
    return sorted(
        (site, target, RefKind(meta & 15), meta >> 4 & 15, meta >> 8 & 15, meta >> 12)
        for site, target, meta in rows
    )


@pytest.mark.parametrize(
    ("code", "row"),
    [
        ("8b848200200000", (0x1003, 0x2000, RefKind.IMAGE_BASE, 4, 0, 4)),  # mov eax, [rdx+rax*4+d]
        ("8b841000200000", (0x1003, 0x2000, RefKind.IMAGE_BASE, 4, 0, 4)),  # mov eax, [rax+rdx+d]
        ("8b8200200000", (0x1002, 0x2000, RefKind.IMAGE_BASE, 4, 0, 4)),  # mov eax, [rdx+d]
        ("0fb6841000200000", (0x1004, 0x2000, RefKind.IMAGE_BASE, 4, 0, 1)),  # movzx eax, byte
        ("488d8a00200000", (0x1003, 0x2000, RefKind.IMAGE_BASE, 4, 0, 0)),  # lea rcx, [rdx+d]
        ("80bc020020000007", (0x1003, 0x2000, RefKind.IMAGE_BASE, 4, 1, 1)),  # cmp byte, imm8
        ("488b94c200200000", (0x1004, 0x2000, RefKind.IMAGE_BASE, 4, 0, 8)),  # mov rdx, [rdx+rax*8+d]
    ],
)
def test_displacement_that_is_an_rva(code: str, row: Row) -> None:
    assert operands(code) == [row]


@pytest.mark.parametrize(
    "code",
    [
        "8b848100200000",  # base is rcx
        "8b4210",  # one byte of displacement
        "8b02",  # none
        "8b82ff0f0000",  # below the first page: no section lies there
        "8b8200800000",  # the end of the image
        "8b82f0ffffff",  # negative
        "8b1500200000",  # RIP-relative
        "48891424 8b8900200000",  # a copy of rdx goes to the stack: no register joins
    ],
)
def test_displacement_that_is_no_rva(code: str) -> None:
    assert operands(code) == []


def test_last_rva_of_the_image() -> None:
    assert [row[1] for row in operands("8b82ff7f0000")] == [0x7FFF]


@pytest.mark.parametrize(
    ("code", "sites"),
    [
        ("4989d0 418b8000200000", [0x1006]),  # mov r8, rdx; mov eax, [r8+d]
        ("418b8000200000 4989d0", []),  # read before it gets the copy
        ("4889d0 8b8000200000", [0x1005]),  # mov rax, rdx; mov eax, [rax+d]
        ("488d044500200000 4801d0", [0x1004]),  # lea rax, [rax*2+d]; add rax, rdx
        ("488d8900200000 4801d1", [0x1003]),  # lea rcx, [rcx+d]; add rcx, rdx
        ("488d8900200000 0fb60411", [0x1003]),  # lea rcx, [rcx+d]; movzx eax, byte [rcx+rdx]
        ("488d8900200000 4883f900 4801d1", [0x1003]),  # a comparison between
        ("488d8900200000 4801c1 4801d1", [0x1003]),  # an index is added first: add rcx, rax
        # mov rcx, rdx: rcx held the image base elsewhere, and then gets an RVA like any other register
        ("4889d1 488d0c8500200000 8b0411", [0x1007]),
        ("488d8900200000 31c9 4801d1", []),  # lost before it is added
        ("488d8900200000 4801c1", []),  # something else is added
        ("488d8900200000 8b01", []),  # an offset in a structure
        ("488d4910 4801d1", []),  # no 32-bit displacement
        ("488d8900080000 4801d1", []),  # below the first section
    ],
)
def test_rva_that_meets_the_image_base_later(code: str, sites: list[int]) -> None:
    found = operands(code)
    assert [row[0] for row in found] == sites
    assert all(row[1:4] == (0x2000, RefKind.IMAGE_BASE, 4) for row in found)


USES = ("8b848200200000", "80bc020020000007", "488d8a00200000")
"""Operands with RDX: a load, a comparison, an address."""
OTHERS = ("4989d0", "4889d0", "31c9", "4883f900", "488b4910", "c3", "90", "8b8200800000", "8b82f0ffffff")
ELSEWHERE = "8b8100200000"
"""`mov eax, [rcx+d]`: an offset in a structure."""
UNDECIDED = "488d8900200000"
"""`lea rcx, [rcx+d]`: an RVA if the image base is added."""


@given(st.lists(st.sampled_from((*USES, *OTHERS, ELSEWHERE)), max_size=12))
def test_what_is_found_at_once_is_found_by_following(parts: list[str]) -> None:
    """An address of which it is not known whether it is an RVA, behind everything, changes nothing else."""
    code = "".join(parts)
    at_once = operands(code)
    assert operands(code + UNDECIDED) == at_once
    assert [row[1] for row in at_once] == [0x2000] * sum(part in USES for part in parts)


GENERAL = ("RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", *(f"R{number}" for number in range(8, 16)))


@pytest.mark.parametrize("number", [number for number in range(16) if number != 4])  # RSP takes a SIB byte
@pytest.mark.parametrize("loads", [False, True])
def test_copy_of_every_register(number: int, loads: bool) -> None:
    """`mov rsi, register` in both encodings, between an offset in a structure and an operand with RSI."""
    high, low = number >> 3, number & 7
    copy = (0x48 | high, 0x8B, 0xF0 | low) if loads else (0x48 | high << 2, 0x89, 0xC6 | low << 3)
    octets = bytes.fromhex("418b8700200000" if number != 15 else "8b8700200000") + bytes(copy)
    octets += bytes.fromhex("8b8600300000")
    places = [insn.ip for insn in instructions(octets, AT) if may_be_based(insn)]
    register = frozenset({int(getattr(Register, GENERAL[number]))})
    rows = image_base_operands(memoryview(octets), AT, register, LIMIT, places)
    assert [target for _, target, _ in rows] == [0x3000]


def test_copies_of_narrower_registers_count() -> None:
    octets = bytes.fromhex("8b8700200000 89d1 678b8100300000")  # mov ecx, edx; mov eax, [ecx+d]
    places = [insn.ip for insn in instructions(octets, AT) if may_be_based(insn)]
    rows = image_base_operands(memoryview(octets), AT, frozenset({int(Register.EDX)}), LIMIT, places)
    assert [target for _, target, _ in rows] == [0x3000]


@given(st.lists(st.sampled_from((*USES, *OTHERS, UNDECIDED, "4801d1", "0fb60411")), max_size=12))
def test_instructions_that_have_none_may_be_named(parts: list[str]) -> None:
    octets = bytes.fromhex("".join(parts))
    every = [insn.ip for insn in instructions(octets, AT)]
    found = image_base_operands(memoryview(octets), AT, RDX, LIMIT, every)
    assert sorted(site for site, _, _ in found) == [row[0] for row in operands(octets.hex())]


@pytest.mark.parametrize(
    ("code", "may"),
    [
        ("8b8a00100000", True),
        ("8b8aff0f0000", False),
        ("8b8a000000ff", True),  # a negative one: more than any image has
        ("8b4a7f", False),
        ("8b0d00100000", False),  # relative to RIP
        ("8b0c8500100000", True),  # no base
        ("a10010000000000000", True),  # a whole address
        ("90", False),
    ],
)
def test_what_may_be_an_rva(code: str, may: bool) -> None:
    (insn,) = instructions(bytes.fromhex(code), AT)
    assert may_be_based(insn) is may
