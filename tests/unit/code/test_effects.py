"""What single instructions do to registers and stack slots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import Register

from hpbuild.code.decode import instructions
from hpbuild.code.effects import Address, Constant, Effect, Loaded, effect_of, effects_of, register_place
from tests.comparing import example, program

AT = 0x1000
RAX, RCX, RDX, RBX, RSP, R8 = (
    register_place(each)
    for each in (Register.RAX, Register.RCX, Register.RDX, Register.RBX, Register.RSP, Register.R8)
)


def effect(code: str) -> Effect:
    (insn,) = instructions(bytes.fromhex(code), AT)
    return effect_of(insn)


def test_registers_of_all_widths_are_one_place() -> None:
    assert register_place(Register.R8D) == register_place(Register.R8L) == register_place(Register.R8W) == R8
    assert register_place(Register.R9) != R8


@pytest.mark.parametrize(
    ("code", "target", "value"),
    [
        ("41b8 05000000", R8, Constant(0x1002, 5)),  # mov r8d, 5
        ("48c7c0 ffffffff", RAX, Constant(0x1003, 0xFFFFFFFF)),  # mov rax, -1
        ("c7442420 07000000", 0x20, Constant(0x1004, 7)),  # mov dword [rsp+20h], 7
        ("48c7442428 07000000", 0x28, Constant(0x1005, 7)),  # mov qword [rsp+28h], 7
        ("488d15 f90f0000", RDX, Address(0x2000)),  # lea rdx, [rip+...]
        ("488b1d f90f0000", RBX, Loaded(0x2000)),  # mov rbx, [rip+...]
    ],
)
def test_values_that_are_followed(code: str, target: int, value: object) -> None:
    found = effect(code)
    assert (found.target, found.value, found.source) == (target, value, None)
    assert target in found.writes
    assert found.uses == () or found.uses == (RSP,)


@pytest.mark.parametrize(
    ("code", "target", "source"),
    [
        ("4189c8", R8, RCX),  # mov r8d, ecx
        ("4989c8", R8, RCX),  # mov r8, rcx
        ("44894424 28", 0x28, R8),  # mov [rsp+28h], r8d
        ("4c894424 28", 0x28, R8),  # mov [rsp+28h], r8
        ("8b4c24 28", RCX, 0x28),  # mov ecx, [rsp+28h]
        ("488b4c24 28", RCX, 0x28),  # mov rcx, [rsp+28h]
    ],
)
def test_moves_that_are_followed(code: str, target: int, source: int) -> None:
    found = effect(code)
    assert (found.target, found.value, found.source) == (target, None, source)
    assert source not in found.uses, "a move that is followed is no other use"


@pytest.mark.parametrize(
    ("code", "uses", "writes"),
    [
        ("0fb7c9", {RCX}, {RCX}),  # movzx ecx, cx
        ("88c8", {RCX, RAX}, {RAX}),  # mov al, cl: a part of one, the rest of the other
        ("6689c8", {RCX, RAX}, {RAX}),  # mov ax, cx
        ("b105", {RCX}, {RCX}),  # mov cl, 5
        ("0f44c1", {RAX, RCX}, {RAX}),  # cmove eax, ecx
        ("0f94c0", {RAX}, {RAX}),  # sete al
        ("448903", {R8, RBX}, set()),  # mov [rbx], r8d
        ("8b01", {RCX}, {RAX}),  # mov eax, [rcx]
        ("83c105", {RCX}, {RCX}),  # add ecx, 5
        ("39c8", {RAX, RCX}, set()),  # cmp eax, ecx
        ("31c0", set(), {RAX}),  # xor eax, eax
        ("29c0", set(), {RAX}),  # sub eax, eax
        ("87d9", {RBX, RCX}, {RBX, RCX}),  # xchg ecx, ebx
        ("488d4101", {RCX}, {RAX}),  # lea rax, [rcx+1]
        ("394424 28", {RAX, 0x28, RSP}, set()),  # cmp [rsp+28h], eax
        ("c6442428 05", {0x28, RSP}, {0x28}),  # mov byte [rsp+28h], 5: the rest stays
        ("c744242c 05000000", {0x28, RSP}, {0x28}),  # mov dword [rsp+2ch], 5: the other half
        ("f30f7f442430", {register_place(Register.XMM0), RSP}, {0x30, 0x38}),  # movdqu [rsp+30h], xmm0
        ("f30f6f442430", {0x30, 0x38, RSP}, {register_place(Register.XMM0)}),  # movdqu xmm0, [rsp+30h]
    ],
)
def test_other_uses(code: str, uses: set[int], writes: set[int]) -> None:
    found = effect(code)
    assert (set(found.uses), set(found.writes)) == (uses, writes)
    assert (found.value, found.source) == (None, None)
    assert not found.call
    assert not found.moves_stack


def test_an_index_reaches_all_slots_above() -> None:
    found = effect("8b848428010000")  # mov eax, [rsp+rax*4+128h]
    assert {0x128, 0x130, 0x1F8} < set(found.uses)
    assert 0x120 not in found.uses


@pytest.mark.parametrize(
    ("code", "moves"),
    [("4883ec28", True), ("53", True), ("5b", True), ("c3", True), ("4889e0", False)],
)  # sub rsp, 28h; push rbx; pop rbx; ret; mov rax, rsp
def test_stack_pointer(code: str, moves: bool) -> None:
    assert effect(code).moves_stack is moves


def test_push_uses_the_register() -> None:
    assert RBX in effect("53").uses  # push rbx
    assert RBX not in effect("5b").uses  # pop rbx
    assert RBX in effect("5b").writes


@pytest.mark.parametrize(
    ("code", "callee", "source"),
    [
        ("e8 fb0f0000", 0x2000, None),  # call 2000h
        ("ff15 fa0f0000", 0x2000, None),  # call [rip+...]
        ("ffd3", None, RBX),  # call rbx
        ("ff5008", None, None),  # call [rax+8]
        ("ff542440", None, None),  # call [rsp+40h]
    ],
)
def test_calls(code: str, callee: int | None, source: int | None) -> None:
    found = effect(code)
    assert (found.call, found.callee, found.source) == (True, callee, source)
    assert not found.moves_stack, "the callee takes its return address off again"


@pytest.mark.parametrize(
    ("code", "local"),
    [
        ("488d4c2440", 0x40),  # lea rcx, [rsp+40h]
        ("488d4c2418", -1),  # lea rcx, [rsp+18h]: the callee's
        ("488d6c2440", -1),  # lea rbp, [rsp+40h]: a frame pointer
        ("8b448440", 0x40),  # mov eax, [rsp+rax*4+40h]
        ("8b442440", -1),  # mov eax, [rsp+40h]
        ("488d4140", -1),  # lea rax, [rcx+40h]
        ("4889e0", -1),  # mov rax, rsp
    ],
)
def test_addresses_of_local_variables(code: str, local: int) -> None:
    assert effect(code).local == local


@pytest.mark.parametrize("code", ["c7442421 07000000", "c78424 00020000 07000000", "c70424 07000000"])
def test_slots_that_are_not_followed(code: str) -> None:
    """mov dword [rsp+21h], 7; [rsp+200h]; [rsp]."""
    assert effect(code).target is None


@pytest.mark.parametrize("code", ["66b80500", "b005", "48b8 0500000000000000", "6a05"])
def test_constants_of_other_sizes_are_not_followed(code: str) -> None:
    """mov ax, 5; mov al, 5; mov rax, 5 (8 bytes); push 5."""
    assert effect(code).value is None


@given(st.binary(min_size=1, max_size=40))
def test_any_bytes(code: bytes) -> None:
    for insn in instructions(code, AT):
        found = effect_of(insn)
        assert found.target is None or found.target in found.writes
        assert found.value is None or found.target is not None


@given(st.binary(min_size=1, max_size=200), st.integers(0, 1 << 30))
def test_effects_of_a_run_are_those_of_its_instructions(code: bytes, start: int) -> None:
    """Though each is worked out once for all places where it lies."""
    body, effects = effects_of(code, start, 1000)
    assert body == instructions(code, start)
    assert effects == [effect_of(insn) for insn in body]


@pytest.mark.parametrize("name", ["codec", "throwing"])
def test_effects_of_real_code(name: str) -> None:
    made = program(example(name, "fixed"), "none")
    for index in range(len(made.fragments)):
        start, end = int(made.fragments.start[index]), int(made.fragments.end[index])
        body, effects = effects_of(made.image.read(start, end - start), start, 10_000)
        assert effects == [effect_of(insn) for insn in body]


def test_too_many_instructions_have_no_effects() -> None:
    assert len(effects_of(b"\x50" * 3, AT, 3)[1]) == 3
    assert effects_of(b"\x50" * 4, AT, 3)[1] == []
