"""What one instruction does to the places that arguments pass through: registers and outgoing stack slots.

Only what is needed to follow constants and addresses; every other effect makes a place unknown, and every
other use of a place is told, because a constant that is computed with is no mere argument.
"""

from functools import lru_cache
from typing import Final

from iced_x86 import (
    Code,
    Decoder,
    FlowControl,
    Instruction,
    InstructionInfo,
    InstructionInfoFactory,
    MemorySize,
    MemorySizeExt,
    Mnemonic,
    OpAccess,
    OpKind,
    Register,
    RegisterExt,
)

from hpbuild.code.decode import full_register
from hpbuild.dataclass import dataclass, replace

Place = int
"""A register (the negative of its full-width number) or a stack slot (its displacement from rsp)."""


def register_place(register: int) -> Place:
    """The place of a general register of any width."""
    return -full_register(register)


ARGUMENT_REGISTERS: Final[tuple[Place, ...]] = tuple(
    register_place(each) for each in (Register.RCX, Register.RDX, Register.R8, Register.R9)
)
LARGEST_SLOT: Final = 512
"""Displacements from rsp that are followed, in bytes; 8 apart."""
STACK_ARGUMENTS: Final[tuple[Place, ...]] = tuple(range(32, 160, 8))
VOLATILE: Final[tuple[Place, ...]] = tuple(
    register_place(each)
    for each in (
        Register.RAX, Register.RCX, Register.RDX, Register.R8, Register.R9, Register.R10, Register.R11,
    )
)  # fmt: skip
RESULT: Final[Place] = register_place(Register.RAX)
HOME: Final = 32
"""Bytes above rsp that belong to the callee; local variables lie behind them."""
_WRITES: Final = frozenset(
    (OpAccess.WRITE, OpAccess.READ_WRITE, OpAccess.COND_WRITE, OpAccess.READ_COND_WRITE)
)
_KEEPS: Final = frozenset(
    (OpAccess.READ, OpAccess.COND_READ, OpAccess.READ_WRITE, OpAccess.COND_WRITE, OpAccess.READ_COND_WRITE)
)
"""Accesses after which the value that was there lives on in some way."""
_WORD: Final = 4
"""Bytes of a constant: what moves fewer takes a part of it."""
_SHAPES: Final = 1 << 14
"""Effects that are kept, most lately used first."""
_IMMEDIATES: Final = frozenset((OpKind.IMMEDIATE32, OpKind.IMMEDIATE32TO64))
_INFO: Final = InstructionInfoFactory()
_CALLS: Final = frozenset((FlowControl.CALL, FlowControl.INDIRECT_CALL))


@dataclass(frozen=True, slots=True)
class Constant:
    """A 32-bit constant; ``site`` is the RVA of its immediate."""

    site: int
    value: int


