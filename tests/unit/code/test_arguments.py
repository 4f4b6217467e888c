"""Constant arguments in hand-assembled code, and every use that makes a constant no argument."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.arguments import (
    MAX_INSTRUCTIONS,
    MAX_TRACES,
    MAX_VALUES,
    UNKNOWN_CALLEE,
    Argument,
    arguments,
    calls,
)

AT = 0x1000
CALLEE, SLOT, TEXT, NAME = 0x4000, 0x5000, 0x6000, 0x6100
LINE = "41b8 4d000000"
"""mov r8d, 77"""
RET = "c3"


def code(*parts: str | tuple[str, int]) -> bytes:
    """Machine code; (bytes, address) has a 4-byte displacement to the address behind the bytes."""
    made = b""
    for part in parts:
        if isinstance(part, str):
            made += bytes.fromhex(part)
        else:
            made += bytes.fromhex(part[0])
            made += struct.pack("<i", part[1] - AT - len(made) - 4)
    return made


def found(*parts: str | tuple[str, int]) -> tuple[Argument, ...]:
    return arguments(code(*parts), AT)


def brief(*parts: str | tuple[str, int]) -> list[tuple[int, int, int]]:
    """(value, position, callee) of what is found."""
    return [(each.value, each.position, each.callee) for each in found(*parts)]


CALL = ("e8", CALLEE)
"""call CALLEE"""
ONE = [(77, 2, CALLEE)]


def test_all_that_is_told() -> None:
    # lea rcx, TEXT; lea rdx, NAME; mov r8d, 77; call [SLOT]; ret
    assert found(("488d0d", TEXT), ("488d15", NAME), LINE, ("ff15", SLOT), RET) == (
        Argument(
            site=AT + 16, value=77, position=2, call=AT + 20, callee=SLOT, addresses=((0, TEXT), (1, NAME))
        ),
    )


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # mov ecx, 1; mov edx, 2; mov r8d, 3; mov r9d, 4; call
        (
            ("b901000000 ba02000000 41b803000000 41b904000000", CALL, RET),
            [(1, 0, CALLEE), (2, 1, CALLEE), (3, 2, CALLEE), (4, 3, CALLEE)],
        ),
        # mov dword [rsp+20h], 77; mov qword [rsp+28h], 78; call
        (("c74424204d000000 48c74424284e000000", CALL, RET), [(77, 4, CALLEE), (78, 5, CALLEE)]),
        # mov dword [rsp+9ch-4], 77 is the last one that counts; [rsp+0a0h] is none
        (("c78424980000004d000000", CALL, RET), [(77, 19, CALLEE)]),
        (("c78424a00000004d000000", CALL, RET), []),
        # mov dword [rsp+8], 77: the callee's own room
        (("c74424084d000000", CALL, RET), []),
        # mov ebx, 77; mov r8d, ebx; call; mov edx, ebx; call
        (("bb4d000000 4189d8", CALL, "89da", CALL, RET), [(77, 2, CALLEE), (77, 1, CALLEE)]),
        # mov dword [rsp+1c0h], 77; mov r8d, [rsp+1c0h]; call
        (("c78424c00100004d000000 448b8424c0010000", CALL, RET), ONE),
    ],
)
def test_where_arguments_are(parts: tuple[str | tuple[str, int], ...], expected: object) -> None:
    assert brief(*parts) == expected


@pytest.mark.parametrize(
    "parts",
    [
        # mov rbx, [SLOT]; mov r8d, 77; call rbx
        (("488b1d", SLOT), LINE, "ffd3", RET),
        # mov rax, [SLOT]; mov [rsp+60h], rax; xor eax, eax; mov rax, [rsp+60h]; mov r8d, 77; call rax
        (("488b05", SLOT), "4889442460 31c0 488b442460", LINE, "ffd0", RET),
        # mov rbx, [SLOT]; call CALLEE; mov r8d, 77; call rbx: rbx outlives a call
        (("488b1d", SLOT), CALL, LINE, "ffd3", RET),
        # lea rbx, SLOT; mov r8d, 77; call rbx
        (("488d1d", SLOT), LINE, "ffd3", RET),
    ],
)
def test_address_of_the_callee_in_places(parts: tuple[str | tuple[str, int], ...]) -> None:
    assert brief(*parts) == [(77, 2, SLOT)]


@pytest.mark.parametrize(
    "parts",
    [
        # lea rbx, NAME; call; mov rdx, rbx; mov r8d, 77; call
        (("488d1d", NAME), CALL, "4889da", LINE, CALL, RET),
        # lea rax, NAME; mov [rsp+60h], rax; call; mov rdx, [rsp+60h]; mov r8d, 77; call
        (("488d05", NAME), "4889442460", CALL, "488b542460", LINE, CALL, RET),
    ],
)
def test_address_of_a_text_in_places(parts: tuple[str | tuple[str, int], ...]) -> None:
    (one,) = found(*parts)
    assert (1, NAME) in one.addresses


@pytest.mark.parametrize(
    "parts",
    [
        # lea rdx, NAME; xor edx, edx; mov r8d, 77; call
        (("488d15", NAME), "31d2", LINE, CALL, RET),
        # lea rdx, NAME; inc dl
        (("488d15", NAME), "fec2", LINE, CALL, RET),
        # lea rdx, NAME; call; mov r8d, 77; call: a callee may overwrite rdx
        (("488d15", NAME), CALL, LINE, CALL, RET),
        # lea rax, NAME; mov [rsp+60h], rax; sub rsp, 8; mov rdx, [rsp+60h]
        (("488d05", NAME), "4889442460 4883ec08 488b542460", LINE, CALL, RET),
        # lea rax, NAME; mov [rsp+60h], rax; mov byte [rsp+63h], 0; mov rdx, [rsp+60h]
        (("488d05", NAME), "4889442460 c644246300 488b542460", LINE, CALL, RET),
        # lea rax, NAME; mov [rsp+60h], rax; lea rcx, [rsp+60h]; call; mov rdx, [rsp+60h]: it may be set there
        (("488d05", NAME), "4889442460 488d4c2460", CALL, "488b542460", LINE, CALL, RET),
    ],
)
def test_address_that_is_lost(parts: tuple[str | tuple[str, int], ...]) -> None:
    (one,) = found(*parts)
    assert (1, NAME) not in one.addresses


def test_tail_that_two_ways_share() -> None:
    # test ecx, ecx; je +0x8; mov r8d, 77; jmp +6; mov r8d, 88; lea rdx, NAME; call; int3
    shared = ("85c9 7408", LINE, "eb06 41b858000000", ("488d15", NAME), CALL, "cc")
    assert brief(*shared) == [*ONE, (88, 2, CALLEE)]
    assert {each.addresses for each in found(*shared)} == {((1, NAME),)}


def test_loop() -> None:
    # mov ebx, 77; again: mov r8d, ebx; call; test eax, eax; jne again; ret
    assert brief("bb4d000000 4189d8", CALL, "85c0 75f4", RET) == ONE


def test_loop_that_counts_is_another_use() -> None:
    # mov ebx, 77; again: mov r8d, ebx; call; dec ebx; jne again; ret
    assert brief("bb4d000000 4189d8", CALL, "ffcb 75f4", RET) == []


def test_filler_behind_a_jump_is_not_run() -> None:
    # mov r8d, 77; jmp +3; nop; nop; nop; call; ret
    assert brief(LINE, "eb03 909090", CALL, RET) == ONE


def test_target_of_a_jump_table_knows_nothing() -> None:
    # lea rdx, NAME; jmp rax; mov r8d, 77; call; ret
    (one,) = found(("488d15", NAME), "ffe0", LINE, CALL, RET)
    assert one.addresses == ()
    # mov r8d, 77; jmp rax; call; ret: the call may get it, and nobody knows
    assert brief(LINE, "ffe0", CALL, RET) == []


def test_loop_that_only_a_jump_table_enters() -> None:
    # jmp rax; again: mov ebx, 77; mov r8d, ebx; call; jmp use; int3; use: mov [rsi], ebx; jmp again
    # ... use: mov [rdi], ebx; xor ebx, ebx; jmp again, and use: mov [rsi], ecx; jmp again
    assert brief("ffe0 bb4d000000 4189d8", CALL, "eb01 cc 891e ebec") == []
    assert brief("ffe0 bb4d000000 4189d8", CALL, "eb01 cc 891f 31db ebea") == []
    assert brief("ffe0 bb4d000000 4189d8", CALL, "eb01 cc 890e ebec") == ONE


def alternatives(count: int) -> list[str | tuple[str, int]]:
    """A chain of ``test ecx, ecx; je next; mov r8d, N; jmp tail; next: …``, then ``tail: call; ret``."""
    parts: list[str | tuple[str, int]] = []
    for number in range(count):
        left = (count - number - 1) * 15
        parts.append(f"85c9 7409 41b8 {number.to_bytes(4, 'little').hex()}")
        parts.append("e9" + (left + 1).to_bytes(4, "little").hex())
    return [*parts, "cc", CALL, RET]


@pytest.mark.parametrize("count", [1, MAX_VALUES])
def test_as_many_values_as_a_place_may_have(count: int) -> None:
    parts = alternatives(count)
    assert len(code(*parts)) == 15 * count + 7
    assert [value for value, *_ in brief(*parts)] == list(range(count))


@pytest.mark.parametrize("count", [MAX_VALUES + 1, MAX_TRACES, MAX_TRACES + 2])
def test_more_values_are_none(count: int) -> None:
    assert brief(*alternatives(count)) == []


@pytest.mark.parametrize(("count", "found"), [(MAX_TRACES, MAX_TRACES), (MAX_TRACES + 1, 0)])
def test_constants_in_an_unknown_place(count: int, found: int) -> None:
    """A chain of ``test ecx, ecx; je next; mov ebx, N; mov r8d, ebx; call; jmp tail; next: …``; nothing
    reads ebx at the tail."""
    parts: list[str | tuple[str, int]] = []
    for number in range(count):
        parts += [f"85c9 7412 bb {number.to_bytes(4, 'little').hex()} 4189d8", CALL]
        parts.append("e9" + ((count - number - 1) * 22).to_bytes(4, "little").hex())
    assert len(brief(*parts, RET)) == found


@pytest.mark.parametrize(
    "parts",
    [
        (LINE, "ff5008", RET),  # call [rax+8]
        (LINE, "ffd0", RET),  # call rax
        (LINE, "ff542440", RET),  # call [rsp+40h]
        # test ecx, ecx; mov rax, [SLOT]; je +7; mov rax, [SLOT+8]; mov r8d, 77; call rax
        ("85c9", ("488b05", SLOT), "7407", ("488b05", SLOT + 8), LINE, "ffd0", RET),
    ],
)
def test_callee_that_is_not_known(parts: tuple[str | tuple[str, int], ...]) -> None:
    assert brief(*parts) == [(77, 2, UNKNOWN_CALLEE)]


def test_all_that_a_callee_gets_that_is_not_known() -> None:
    # lea rcx, TEXT; lea rdx, NAME; mov r8d, 77; mov dword [rsp+20h], 78; call rsi
    parts = (("488d0d", TEXT), ("488d15", NAME), LINE, "c74424204e000000 ffd6", RET)
    assert brief(*parts) == [(77, 2, UNKNOWN_CALLEE), (78, 4, UNKNOWN_CALLEE)]
    assert {each.addresses for each in found(*parts)} == {((0, TEXT), (1, NAME))}


def test_constant_that_a_known_and_an_unknown_callee_get() -> None:
    # mov ebx, 77; mov r8d, ebx; call; mov ecx, ebx; call [rax+8]
    parts = ("bb4d000000 4189d8", CALL, "89d9 ff5008 bb00000000", RET)
    assert brief(*parts) == [*ONE, (77, 0, UNKNOWN_CALLEE)]


def test_unknown_callee_that_may_get_something_else() -> None:
    # mov r8d, 77; test ecx, ecx; je +3; mov r8d, [rsi]; call rax
    assert brief(LINE, "85c9 7403 448b06 ffd0", RET) == []


ENDS = ("4883c428", "5b", "4881c400010000", "488d6520 5d", "488d6510")
"""add rsp, 28h; pop rbx; add rsp, 100h; lea rsp, [rbp+20h], pop rbp; lea rsp, [rbp+10h]"""


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("jump", ["ffe0", "48ffe0", "ff6008"])
def test_jump_that_ends_the_function(end: str, jump: str | tuple[str, int]) -> None:
    """jmp rax, also with a prefix; jmp [rax+8]."""
    (one,) = found(("488d0d", TEXT), ("488d15", NAME), LINE, end, jump)
    assert (one.value, one.position, one.callee) == (77, 2, UNKNOWN_CALLEE)
    assert one.addresses == ((0, TEXT), (1, NAME))


def test_jump_to_a_known_function_that_ends_this_one() -> None:
    # jmp [SLOT], also with a prefix; mov rax, [SLOT]; add rsp, 28h; jmp rax
    for parts in (
        (LINE, ("ff25", SLOT)),
        (LINE, ("48ff25", SLOT)),
        (("488b05", SLOT), LINE, "4883c428 ffe0"),
    ):
        assert brief(*parts) == [(77, 2, SLOT)]


def test_calls() -> None:
    # call; mov rbx, [SLOT]; xor ecx, ecx; call rbx; call [rax+8]; add rsp, 28h; jmp [SLOT]
    made = code(CALL, ("488b1d", SLOT), "31c9 ffd3 ff5008 4883c428", ("ff25", SLOT))
    expected = ((0, CALLEE), (14, SLOT), (16, UNKNOWN_CALLEE), (23, SLOT))
    assert calls(made, AT) == tuple((AT + at, callee) for at, callee in expected)
    assert calls(b"", AT) == calls(b"\x90" * MAX_INSTRUCTIONS + made, AT) == ()


@pytest.mark.parametrize(
    "parts",
    [
        (LINE, "ffe0"),  # jmp rax
        (LINE, "4883ec28 ffe0"),  # sub rsp, 28h
        (LINE, "4883c480 ffe0"),  # add rsp, -80h
        (LINE, "53 ffe0"),  # push rbx
        (LINE, "488d6424e0 ffe0"),  # lea rsp, [rsp-20h]
        (LINE, "4801c4 ffe0"),  # add rsp, rax
        (LINE, "4883c428 4801d0 ffe0"),  # add rsp, 28h; add rax, rdx
        (LINE, "4883c428", ("e9", CALLEE)),  # a jump to somewhere known, which may be a part of it
        # test ecx, ecx; je to the jump itself; add rsp, 28h; jmp rax
        (LINE, "85c9 7404 4883c428 ffe0"),
        (LINE, "4883c010 ffe0"),  # add rax, 10h
        (LINE, "488d4208 ffe0"),  # lea rax, [rdx+8]
        # mov r10d, 77; mov r8d, r10d: a register that some callees get, too
        ("41ba4d000000 4589d0 4883c428 ffe0",),
        ("bb4d000000 4189d8 4883c428 ffe0",),  # mov ebx, 77; mov r8d, ebx: it is left there
        ("c74424204d000000 4883c428 ffe0",),  # mov dword [rsp+20h], 77
        (LINE, "85c9 7403 448b06 4883c428 ffe0"),  # test; je +3; mov r8d, [rsi]
    ],
)
def test_jump_that_does_not_end_the_function_or_takes_more(parts: tuple[str | tuple[str, int], ...]) -> None:
    assert brief(*parts) == []


def test_address_that_may_be_something_else() -> None:
    # lea rdx, NAME; test ecx, ecx; je +7; mov rdx, [SLOT]; mov r8d, 77; call
    (one,) = found(("488d15", NAME), "85c9 7407", ("488b15", SLOT), LINE, CALL, RET)
    assert one.addresses == ()
    # … lea rdx, TEXT
    (one,) = found(("488d15", NAME), "85c9 7407", ("488d15", TEXT), LINE, CALL, RET)
    assert one.addresses == ((1, TEXT), (1, NAME))


USES: tuple[tuple[str, tuple[str | tuple[str, int], ...]], ...] = (
    ("computed with", ("ffc3",)),  # inc ebx
    ("compared", ("39d9",)),  # cmp ecx, ebx
    ("stored", ("891e",)),  # mov [rsi], ebx
    ("stored in part", ("881e",)),  # mov [rsi], bl
    ("an index", ("8b049e",)),  # mov eax, [rsi+rbx*4]
    ("added to", ("01d8",)),  # add eax, ebx
    ("moved on a condition", ("0f44cb",)),  # cmove ecx, ebx
    ("extended", ("4863c3",)),  # movsxd rax, ebx
    ("moved in part", ("88d8",)),  # mov al, bl
    ("changed in part", ("b305",)),  # mov bl, 5
    ("pushed", ("53 5b",)),  # push rbx; pop rbx
    ("returned", ("89d8 c3",)),  # mov eax, ebx; ret
    # test ecx, ecx; mov ecx, ebx; je +2; mov ecx, [rsi]; call [rax+8]
    ("passed in some cases", ("85c9 89d9 7402 8b0e ff5008",)),
    ("passed on in a tail call", ("89d9", ("e9", CALLEE))),  # mov ecx, ebx; jmp CALLEE
    ("passed on in an indirect tail call", ("89d9 48ffe0",)),  # mov ecx, ebx; jmp rax
    ("alive where control leaves on a condition", ("85c9", ("0f84", CALLEE))),  # test; je CALLEE
    ("a field of a local variable", ("895c2448 488d4c2440", CALL)),  # mov [rsp+48h], ebx; lea rcx, [rsp+40h]
    ("a field beside another", ("895c2440 f30f6f442438",)),  # mov [rsp+40h], ebx; movdqu xmm0, [rsp+38h]
    ("an element", ("895c2448 8b448440",)),  # mov [rsp+48h], ebx; mov eax, [rsp+rax*4+40h]
    (
        "read back after a call",
        ("895c2448", CALL, "8b4c2448"),
    ),  # mov [rsp+48h], ebx; call; mov ecx, [rsp+48h]
    ("one of two ways", ("85c9 7402 8b1e 89d9", CALL)),  # test; je +2; mov ebx, [rsi]; mov ecx, ebx; call
    ("used on one of two ways", ("85c9 7402 8b1e 891e",)),  # test; je +2; mov ebx, [rsi]; mov [rsi], ebx
    ("left on the stack that moves", ("895c2448 4883c408",)),  # mov [rsp+48h], ebx; add rsp, 8
)


@pytest.mark.parametrize(("use", "parts"), USES, ids=[use for use, _ in USES])
def test_constant_that_is_used_otherwise(use: str, parts: tuple[str | tuple[str, int], ...]) -> None:
    """mov ebx, 77; mov r8d, ebx; call, which alone would do; and then ``parts``."""
    start: tuple[str | tuple[str, int], ...] = ("bb4d000000 4189d8", CALL)
    assert brief(*start, RET) == ONE
    assert brief(*start, *parts, RET) == [], use


@pytest.mark.parametrize(
    "parts",
    [
        ("bb05000000 891e",),  # mov ebx, 5; mov [rsi], ebx: another constant
        ("31db 891e",),  # xor ebx, ebx; mov [rsi], ebx
        ("8b1e ffc3",),  # mov ebx, [rsi]; inc ebx
        ("53 5b",),  # push rbx; pop rbx, of another constant
    ],
)
def test_what_happens_to_a_place_later_is_no_use(parts: tuple[str, ...]) -> None:
    # mov ebx, 77; mov r8d, ebx; call; mov ebx, 6
    found_ones = brief("bb4d000000 4189d8", CALL, "bb06000000", *parts, RET)
    assert found_ones == ONE


def test_argument_that_is_the_same_twice() -> None:
    # mov ebx, 77; mov ecx, ebx; mov edx, ebx; call
    assert brief("bb4d000000 89d9 89da", CALL, RET) == [(77, 0, CALLEE), (77, 1, CALLEE)]


def test_end_without_a_return() -> None:
    """Control may run on with the constant in a register that calls keep."""
    assert brief("bb4d000000 4189d8", CALL) == []
    assert brief(LINE, CALL) == ONE, "a function that does not return ends with the call"


def test_code_that_is_too_long() -> None:
    assert arguments(b"\x90" * (MAX_INSTRUCTIONS - 7) + code(LINE) + b"\xe8\0\0\0\0\xc3", AT)
    assert arguments(b"\x90" * MAX_INSTRUCTIONS + code(LINE) + b"\xe8\0\0\0\0\xc3", AT) == ()


def test_no_code() -> None:
    assert arguments(b"", AT) == ()


_PIECES = st.sampled_from(
    [bytes.fromhex(text) for text in ("41b84d000000", "bb4d000000", "4189d8", "e800010000", "ffd3", "7405")]
    + [bytes.fromhex(text) for text in ("895c2448", "8b5c2448", "75e0", "ebf0", "ffe0", "c3", "53", "31db")]
)


@given(st.lists(st.one_of(_PIECES, st.binary(max_size=4)), max_size=40).map(b"".join))
def test_any_bytes(made: bytes) -> None:
    for each in arguments(made, AT):
        assert AT <= each.site <= AT + len(made) - 4
        assert made[each.site - AT : each.site - AT + 4] == struct.pack("<I", each.value)
    assert arguments(made, AT) == arguments(made, AT)
