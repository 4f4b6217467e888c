"""What is told of instructions by columns, against the decoder: every opcode, with prefixes and operands."""

from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
from iced_x86 import Decoder, FlowControl, Instruction, Mnemonic, OpKind

from hpbuild.code.opcodes import Shape, classify

_ROOM = 32
_REST = bytes(range(0x11, 0x11 + 14))
_OPERANDS = sorted(
    {reg << 3 | rest for reg in range(8) for rest in (0x00, 0x05, 0x45, 0x84, 0xC0, 0xC5)}
    | {0xF8, 0xFA, 0xFE, 0x2D, 0xC1, 0xC3, 0xD0}
)
_PREFIXES = ("", "66", "f2", "f3", "f0", "67", "64", "48", "41", "6648", "f348", "66662e", "4866", "6741")
_FLOW = {
    Shape.PLAIN: {FlowControl.NEXT},
    Shape.MODRM: {FlowControl.NEXT},
    Shape.NOP: {FlowControl.NEXT},
    Shape.CALL: {FlowControl.CALL},
    Shape.BRANCH8: {FlowControl.CONDITIONAL_BRANCH},
    Shape.BRANCH32: {FlowControl.CONDITIONAL_BRANCH},
    Shape.JUMP8: {FlowControl.UNCONDITIONAL_BRANCH},
    Shape.JUMP32: {FlowControl.UNCONDITIONAL_BRANCH},
    Shape.INT3: {FlowControl.INTERRUPT},
    Shape.FINAL: {FlowControl.RETURN, FlowControl.EXCEPTION},
    Shape.CALL_THROUGH: {FlowControl.INDIRECT_CALL},
    Shape.JUMP_THROUGH: {FlowControl.INDIRECT_BRANCH},
}
_NEAR = {Shape.CALL: 4, Shape.BRANCH8: 1, Shape.BRANCH32: 4, Shape.JUMP8: 1, Shape.JUMP32: 4}
_OPERAND = {Shape.MODRM, Shape.NOP, Shape.CALL_THROUGH, Shape.JUMP_THROUGH}


def disagreements(insns: Iterable[bytes]) -> tuple[list[str], set[Shape]]:
    """The valid ones of which something else is told than the decoder tells; and all shapes told."""
    chosen = [insn.ljust(_ROOM, b"\x90") for insn in insns]
    code = b"".join(chosen) + bytes(_ROOM)
    at = np.arange(len(chosen), dtype=np.int64) * _ROOM
    shapes = classify(np.frombuffer(code, dtype=np.uint8), at)
    wrong, seen = [], set()
    rows = zip(chosen, shapes.shape.tolist(), (shapes.operand - at).tolist(), strict=True)
    for octets, number, operand in rows:
        decoder = Decoder(64, octets, ip=0x100000)
        insn = decoder.decode()
        if insn.code == 0 or number == Shape.RARE:
            continue
        shape = Shape(number)
        seen.add(shape)
        offsets = decoder.get_constant_offsets(insn)
        if not agrees(insn, shape, octets, operand, offsets.displacement_offset, offsets.immediate_size):
            wrong.append(f"{octets[: insn.len].hex()} {insn}: {shape.name}, operand at {operand}")
    return wrong, seen


def agrees(
    insn: Instruction, shape: Shape, octets: bytes, operand: int, displacement: int, distance: int
) -> bool:
    relative = shape in _OPERAND and octets[operand] & 0xC7 == 5 and insn.len >= operand + 5
    near = insn.op0_kind == OpKind.NEAR_BRANCH64
    return (
        insn.flow_control in _FLOW[shape]
        and relative == insn.is_ip_rel_memory_operand
        and (not relative or displacement == operand + 1)
        and (insn.mnemonic == Mnemonic.NOP) == (shape == Shape.NOP)
        and (insn.mnemonic == Mnemonic.INT3) == (shape == Shape.INT3)
        and near == (shape in _NEAR)
        and (not near or shape == Shape.CALL or distance == _NEAR[shape])
    )


@pytest.mark.parametrize("prefix", _PREFIXES)
def test_every_opcode(prefix: str) -> None:
    opcodes = [bytes([first]) for first in range(256) if first not in (0x0F, 0x62, 0xC4, 0xC5)]
    opcodes += [bytes([0x0F, second]) for second in range(256) if second not in (0x38, 0x3A)]
    opcodes += [bytes([0x0F, second, third]) for second in (0x38, 0x3A) for third in range(256)]
    insns = (
        bytes.fromhex(prefix) + opcode + bytes([operand]) + _REST
        for opcode, operand in product(opcodes, _OPERANDS)
    )
    wrong, seen = disagreements(insns)
    assert not wrong
    assert Shape.MODRM in seen


def test_every_shape_is_told() -> None:
    insns = ("50", "89c8", "90", "e8", "74", "0f84", "eb", "e9", "cc", "c3", "ffd0", "ffe0")
    assert disagreements(bytes.fromhex(insn) + _REST for insn in insns) == ([], set(Shape) - {Shape.RARE})


@pytest.mark.parametrize("rare", ["f390", "4190", "0f05", "0f1fc8", "c7f8", "ff2d", "0f01c1", "cd29"])
def test_what_is_left_to_the_decoder(rare: str) -> None:
    code = np.frombuffer(bytes.fromhex(rare).ljust(_ROOM, b"\0"), dtype=np.uint8)
    assert classify(code, np.zeros(1, dtype=np.int64)).shape.tolist() == [Shape.RARE]


_FORMS = [0x05, 0x0D, 0x00, 0x45, 0x84, 0xC0, 0xC5, 0xF8]


def test_vex() -> None:
    heads = [[0xC5, second] for second in (0xF8, 0xF9, 0xFE, 0xFF, 0x78)]
    heads += [[0xC4, 0xE0 | table, third] for table, third in product((1, 2, 3), (0x78, 0x79, 0x7A, 0xFD))]
    rows = product((b"", b"\x65", b"\x67"), heads, range(256), _FORMS)
    insns = (prefix + bytes([*head, opcode, form]) + _REST for prefix, head, opcode, form in rows)
    wrong, seen = disagreements(insns)
    assert not wrong
    assert seen == {Shape.MODRM}


def test_xop_and_pop() -> None:
    heads = [[0x8F, 0xE0 | table, third] for table, third in product((8, 9, 10), (0x78, 0x7C, 0xF8))]
    rows = product(heads, range(256), _FORMS)
    wrong, seen = disagreements(bytes([*head, opcode, form]) + _REST for head, opcode, form in rows)
    assert not wrong
    assert seen == {Shape.MODRM}
    assert disagreements(bytes([0x8F, form]) + _REST for form in (0x00, 0x05, 0x45, 0xC0)) == (
        [],
        {Shape.MODRM},
    )


def test_evex() -> None:
    rows = product(range(1, 7), (0x7C, 0x7D, 0x7E, 0xFD), (0x08, 0x48, 0x58, 0xC9), range(256), _FORMS[:6])
    insns = (bytes([0x62, 0xF0 | table, *rest]) + _REST for table, *rest in rows)
    wrong, seen = disagreements(insns)
    assert not wrong
    assert seen == {Shape.MODRM}