@dataclass(frozen=True, slots=True)
class Address:
    """The address ``rva`` itself."""

    rva: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What lies at ``rva``: an imported function's address."""

    rva: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Something unknown that may be the constant of ``site``. ``live``: a call may get it; else it is what a
    call got on the stack before."""

    site: int
    live: bool


Value = Constant | Address | Loaded | Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """``uses`` are read in another way than by a move that is followed; ``writes`` become unknown; then
    ``target`` gets ``value``, or else what ``source`` held before. For a call, ``source`` is the register
    called and ``callee`` the RVA called or loaded from, where known. ``local`` is the displacement from rsp
    of a local variable whose address is taken or computed with, -1 when none."""

    uses: tuple[Place, ...]
    writes: tuple[Place, ...]
    moves_stack: bool
    call: bool
    target: Place | None
    value: Value | None
    source: Place | None
    callee: int | None
    local: int


def effects_of(code: bytes, start: int, most: int) -> tuple[list[Instruction], list[Effect]]:
    """The instructions of ``code`` at RVA ``start`` up to the first byte that is none, and their effects; no
    effects where there are more than ``most`` of them."""
    decoder = Decoder(64, code, ip=start)
    body, shapes = list[Instruction](), list[bytes]()
    for insn in decoder:
        if insn.code == Code.INVALID:
            break
        at = insn.ip - start
        raw = code[at : at + insn.len]
        if insn.op0_kind == OpKind.NEAR_BRANCH64:
            fields = decoder.get_constant_offsets(insn)
            raw = _without(raw, fields.immediate_offset, fields.immediate_size)
        elif insn.is_ip_rel_memory_operand:
            fields = decoder.get_constant_offsets(insn)
            raw = _without(raw, fields.displacement_offset, fields.displacement_size)
        body.append(insn)
        shapes.append(raw)
    if len(body) > most:
        return body, []
    effects = [_shape(raw) for raw in shapes]
    for number, shape in enumerate(effects):
        if shape.callee is not None or shape.value is not None:
            effects[number] = _placed(shape, body[number])
    return body, effects


def _without(raw: bytes, first: int, size: int) -> bytes:
    """An instruction with zeros for the ``size`` bytes that say how far something lies from it."""
    return raw[:first] + bytes(size) + raw[first + size :]


@lru_cache(maxsize=_SHAPES)
def _shape(raw: bytes) -> Effect:
    """The effect of an instruction, wherever it lies: programs repeat a few thousand of them all the time."""
    return effect_of(Decoder(64, raw).decode())


def _placed(shape: Effect, insn: Instruction) -> Effect:
    """``shape`` with the addresses of ``insn``, which has the same effect otherwise."""
    if shape.call:
        return replace(shape, callee=_called(insn)[0])
    return replace(shape, value=_moved(insn)[1])


def effect_of(insn: Instruction) -> Effect:
    """The effect of ``insn``, whose addresses are RVAs."""
    info = _INFO.info(insn)
    target = value = source = callee = None
    call = insn.flow_control in _CALLS
    if call:
        callee, source = _called(insn)
    elif insn.mnemonic in (Mnemonic.MOV, Mnemonic.LEA):
        target, value, source = _moved(insn)
    uses, writes = _touched(info)
    return Effect(
        uses=tuple(sorted(uses if call else uses - {source})), writes=tuple(sorted(writes)),
        moves_stack=not call and register_place(Register.RSP) in writes, call=call, target=target,
        value=value, source=source, callee=callee, local=_local(insn),
    )  # fmt: skip


def _called(insn: Instruction) -> tuple[int | None, Place | None]:
    if insn.op0_kind == OpKind.NEAR_BRANCH64:
        return int(insn.near_branch_target), None
    if insn.is_ip_rel_memory_operand:
        return int(insn.ip_rel_memory_address), None
    return None, register_place(insn.op0_register) if insn.op0_kind == OpKind.REGISTER else None


def _moved(insn: Instruction) -> tuple[Place | None, Value | None, Place | None]:
    """(target, value, source) of a move of 4 or 8 bytes or an address computation."""
    target = _operand(insn, insn.op0_kind, insn.op0_register)
    if target is None:
        return None, None, None
    if insn.mnemonic == Mnemonic.LEA:
        known = insn.is_ip_rel_memory_operand
        return (target, Address(int(insn.ip_rel_memory_address)), None) if known else (None, None, None)
    if insn.op1_kind in _IMMEDIATES:
        return target, Constant(int(insn.next_ip) - 4, int(insn.immediate(1)) & 0xFFFFFFFF), None
    if insn.op1_kind == OpKind.MEMORY and insn.is_ip_rel_memory_operand:
        return target, Loaded(int(insn.ip_rel_memory_address)), None
    source = _operand(insn, insn.op1_kind, insn.op1_register)
    return (target, None, source) if source is not None else (None, None, None)


def _operand(insn: Instruction, kind: int, register: int) -> Place | None:
    if kind == OpKind.REGISTER:
        return register_place(register) if RegisterExt.size(register) >= _WORD else None
    return _slot(insn) if kind == OpKind.MEMORY else None


def _slot(insn: Instruction) -> Place | None:
    """The stack slot of a memory operand ``[rsp+n]``; what is moved there decides how much of it."""
    if insn.memory_base != Register.RSP or insn.memory_index != Register.NONE:
        return None
    displacement = int(insn.memory_displacement)
    return displacement if displacement % 8 == 0 and 0 < displacement < LARGEST_SLOT else None


def _touched(info: InstructionInfo) -> tuple[set[Place], set[Place]]:
    """Places that an instruction reads or changes in part, and those that it writes."""
    uses, writes = set[Place](), set[Place]()
    for used in info.used_registers():
        place = register_place(used.register)
        part = RegisterExt.is_gpr(used.register) and RegisterExt.size(used.register) < _WORD
        if used.access in _KEEPS or (part and used.access in _WRITES):
            uses.add(place)
        if used.access in _WRITES:
            writes.add(place)
    for memory in info.used_memory():
        if memory.base != Register.RSP:
            continue
        first = int(memory.displacement)
        size = MemorySizeExt.size(memory.memory_size) if memory.memory_size != MemorySize.UNKNOWN else 0
        last = first + size if memory.index == Register.NONE and size else LARGEST_SLOT
        for slot in range(max(8, first & -8), min(last, LARGEST_SLOT), 8):
            if memory.access in _KEEPS or (memory.access in _WRITES and not first <= slot <= last - _WORD):
                uses.add(slot)
            if memory.access in _WRITES:
                writes.add(slot)
    return uses, writes


def _local(insn: Instruction) -> int:
    """Displacement of a local variable whose address is taken, or that is used as an array; -1 when none."""
    # A frame pointer is no variable's address: what is reached through it is not reached through rsp.
    frame = insn.mnemonic == Mnemonic.LEA and insn.op0_register == Register.RBP
    if insn.memory_base != Register.RSP or frame:
        return -1
    if insn.mnemonic != Mnemonic.LEA and insn.memory_index == Register.NONE:
        return -1
    displacement = int(insn.memory_displacement)
    return displacement if HOME <= displacement < LARGEST_SLOT else -1
