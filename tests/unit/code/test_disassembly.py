"""Disassembly for people."""

from hpbuild.code.disassembly import disassemble


def test_targets_are_rvas() -> None:
    code = bytes.fromhex("55 e8fa0f0000 488b0d00100000 7402 c3")
    assert disassemble(code, 0x1000) == [
        (0x1000, "55", "push rbp"),
        (0x1001, "e8fa0f0000", "call 0x2000"),
        (0x1006, "488b0d00100000", "mov rcx, [0x200d]"),
        (0x100D, "7402", "je short 0x1011"),
        (0x100F, "c3", "ret"),
    ]


def test_what_is_no_instruction_is_shown_byte_by_byte() -> None:
    assert disassemble(bytes.fromhex("0690e8"), 0x2000) == [
        (0x2000, "06", "(bad)"),
        (0x2001, "90", "nop"),
        (0x2002, "e8", "(bad)"),
    ]


def test_no_bytes() -> None:
    assert disassemble(b"", 0x1000) == []
