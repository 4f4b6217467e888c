"""Linear decoding of one run of code into its references, an instruction at a time.

The decoder is iced-x86; addresses given to it are RVAs, so branch and RIP-relative targets come out as
RVAs. Formats: Intel SDM volume 2, chapter 2 (ModRM, SIB and RIP-relative addressing).
"""

from array import array
from collections.abc import Iterable
from enum import IntEnum
from operator import attrgetter

import numpy as np
from iced_x86 import (
    Code,
    ConstantOffsets,
    Decoder,
    FlowControl,
    Instruction,
    MemorySize,
    MemorySizeExt,
    Mnemonic,
    OpKind,
    Register,
    RegisterExt,
)

from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass


class RefKind(IntEnum):
    """What kind of reference a field is. Order matters: kinds up to CALL are control transfers."""

    BRANCH = 0
    """rel8 or rel32 jump that leaves the run."""
    CALL = 1
    """rel32 call."""
    LEA = 2
    """RIP-relative address taken."""
    MEMORY = 3
    """RIP-relative memory operand."""
    ABSOLUTE = 4
    """64-bit address with a base relocation."""
    IMAGE_BASE = 5
    """32-bit displacement that is an RVA, in a function that holds the image base in a register."""


_OPCODE = attrgetter("code")
_NEXT = int(FlowControl.NEXT)
_CALL = int(FlowControl.CALL)
_CONDITIONAL = int(FlowControl.CONDITIONAL_BRANCH)
_UNCONDITIONAL = int(FlowControl.UNCONDITIONAL_BRANCH)
_XBEGIN = int(FlowControl.XBEGIN_XABORT_XEND)
_PASSES = frozenset((_NEXT, _CONDITIONAL))
_BRANCHES = frozenset((_CALL, _CONDITIONAL, _UNCONDITIONAL, _XBEGIN))
_NEAR = int(OpKind.NEAR_BRANCH64)
_LEA = int(Mnemonic.LEA)
_MOV = int(Mnemonic.MOV)
_KEEPS = frozenset((int(Mnemonic.CMP), int(Mnemonic.TEST), int(Mnemonic.BT)))
_FINAL = frozenset(
    int(flow)
    for flow in (
        FlowControl.UNCONDITIONAL_BRANCH,
        FlowControl.INDIRECT_BRANCH,
        FlowControl.RETURN,
        FlowControl.EXCEPTION,
        FlowControl.INTERRUPT,
    )
)
MAX_TARGET = 1 << 31
"""Targets outside [0, 2 GiB) are recorded as this value: no image of hpbuild is that large."""


class ReferenceColumns:
    """Growing columns of references; one row a field. ``meta`` packs kind, width, trailing, access."""

    __slots__ = ("meta", "site", "target")

    def __init__(self) -> None:
        self.site = array("I")
        self.target = array("Q")
        self.meta = array("I")

    def add(self, site: int, target: int, meta: int) -> None:
        """Append one row."""
        self.site.append(site)
        self.target.append(target if 0 <= target < MAX_TARGET else MAX_TARGET)
        self.meta.append(meta)

    @classmethod
    def joined(cls, parts: "Iterable[ReferenceColumns]") -> "ReferenceColumns":
        """All rows of the parts."""
        found = cls()
        for part in parts:
            found.site.extend(part.site)
            found.target.extend(part.target)
            found.meta.extend(part.meta)
        return found

    def rows(self) -> I64:
        """The columns as one: rows of sites, targets, ``meta``."""
        return np.array([self.site, self.target, self.meta], dtype=np.int64)


KIND_MASK = 15
"""The bits of ``meta`` that hold the kind."""


def pack(kind: int, width: int, trailing: int, access: int) -> int:
    """kind (4 bits), field width (4), bytes of the instruction behind it (4), bytes accessed (16)."""
    return kind | width << 4 | trailing << 8 | min(access, 0xFFFF) << 12


_CALL_KIND, _BRANCH_KIND = int(RefKind.CALL), int(RefKind.BRANCH)
_LEA_FIELD, _MEMORY_FIELD = pack(RefKind.LEA, 4, 0, 0), pack(RefKind.MEMORY, 4, 0, 0)
_ACCESS = {value: MemorySizeExt.size(value) for value in vars(MemorySize).values() if isinstance(value, int)}


