"""Code that differs in nothing but how far from a pointer it reads and writes: the fields of a structure."""

from collections.abc import Iterator
from itertools import takewhile, zip_longest

from iced_x86 import Decoder, Instruction, OpKind, Register

_OWN_FRAME = frozenset((int(Register.RSP), int(Register.RBP), int(Register.RIP), int(Register.NONE)))
_IMMEDIATES = frozenset(
    int(kind)
    for kind in (
        OpKind.IMMEDIATE8, OpKind.IMMEDIATE16, OpKind.IMMEDIATE32, OpKind.IMMEDIATE64,
        OpKind.IMMEDIATE8TO16, OpKind.IMMEDIATE8TO32, OpKind.IMMEDIATE8TO64, OpKind.IMMEDIATE32TO64,
    )
)  # fmt: skip


def displacement_changes(ours: tuple[bytes, int], theirs: tuple[bytes, int]) -> frozenset[tuple[int, int]]:
    """(their displacement, ours) of every operand in which two pieces of code (bytes and RVA) differ, when
    they differ in nothing else; empty when they differ otherwise or not at all.

    Displacements from the stack pointer and the frame pointer count as other differences, references to
    addresses and lengths of branches as none.
    """
    found = set()
    at = there = 0
    # Most differ early on: no more is decoded than that takes. And most instructions are the same octets.
    for one, two in zip_longest(_decoded(*ours), _decoded(*theirs)):
        if one is None or two is None:
            return frozenset()
        low, other = at, there
        at, there = at + len(one), there + len(two)
        if ours[0][low:at] == theirs[0][other:there]:
            continue
        if not _alike(one, two):
            return frozenset()
        old, new = _displacement(two), _displacement(one)
        if old != new:
            if int(one.memory_base) in _OWN_FRAME:
                return frozenset()
            found.add((old, new))
    return frozenset(found)


def _decoded(code: bytes, start: int) -> Iterator[Instruction]:
    """The instructions of ``code`` at RVA ``start``, up to a byte that is none."""
    return takewhile(bool, Decoder(64, code, ip=start))


def _alike(one: Instruction, two: Instruction) -> bool:
    """The same operation on the same registers with the same constants."""
    if one.mnemonic != two.mnemonic or one.op_count != two.op_count:
        return False
    for number in range(one.op_count):
        kind = one.op_kind(number)
        if kind == OpKind.REGISTER and one.op_register(number) != two.op_register(number):
            return False
        if kind in _IMMEDIATES and (
            two.op_kind(number) not in _IMMEDIATES or one.immediate(number) != two.immediate(number)
        ):
            return False
        if (kind == OpKind.MEMORY) != (two.op_kind(number) == OpKind.MEMORY):
            return False
    return (one.memory_base, one.memory_index, one.memory_index_scale, one.memory_size) == (
        two.memory_base, two.memory_index, two.memory_index_scale, two.memory_size,
    )  # fmt: skip


def _displacement(insn: Instruction) -> int:
    memory = any(insn.op_kind(number) == OpKind.MEMORY for number in range(insn.op_count))
    return int(insn.memory_displacement) if memory and not insn.is_ip_rel_memory_operand else 0
