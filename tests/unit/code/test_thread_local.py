"""Offsets into thread-local data, from the code sequences of clang and of Microsoft's compiler."""

from pathlib import Path

import pytest

from hpbuild.code.thread_local import thread_offsets
from tests.assembled import RET, Dll, function
from tests.comparing import program

ARRAY = bytes.fromhex("65488b042558000000")  # mov rax, gs:[58h]
BLOCK = bytes.fromhex("488b04c8")  # mov rax, [rax+rcx*8]


def offsets(code: str, before: bytes = ARRAY + BLOCK) -> frozenset[int]:
    made = Dll(code=(function("f", before, bytes.fromhex(code), RET),)).program()
    return thread_offsets(made, (0,))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("8b4008", {8}),  # mov eax,[rax+8]
        ("8b80 04010000", {0x104}),
        ("8b10 895004", {0, 4}),  # read one, write the next
        ("488d4810 c701 05000000", {0x10}),  # lea rcx,[rax+10h]
        ("ba 0c000000 8b0402", {0x0C}),  # mov edx,0Ch; mov eax,[rdx+rax]
        ("ba 0c000000 8b440204", {0x10}),
        ("4883c018 8b00", {0x18}),  # add rax,18h
        ("33c0 8b4008", set()),  # the register has another value
        ("8bd1 8b0402", set()),  # the offset is not known
    ],
)
def test_offsets(code: str, found: set[int]) -> None:
    assert offsets(code) == found


def test_a_call_leaves_nothing_in_volatile_registers() -> None:
    assert offsets("ffd2 8b4008") == frozenset()
    assert offsets("488bd8 ffd2 8b4308") == {8}  # mov rbx,rax; call; mov eax,[rbx+8]


def test_no_block_no_offset() -> None:
    assert offsets("8b4008", before=b"") == frozenset()
    assert offsets("8b4008", before=BLOCK) == frozenset()


@pytest.mark.parametrize(("name", "side", "found"), [("visit", "baseline", {4}), ("fail", "baseline", {8})])
def test_real_functions(binaries: Path, name: str, side: str, found: set[int]) -> None:
    made = program(binaries / "traps" / "thread_swap" / side / "snare.dll", "none")
    (index,) = [number for number, text in made.exported if text == f"snare_{name}"]
    assert thread_offsets(made, (index,)) == found
