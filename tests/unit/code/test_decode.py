"""References found in hand-assembled code: exact field, width, trailing bytes, access size, target."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import MemorySize, MemorySizeExt

from hpbuild.code.decode import (
    MAX_TARGET,
    ReferenceColumns,
    RefKind,
    Run,
    full_register,
    instructions,
    is_final,
    scan,
)

AT = 0x1000
Row = tuple[int, int, RefKind, int, int, int]
"""(site, target, kind, width, trailing, access)"""


def rows(columns: ReferenceColumns) -> list[Row]:
    return [
        (site, target, RefKind(meta & 15), meta >> 4 & 15, meta >> 8 & 15, meta >> 12)
        for site, target, meta in zip(columns.site, columns.target, columns.meta, strict=True)
    ]


def found(code: str, start: int = AT) -> list[Row]:
    columns = ReferenceColumns()
    scan(bytes.fromhex(code), start, columns)
    return rows(columns)


def run_of(code: str, start: int = AT) -> Run:
    return scan(bytes.fromhex(code), start, ReferenceColumns())


def registers(code: str) -> set[int]:
    """Full-width numbers of what the code's `lea reg, [rip - start]` load."""
    return set(run_of(code).image_base)


@pytest.mark.parametrize(
    ("code", "kind", "site", "width", "target"),
    [
        ("e8 fb0f0000", RefKind.CALL, 0x1001, 4, 0x2000),
        ("e8 fbefffff", RefKind.CALL, 0x1001, 4, 0x0),
        ("e9 fb0f0000", RefKind.BRANCH, 0x1001, 4, 0x2000),
        ("f2 e9 fa0f0000", RefKind.BRANCH, 0x1002, 4, 0x2000),  # bnd jmp
        ("eb 10", RefKind.BRANCH, 0x1001, 1, 0x1012),
        ("eb 80", RefKind.BRANCH, 0x1001, 1, 0xF82),
        ("0f84 fa0f0000", RefKind.BRANCH, 0x1002, 4, 0x2000),  # je
        ("74 7f", RefKind.BRANCH, 0x1001, 1, 0x1081),
        ("e2 10", RefKind.BRANCH, 0x1001, 1, 0x1012),  # loop
        ("e3 10", RefKind.BRANCH, 0x1001, 1, 0x1012),  # jrcxz
        ("c7f8 fa0f0000", RefKind.BRANCH, 0x1002, 4, 0x2000),  # xbegin
    ],
)
def test_branch_that_leaves(code: str, kind: RefKind, site: int, width: int, target: int) -> None:
    assert found(code) == [(site, target, kind, width, 0, 0)]


@pytest.mark.parametrize(
    "code",
    [
        "eb 00 c3",  # to the instruction behind
        "90 eb fd",  # to the first byte of the run
        "74 00 c3",
        "0f84 00000000 c3",
        "e2 fe",  # loop to itself
        "c7f8 00000000 c3",
    ],
)
def test_branch_inside_the_run_is_no_reference(code: str) -> None:
    assert found(code) == []


def test_borders_of_the_run() -> None:
    """The byte before the run and the byte behind it are outside."""
    assert [row[1] for row in found("eb fd")] == [0xFFF]
    assert [row[1] for row in found("eb 00")] == [0x1002]
    assert found("eb fe") == []


def test_call_inside_the_run_is_a_reference() -> None:
    """A function that calls itself names its own entry; a copy of it elsewhere must not call the old one."""
    assert found("90 e8 faffffff c3") == [(0x1002, 0x1000, RefKind.CALL, 4, 0, 0)]


def test_indirect_branches_have_no_direct_target() -> None:
    assert found("ffd0 ffe0 ff10 ff6008 c3") == []


@pytest.mark.parametrize(
    ("code", "displacement", "trailing", "access"),
    [
        ("8a05 {}", 2, 0, 1),  # mov al, [rip+d]
        ("668b05 {}", 3, 0, 2),
        ("8b05 {}", 2, 0, 4),
        ("488b05 {}", 3, 0, 8),
        ("4c893d {}", 3, 0, 8),  # mov [rip+d], r15
        ("0f2805 {}", 3, 0, 16),  # movaps
        ("c5fc1005 {}", 4, 0, 32),  # vmovups ymm
        ("62f17c481005 {}", 6, 0, 64),  # vmovups zmm
        ("0fae05 {}", 3, 0, 512),  # fxsave
        ("803d {} 01", 2, 1, 1),  # cmp byte, imm8
        ("833d {} 01", 2, 1, 4),  # cmp dword, imm8
        ("48833d {} 01", 3, 1, 8),
        ("66c705 {} 0102", 3, 2, 2),  # mov word, imm16
        ("c705 {} 01020304", 2, 4, 4),  # mov dword, imm32
        ("48c705 {} 01020304", 3, 4, 8),
        ("69 05 {} 01020304", 2, 4, 4),  # imul eax, [rip+d], imm32
        ("660f7005 {} e4", 4, 1, 16),  # pshufd
        ("f0 480fb10d {}", 5, 0, 8),  # lock cmpxchg
        ("ff15 {}", 2, 0, 8),  # call through a slot
        ("ff25 {}", 2, 0, 8),  # jmp through a slot
        ("ff35 {}", 2, 0, 8),  # push
    ],
)
def test_rip_relative_operand(code: str, displacement: int, trailing: int, access: int) -> None:
    """The target counts from the end of the instruction, also when an immediate follows the field."""
    octets = bytes.fromhex(code.format("00100000"))
    expected = (AT + displacement, AT + len(octets) + 0x1000, RefKind.MEMORY, 4, trailing, access)
    assert found(octets.hex()) == [expected]
    assert len(octets) == displacement + 4 + trailing


