"""Displacements relative to the image base: RVAs in code without a base relocation, as MSVC makes them.

A function that takes the image base has them where a memory operand has a register that holds it. A register
that gets a copy of one of these joins them. So does an address that LEA computes without any of them, if one
is added to its register before that is overwritten.
"""

import numpy as np
from capstone import x86

from hpbuild.dataclass import dataclass, field
from hpbuild.prove.cursor import Cursor
from hpbuild.prove.heads import COPY, DISPLACED, Heads, number
from hpbuild.prove.lanes import walk
from hpbuild.prove.references import Bytes, Form, Numbers, References, Use, signed

_ONLY_READ = frozenset((x86.X86_INS_CMP, x86.X86_INS_TEST, x86.X86_INS_BT))
Limits = tuple[int, int]


def image_base_operands(
    heads: Heads, begin: Numbers, end: Numbers, bases: list[set[int]], limits: Limits
) -> References:
    """The 4-byte displacements with a value in ``limits`` of operands that have the image base, in the
    stretches ``[begin, end)``. ``bases`` are for each stretch the registers that hold it; stretches of one
    function share a set, which grows."""
    found = walk(heads, begin, end, COPY | DISPLACED, refuse=False)
    facts = heads.facts()[number(found.packed)]
    displaced = (found.packed & DISPLACED) != 0
    site = found.at + facts[:, 0]
    value = signed(heads.memory, site, 4)
    # Capstone's own value of the displacement decides; where it is not 4 bytes for it, it is asked.
    near = (facts[:, 1] != 4) | ((value >= limits[0]) & (value < limits[1]))
    keep = ~displaced | near
    columns = (found.at, displaced, facts[:, 3], facts[:, 4], found.row)
    at, displaced, to, source, row = (column[keep] for column in columns)
    first = np.searchsorted(row, np.arange(len(begin) + 1))
    operands = _Operands(heads.memory, limits)
    for index in range(len(begin)):
        events = slice(int(first[index]), int(first[index + 1]))
        rows = zip(
            at[events].tolist(),
            displaced[events].tolist(),
            to[events].tolist(),
            source[events].tolist(),
            strict=True,
        )
        reached = 0
        for place, operand, written, read in rows:
            if place < reached:
                continue
            if operand:
                reached = operands.follow(place, int(end[index]), index, bases[index])
            elif read in bases[index]:
                bases[index].add(written)
    return operands.done()


@dataclass(slots=True)
class _Operands:
    """Collects the operands, instruction by instruction where it must."""

    memory: Bytes
    limits: Limits
    cursor: Cursor = field(default_factory=Cursor)
    rows: list[tuple[int, int, int]] = field(default_factory=list)

    def done(self) -> References:
        table = np.array(self.rows, dtype=np.int64).reshape(-1, 3)
        same = np.ones(len(table), dtype=np.int64)
        return References(
            site=table[:, 0],
            width=4 * same,
            anchor=0 * same,
            form=same * Form.RVA,
            use=table[:, 1],
            row=table[:, 2],
        )

    def follow(self, begin: int, end: int, row: int, bases: set[int]) -> int:
        """Look at the instruction at ``begin``, and as long as the base may yet be added to an address that
        LEA has made, at those behind it. Returns the RVA behind the last one."""
        step, state = self.cursor.start(self.memory, begin, end), self.cursor.state
        fields, at = self.cursor.x86, begin
        pending: dict[int, int] = {}
        while step():
            kind = self.cursor.instruction.id
            made = self._operand(at, row, bases)
            if pending:
                for register in _added(fields, kind, bases) & pending.keys():
                    self.rows.append((pending.pop(register), Use.ADDRESS, row))
                if fields.op_count and fields.operands[0].type == x86.X86_OP_REG and not _keeps(fields, kind):
                    pending.pop(fields.operands[0].value.reg, None)
            if made:
                pending[fields.operands[0].value.reg] = made
            if kind == x86.X86_INS_MOV and fields.op_count == 2:
                to, source = fields.operands[0], fields.operands[1]
                if to.type == source.type == x86.X86_OP_REG and source.value.reg in bases:
                    bases.add(to.value.reg)
            at = int(state[2])
            if not pending:
                break
        return at

    def _operand(self, at: int, row: int, bases: set[int]) -> int:
        """Note the displacement of the instruction at ``at`` if its operand has the base. RVA of the
        displacement when LEA makes an address of it without the base, else 0."""
        cursor, fields = self.cursor, self.cursor.x86
        encoding, taken = cursor.encoding(), cursor.instruction.id == x86.X86_INS_LEA
        wide = encoding.modrm and encoding.displacement and encoding.displacement_size > 1
        if not wide or cursor.rip_relative():
            return 0
        if _uses(fields, bases, self.limits):
            self.rows.append((at + encoding.displacement, Use.ADDRESS if taken else Use.ACCESS, row))
        elif taken and _holds(fields, self.limits):
            return at + encoding.displacement
        return 0


def _keeps(fields: x86.CsX86, kind: int) -> bool:
    """Does an address in the first operand outlive the instruction, as itself or as a part of a sum?"""
    adds = kind == x86.X86_INS_ADD and fields.op_count == 2 and fields.operands[1].type == x86.X86_OP_REG
    return bool(adds) or kind in _ONLY_READ


def _holds(fields: x86.CsX86, limits: Limits) -> bool:
    """Has the instruction a memory operand with a displacement in ``limits``?"""
    return any(
        operand.type == x86.X86_OP_MEM and limits[0] <= operand.value.mem.disp < limits[1]
        for operand in fields.operands[: fields.op_count]
    )


def _added(fields: x86.CsX86, kind: int, bases: set[int]) -> set[int]:
    """Registers that the instruction adds one of ``bases`` to: in an ADD, or in the address of an operand."""
    pairs = [
        {operand.value.mem.base, operand.value.mem.index}
        for operand in fields.operands[: fields.op_count]
        if operand.type == x86.X86_OP_MEM
    ]
    if kind == x86.X86_INS_ADD and fields.op_count == 2:
        two = fields.operands[:2]
        if all(operand.type == x86.X86_OP_REG for operand in two):
            pairs.append({operand.value.reg for operand in two})
    return {register for pair in pairs for register in pair if (pair - {register}) & bases}


def _uses(fields: x86.CsX86, bases: set[int], limits: Limits) -> bool:
    """Does a memory operand use one of ``bases`` with a displacement in ``limits``?"""
    for operand in fields.operands[: fields.op_count]:
        if operand.type == x86.X86_OP_MEM:
            place = operand.value.mem
            if {place.base, place.index} & bases and limits[0] <= place.disp < limits[1]:
                return True
    return False
