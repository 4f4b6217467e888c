"""Where a function reaches into the thread-local data of its module.

Source: the thread information block keeps the array of thread-local blocks at offset 0x58 (Microsoft Learn,
"TEB structure"; PE specification, section "The .tls Section"). Code loads that array, the module's block at
its index, and adds the variable's offset, as a displacement or from a register.
"""

from iced_x86 import Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register

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
        found |= _Reader(instructions(program.image.read(start, end - start), start)).read()
    return frozenset(found)


class _Reader:
    """What the registers hold: the array of blocks, the module's block, a number. Numbers are looked for
    when one is asked for: few are."""

    def __init__(self, insns: list[Instruction]) -> None:
        self._insns = insns
        self._offsets: set[int] = set()
        self._arrays: set[int] = set()
        self._blocks: set[int] = set()
        self._numbers: dict[int, tuple[int, int | None]] = {}
        self._info = InstructionInfoFactory()

    def read(self) -> set[int]:
        """The offsets in all of the code."""
        for at, insn in enumerate(self._insns):
            if self._arrays or self._blocks or insn.segment_prefix == Register.GS:
                self._step(at, insn)
        return self._offsets

    def _step(self, at: int, insn: Instruction) -> None:
        """Take the instruction number ``at`` into account."""
        base, index = full_register(insn.memory_base), full_register(insn.memory_index)
        array = insn.segment_prefix == Register.GS and insn.memory_displacement == _BLOCKS
        block = base in self._arrays or index in self._arrays
        block |= insn.op1_kind == OpKind.REGISTER and full_register(insn.op1_register) in self._blocks
        if base in self._blocks or index in self._blocks:
            other = index if base in self._blocks else base
            number = self._number(at, other) if other else 0
            if number is not None:
                self._offsets.add(insn.memory_displacement + number)
        first = full_register(insn.op0_register) if insn.op0_kind == OpKind.REGISTER else 0
        self._add(at, insn, first)
        written = self._written(insn)
        self._arrays -= written
        self._blocks -= written
        if insn.mnemonic != Mnemonic.MOV or not first or insn.op1_kind in _IMMEDIATES:
            return
        if array:
            self._arrays.add(first)
        elif block:
            self._blocks.add(first)

    def _add(self, at: int, insn: Instruction, first: int) -> None:
        """``add block, offset``."""
        if insn.mnemonic == Mnemonic.ADD and first in self._blocks and insn.op1_kind != OpKind.MEMORY:
            if insn.op1_kind == OpKind.REGISTER:
                number = self._number(at, full_register(insn.op1_register))
                if number is not None:
                    self._offsets.add(number)
            else:
                self._offsets.add(insn.immediate(1))

    def _number(self, at: int, register: int) -> int | None:
        """The number that the register holds before the instruction ``at``, where it is known: what the last
        instruction that wrote it put there."""
        since, number = self._numbers.get(register, (0, None))
        for place in range(at - 1, since - 1, -1):
            insn = self._insns[place]
            if register in self._written(insn):
                moved = insn.mnemonic == Mnemonic.MOV and insn.op0_kind == OpKind.REGISTER
                known = moved and insn.op1_kind in _IMMEDIATES
                number = insn.immediate(1) if known and full_register(insn.op0_register) == register else None
                break
        self._numbers[register] = at, number
        return number

    def _written(self, insn: Instruction) -> frozenset[int]:
        """The registers that do not hold after the instruction what they held."""
        used = self._info.info(insn).used_registers()
        written = frozenset(full_register(one.register) for one in used if int(one.access) in _WRITES)
        return written | _VOLATILE if insn.mnemonic == Mnemonic.CALL else written
