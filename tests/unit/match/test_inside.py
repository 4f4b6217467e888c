"""Data that lies inside a function testifies with it, also where no operand names its first byte."""

import struct

import pytest

from tests.assembled import RET, Dll, diff, function
from tests.comparing import assert_same, changed

CASES = b"\x31\xc0\xc3\x31\xc9\xc3\x90\x90\x90"
"""Two cases at 0x1013 and 0x1016, and filler up to 0x101c."""


def switch(bias: int, *cases: int, selector: bytes = b"", unwound: bool = True) -> Dll:
    """A function at 0x1000 that jumps through a table behind its code, which it reads ``bias`` entries before
    the table's start."""
    code = b"\x48\x8d\x15" + struct.pack("<i", -0x1007)  # lea rdx, [image base]
    code += b"\x8b\x8c\x82" + struct.pack("<I", 0x101C - 4 * bias)  # mov ecx, [rdx + rax*4 + table]
    code += b"\x48\x01\xd1\xff\xe1"  # add rcx, rdx; jmp rcx
    table = struct.pack(f"<{len(cases)}I", *cases)
    return Dll(
        code=(function("chooses", code, CASES, table + selector), function("other", b"\x31\xd2", RET)),
        unwound=("chooses",) if unwound else (),
    )


@pytest.mark.parametrize("unwound", [True, False])
@pytest.mark.parametrize("bias", [0, 2])
def test_entries_of_a_jump_table(bias: int, unwound: bool) -> None:
    """With a bias of 2 the operand names the function's own code."""
    one, two = (
        switch(bias, *cases, unwound=unwound)
        for cases in ((0x1013, 0x1016, 0x1013), (0x1013, 0x1016, 0x1016))
    )
    assert_same(diff(one, one))
    assert changed(diff(one, two)) == ["chooses"]


@pytest.mark.parametrize("bias", [0, 2])
def test_what_selects_the_entry(bias: int) -> None:
    """A table of bytes behind the entries, which the operand of its own may name anywhere."""
    one, two = (switch(bias, 0x1013, 0x1016, selector=bytes(row)) for row in ((0, 1, 1, 0), (0, 1, 0, 0)))
    assert_same(diff(one, one))
    assert changed(diff(one, two)) == ["chooses"]