@dataclass(frozen=True, slots=True)
class Run:
    """What one linear pass found. ``bad`` is the RVA of the first byte that is no instruction, or -1;
    ``falls_through`` is True when the last instruction can reach the byte after the run (a call there is
    taken to be one that does not return); ``image_base`` holds the registers (full-width numbers) that took
    the image base."""

    bad: int
    falls_through: bool
    image_base: frozenset[int]


def scan(code: bytes, start: int, columns: ReferenceColumns) -> Run:
    """Decode ``code`` (lying at RVA ``start``) and append every reference that leaves it.

    RIP-relative operands are always references, also when they point into the run (tables in code).
    ``scanning`` does the same for many runs at once.
    """
    end = start + len(code)
    decoder = Decoder(64, code, ip=start)
    bad, last, registers = -1, _NEXT, set[int]()
    for insn in decoder:
        last = insn.flow_control
        if insn.code == 0:
            bad = insn.ip
            break
        row = reference(insn, decoder.get_constant_offsets(insn), start, end)
        if row is None:
            continue
        columns.add(*row)
        if row[1] == 0 and row[2] & KIND_MASK == RefKind.LEA:
            registers.add(insn.op0_register)
    return Run(bad, last in _PASSES and _runs_on(code), frozenset(registers))


def reference(
    insn: Instruction, offsets: ConstantOffsets, start: int, end: int
) -> tuple[int, int, int] | None:
    """(site, target, meta) of the reference that ``insn`` makes, of a run ``[start, end)``, if any."""
    flow = insn.flow_control
    if flow in _BRANCHES and insn.op0_kind == _NEAR:
        target = insn.near_branch_target
        if start <= target < end and flow != _CALL:
            return None
        width = offsets.immediate_size if flow != _CALL else 4
        return insn.next_ip - width, target, (_CALL_KIND if flow == _CALL else _BRANCH_KIND) | width << 4
    if insn.is_ip_rel_memory_operand:
        place = offsets.displacement_offset
        fields, access = insn.len - place - 4 << 8, memory_access(insn)
        kind = _LEA_FIELD if access == ADDRESS_ONLY else _MEMORY_FIELD | access << 12
        return insn.ip + place, insn.ip_rel_memory_address, kind | fields
    return None


ADDRESS_ONLY = -1
"""What LEA accesses."""


def memory_access(insn: Instruction) -> int:
    """The bytes of memory that ``insn`` reads or writes; ``ADDRESS_ONLY`` for LEA."""
    return ADDRESS_ONLY if insn.mnemonic == _LEA else _ACCESS.get(insn.memory_size, 0)


def _runs_on(code: bytes) -> bool:
    """True unless only no-operations follow a call: compilers put one behind a call that does not return."""
    flow = _NEXT
    for insn in Decoder(64, code):
        if insn.mnemonic != Mnemonic.NOP:
            flow = insn.flow_control
    return flow in _PASSES


def goes_on(insn: Instruction) -> bool:
    """True when control can pass from ``insn`` to the next; of calls it is not believed."""
    return insn.flow_control in _PASSES


def instructions(code: bytes, start: int) -> list[Instruction]:
    """All instructions of ``code`` at RVA ``start``; decoding stops at a byte that is none."""
    found = []
    for insn in Decoder(64, code, ip=start):
        if insn.code == Code.INVALID:
            break
        found.append(insn)
    return found


def opcodes(code: bytes) -> list[int]:
    """What kind each instruction of ``code`` is, up to a byte that is none."""
    found = list(map(_OPCODE, Decoder(64, code)))
    return found[: found.index(Code.INVALID)] if Code.INVALID in found else found


def is_final(insn: Instruction) -> bool:
    """True when control never passes to the next instruction (ret, jmp, ud2, int3)."""
    return insn.flow_control in _FINAL


def full_register(register: int) -> int:
    """The 64-bit register that contains ``register``."""
    return int(RegisterExt.full_register(register)) if register != Register.NONE else 0


_LAST_REGISTER = max(number for number in vars(Register).values() if isinstance(number, int))
FULL_REGISTER = tuple(map(full_register, range(_LAST_REGISTER + 1)))
"""``full_register`` of every register."""
