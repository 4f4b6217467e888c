"""Displacements relative to the image base: RVAs in code without a base relocation, as MSVC makes them.

A function that takes the image base has them where a memory operand has a register that holds it. A register
that gets a copy of one of these joins them. So does an address that LEA computes without any of them, if one
is added to its register before that is overwritten.
"""

import numpy as np
from capstone import x86

from hpbuild.dataclass import dataclass, field
from hpbuild.prove.cursor import Cursor
from hpbuild.prove.heads import (
    BASE,
    COPY,
    DISPLACED,
    INDEX,
    OFFSET,
    PAIRED,
    READ,
    WIDTH,
    WRITTEN,
    Heads,
)
from hpbuild.prove.lanes import Walk, walk
from hpbuild.prove.records import Flags
from hpbuild.prove.references import Bytes, Form, Numbers, References, Use, signed

_REGISTERS = 1 << 16
"""More than there are: capstone's numbers of registers."""
_ONLY_READ = frozenset((x86.X86_INS_CMP, x86.X86_INS_TEST, x86.X86_INS_BT))
Limits = tuple[int, int]


def image_base_operands(
    heads: Heads, begin: Numbers, end: Numbers, bases: list[set[int]], limits: Limits
) -> References:
    """The 4-byte displacements with a value in ``limits`` of operands that have the image base, in the
    stretches ``[begin, end)``. ``bases`` are for each stretch the registers that hold it; stretches of one
    function share a set, which grows."""
    events = _events(heads, begin, end, bases, limits)
    first = np.searchsorted(events.row, np.arange(len(begin) + 1))
    operands = _Operands(heads.memory, limits)
    for index in np.flatnonzero(first[1:] > first[:-1]).tolist():
        part = slice(int(first[index]), int(first[index + 1]))
        columns = events.at[part], events.copies[part], events.written[part], events.read[part]
        reached = 0
        for place, copy, written, read in zip(*(column.tolist() for column in columns), strict=True):
            if place < reached:
                continue
            if not copy:
                reached = operands.follow(place, int(end[index]), index, bases[index])
            elif read in bases[index]:
                bases[index].add(written)
    return operands.done()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Events:
    """Instructions that may do something with the image base, by ``row`` (stretch) and address: copies of a
    register, and displacements."""

    at: Numbers
    row: Numbers
    copies: Flags
    written: Numbers
    read: Numbers


def _events(heads: Heads, begin: Numbers, end: Numbers, bases: list[set[int]], limits: Limits) -> _Events:
    """All of them, and some more: a register counts as one that holds the base wherever its function gives it
    the base anywhere."""
    found = walk(heads, begin, end, COPY | DISPLACED | PAIRED, refuse=False)
    facts = heads.facts(found.packed)
    written, read, base, index = (facts[column].astype(np.int64) for column in (WRITTEN, READ, BASE, INDEX))
    copies, displaced = (found.packed & COPY) != 0, (found.packed & DISPLACED) != 0
    value = signed(heads.memory, found.at + facts[OFFSET], 4)
    # Capstone's own value of the displacement decides; where it is not 4 bytes for it, it is asked.
    near = displaced & ((facts[WIDTH] != 4) | ((value >= limits[0]) & (value < limits[1])))
    function, held = _held(bases, int(facts.table.max(initial=0)))
    function = function[found.row]
    _spread(held, function[copies], read[copies], written[copies])
    by_base, by_index = held[function, base], held[function, index]
    partners = np.where(by_base, index, 0), np.where(by_index, base, 0)
    joined = _joined_later(found, written, partners)
    keep = (copies & held[function, read]) | (near & (by_base | by_index | joined))
    return _Events(
        at=found.at[keep], row=found.row[keep], copies=copies[keep], written=written[keep], read=read[keep]
    )


def _held(bases: list[set[int]], highest: int) -> tuple[Numbers, Flags]:
    """The number of each stretch's set, and by number and register whether the set has that."""
    numbers = {id(some): number for number, some in enumerate(bases)}
    rows = [(numbers[id(some)], register) for some in bases for register in some]
    held = np.zeros((len(bases), 1 + max([highest, *(register for _, register in rows)])), dtype=np.bool_)
    pairs = np.array(rows, dtype=np.int64).reshape(-1, 2)
    held[pairs[:, 0], pairs[:, 1]] = True
    return np.array([numbers[id(some)] for some in bases], dtype=np.int64), held


def _spread(held: Flags, function: Numbers, read: Numbers, written: Numbers) -> None:
    """Let copies give on what their function holds, in whatever order."""
    while (new := held[function, read] & ~held[function, written]).any():
        held[function[new], written[new]] = True


def _joined_later(found: Walk, written: Numbers, partners: tuple[Numbers, Numbers]) -> Flags:
    """By instruction: is the register that it has written one of the ``partners`` of a later instruction of
    the stretch that adds two registers? 0 stands for none."""
    keys, places = [], []
    for partner in partners:
        adds = (partner != 0) & (found.packed & PAIRED != 0)
        keys.append(found.row[adds] * _REGISTERS + partner[adds])
        places.append(found.at[adds])
    key, place = np.concatenate(keys), np.concatenate(places)
    order = np.lexsort((place, key))
    wanted = found.row * _REGISTERS + written
    last = np.searchsorted(key[order], wanted, side="right") - 1
    key, place = np.append(key[order], -1), np.append(place[order], 0)  # where there is none before
    result: Flags = (written != 0) & (key[last] == wanted) & (place[last] > found.at)
    return result


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