def test_address_taken() -> None:
    assert found("488d0d f90f0000") == [(0x1003, 0x2000, RefKind.LEA, 4, 0, 0)]
    assert found("678d0d f90f0000") == [(0x1003, 0x2000, RefKind.LEA, 4, 0, 0)]


def test_rip_relative_into_the_run_is_a_reference() -> None:
    """Tables between instructions are named like any other place."""
    assert found("488d05 01000000 c3 00") == [(0x1003, 0x1008, RefKind.LEA, 4, 0, 0)]


def test_operands_without_rip_are_no_references() -> None:
    assert found("488b4108 8b848100200000 48b80010000000000000 a1 0010000000000000 68 00100000") == []


def test_targets_outside_two_gibibytes_are_one_value() -> None:
    assert [row[1] for row in found("e8 00000080")] == [MAX_TARGET]
    assert [row[1] for row in found("488b05 00000080")] == [MAX_TARGET]
    assert [row[1] for row in found("e9 ffffff7f", 0x7FFFFFF0)] == [MAX_TARGET]


def test_rows_come_in_the_order_of_the_code() -> None:
    kinds = [row[2] for row in found("488d0d f90f0000 ff15 f30f0000 e8 ee0f0000 e9 e90f0000")]
    assert kinds == [RefKind.LEA, RefKind.MEMORY, RefKind.CALL, RefKind.BRANCH]


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("90 06", 0x1001),  # push es does not exist in 64-bit mode
        ("06", 0x1000),
        ("90 e8 0000", 0x1001),  # cut off
        ("c3", -1),
        ("", -1),
    ],
)
def test_first_byte_that_is_no_instruction(code: str, bad: int) -> None:
    assert run_of(code).bad == bad


def test_nothing_is_recorded_behind_a_bad_byte() -> None:
    assert found("06 e8 00000000") == []


@pytest.mark.parametrize(
    ("code", "falls"),
    [
        ("90", True),
        ("74 10", True),
        ("e8 00100000", False),  # a call at the very end does not return
        ("c3", False),
        ("c20800", False),
        ("eb 10", False),
        ("ffe0", False),
        ("0f0b", False),
        ("cc", False),
        ("cd29", False),  # __fastfail
    ],
)
def test_falls_through(code: str, falls: bool) -> None:
    run = run_of(code)
    assert run.bad == -1
    assert run.falls_through is falls


@pytest.mark.parametrize("code", ["c3", "eb 10", "ffe0", "0f0b", "cc", "cd29"])
def test_final_instructions(code: str) -> None:
    assert is_final(instructions(bytes.fromhex(code), AT)[-1])


@pytest.mark.parametrize("code", ["90", "74 10", "e8 00100000", "ffd0", "0f05"])
def test_instructions_that_lead_on(code: str) -> None:
    assert not is_final(instructions(bytes.fromhex(code), AT)[-1])


def test_image_base_registers() -> None:
    """Only a register that takes RVA 0 holds the image base."""
    rdx = next(iter(registers("488d15 f9efffff")))
    r9 = next(iter(registers("4c8d0d f9efffff")))
    assert rdx != r9
    assert registers("488d15 f9efffff 4c8d0d f2efffff") == {rdx, r9}
    assert registers("488d15 00000000") == set()
    assert registers("488b15 f9efffff") == set()  # reads there, does not take the address


def test_full_register() -> None:
    moves = instructions(bytes.fromhex("8bc1 88c8 6689c8 4889c8"), AT)
    assert len({full_register(insn.op0_register) for insn in moves}) == 1
    assert full_register(0) == 0


def test_instructions_end_at_a_bad_byte() -> None:
    assert [insn.ip for insn in instructions(bytes.fromhex("90 c3 06 90"), AT)] == [0x1000, 0x1001]


@given(st.binary(max_size=200), st.integers(0, (1 << 31) - 4096))
def test_any_bytes(code: bytes, start: int) -> None:
    """Fields lie inside the run in front of the bad byte, are disjoint, and never raise."""
    columns = ReferenceColumns()
    run = scan(code, start, columns)
    stop = start + len(code) if run.bad < 0 else run.bad
    at = start
    for site, target, kind, width, trailing, _ in rows(columns):
        assert at <= site
        at = site + width
        assert at + trailing <= stop
        assert kind in (RefKind.BRANCH, RefKind.CALL, RefKind.LEA, RefKind.MEMORY)
        assert 0 <= target <= MAX_TARGET
        value = int.from_bytes(code[site - start : at - start], "little", signed=True)
        wide = at + trailing + value
        assert target == (wide if 0 <= wide < MAX_TARGET else MAX_TARGET)


def test_every_access_fits_into_its_column() -> None:
    sizes = [MemorySizeExt.size(size) for size in vars(MemorySize).values() if isinstance(size, int)]
    assert 64 < max(sizes) <= np.iinfo(np.uint16).max
