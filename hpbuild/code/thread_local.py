"""Where a function reaches into the thread-local data of its module.

Source: the thread information block keeps the array of thread-local blocks at offset 0x58 (Microsoft Learn,
"TEB structure"; PE specification, section "The .tls Section"). Code loads that array, the module's block at
its index, and adds the variable's offset, as a displacement or from a register.
"""

from iced_x86 import Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedRegister

from hpbuild.code.decode import full_register, instructions
from hpbuild.code.model import Program

_BLOCKS = 0x58
_WRITES = frozenset(
    int(access)
    for access in (OpAccess.WRITE, OpAccess.COND_WRITE, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE)
)
_IMMEDIATES = frozenset((int(OpKind.IMMEDIATE32), int(OpKind.IMMEDIATE32TO64), int(OpKind.IMMEDIATE8)))
_VOLATILE = frozenset(
    int(register)
    for register in (
        Register.RAX, Register.RCX, Register.RDX, Register.R8, Register.R9, Register.R10, Register.R11,
    )
)  # fmt: skip


def thread_offsets(program: Program, fragments: tuple[int, ...]) -> frozenset[int]:
    """Offsets into the thread-local block that the code of ``fragments`` names, read straight through:
    registers are followed from each load on, not across jumps."""
    found: set[int] = set()
    table = program.fragments
    for fragment in fragments:
        start, end = int(table.start[fragment]), int(table.end[fragment])
        reader = _Reader()
        for insn in instructions(program.image.read(start, end - start), start):
            reader.step(insn)
        found |= reader.offsets
    return frozenset(found)


class _Reader:
    """What the registers hold: the array of blocks, the module's block, a number."""

    def __init__(self) -> None:
        self.offsets: set[int] = set()
        self._arrays: set[int] = set()
        self._blocks: set[int] = set()
        self._numbers: dict[int, int] = {}
        self._info = InstructionInfoFactory()

    def step(self, insn: Instruction) -> None:
        """Take one instruction into account."""
        base, index = full_register(insn.memory_base), full_register(insn.memory_index)
        array = insn.segment_prefix == Register.GS and insn.memory_displacement == _BLOCKS
        block = base in self._arrays or index in self._arrays
        block |= insn.op1_kind == OpKind.REGISTER and full_register(insn.op1_register) in self._blocks
        if base in self._blocks or index in self._blocks:
            other = index if base in self._blocks else base
            if other == 0 or other in self._numbers:
                self.offsets.add(insn.memory_displacement + self._numbers.get(other, 0))
        first = full_register(insn.op0_register) if insn.op0_kind == OpKind.REGISTER else 0
        self._add(insn, first)
        number = insn.mnemonic == Mnemonic.MOV and insn.op1_kind in _IMMEDIATES
        self._forget(list(self._info.info(insn).used_registers()))
        if insn.mnemonic == Mnemonic.CALL:
            self._drop(_VOLATILE)
        if insn.mnemonic != Mnemonic.MOV or not first:
            return
        if number:
            self._numbers[first] = insn.immediate(1)
        elif array:
            self._arrays.add(first)
        elif block:
            self._blocks.add(first)

    def _add(self, insn: Instruction, first: int) -> None:
        """``add block, offset``."""
        if insn.mnemonic == Mnemonic.ADD and first in self._blocks and insn.op1_kind != OpKind.MEMORY:
            if insn.op1_kind == OpKind.REGISTER:
                other = full_register(insn.op1_register)
                if other in self._numbers:
                    self.offsets.add(self._numbers[other])
            else:
                self.offsets.add(insn.immediate(1))

    def _forget(self, used: list[UsedRegister]) -> None:
        self._drop(frozenset(full_register(one.register) for one in used if int(one.access) in _WRITES))

    def _drop(self, written: frozenset[int]) -> None:
        self._arrays -= written
        self._blocks -= written
        for register in written & self._numbers.keys():
            del self._numbers[register]
