"""References of code, found with capstone: the decoder that only the proof uses.

The loop calls ``cs_disasm_iter`` on one reused instruction record and reads the few bytes it needs from
it, which is some eight times faster than capstone's Python objects. Formats: Intel SDM volume 2, chapter 2
(ModRM, RIP-relative addressing). capstone 5 reports a displacement of 2 bytes when the instruction has an
operand-size prefix; RIP-relative displacements always have 4, so its size is not used.
"""

import ctypes
import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import capstone
import numpy as np
import numpy.typing as npt
from capstone import x86

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


class Form(IntEnum):
    """How a field names its target."""

    RELATIVE = 0
    """Signed, relative to the end of the instruction."""
    ABSOLUTE = 1
    """8 bytes, image base + target."""
    RVA = 2
    """4 bytes, the RVA of the target."""
    TABLE = 3
    """4 bytes, signed, relative to an origin."""
    END = 4
    """4 bytes, the RVA behind the last byte of the target."""


class Use(IntEnum):
    """What the reference is for: it decides which of two counterparts of a changed function is right."""

    BRANCH = 0
    ACCESS = 1
    ADDRESS = 2
    UNWIND = 3
    """An address in unwind data: only the exception dispatcher follows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Columns of int64, one element a field. ``site`` is the field's RVA in the fixed image, ``width`` its
    bytes, ``anchor`` the RVA that a RELATIVE value counts from (end of the instruction) or the origin of a
    TABLE value, ``form`` and ``use`` as above, ``row`` the index of the run it was found in."""

    site: Numbers
    width: Numbers
    anchor: Numbers
    form: Numbers
    use: Numbers
    row: Numbers

    def __len__(self) -> int:
        return len(self.site)


@dataclass(frozen=True, slots=True)
class Decoded:
    """``undecodable`` holds (RVA, row) of the first byte of each run that is no instruction;
    ``instructions`` counts what was decoded."""

    references: References
    undecodable: tuple[tuple[int, int], ...]
    instructions: int


_DETAIL_SIZE = ctypes.sizeof(capstone._cs_detail)
_X86 = capstone._cs_detail.arch.offset
_MODRM = _X86 + x86.CsX86.modrm.offset
_ADDRESS_SIZE = _X86 + x86.CsX86.addr_size.offset
_ENCODING = struct.Struct("5B")
_ENCODING_AT = _X86 + x86.CsX86.encoding.offset
_RIP_RELATIVE = 0x05
_MODRM_MASK = 0xC7

_CONDITIONS = "A AE B BE E G GE L LE NE NO NP NS O P S CXZ ECXZ RCXZ"
_BRANCHES = frozenset(
    getattr(x86, f"X86_INS_{name}")
    for name in (
        *(f"J{condition}" for condition in _CONDITIONS.split(" ")),
        *("LOOP", "LOOPE", "LOOPNE", "XBEGIN", "JMP", "CALL"),
    )
)
_UNKNOWN = (bytes.fromhex("f30fa6e0"),)
"""REP XSHA512 of the VIA and Zhaoxin PadLock unit: OpenSSL's assembler code has it."""
_ITERATE = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_size_t, *[ctypes.c_void_p] * 4)


class Cursor:
    """One capstone handle with its reused instruction record. Not shared between threads."""

    def __init__(self) -> None:
        self._engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._engine.detail = True
        self.instruction = capstone._cs_insn()
        self._detail = capstone._cs_detail()
        self.instruction.detail = ctypes.pointer(self._detail)
        self.x86 = self._detail.arch.x86
        self.detail = memoryview(
            (ctypes.c_char * _DETAIL_SIZE).from_address(ctypes.addressof(self._detail))
        ).cast("B")
        self.state = (ctypes.c_uint64 * 3)()
        """Address of the next byte in memory, bytes left, RVA of the next instruction."""

    def start(self, memory: Bytes, begin: int, end: int) -> Callable[[], bool]:
        """Function that decodes the next instruction of ``memory[begin:end]``; False at the end or at a
        byte that is no instruction. ``memory`` has to be contiguous and to outlive the calls."""
        self.state[0] = memory.ctypes.data + begin
        self.state[1] = end - begin
        self.state[2] = begin
        iterate = _ITERATE(("cs_disasm_iter", capstone._cs))
        handle = self._engine.csh.value
        place = ctypes.addressof(self.state)
        record = ctypes.addressof(self.instruction)
        return lambda: iterate(handle, place, place + 8, place + 16, record)


_FILLER = frozenset((x86.X86_INS_NOP, x86.X86_INS_INT3))


def only_filler(memory: Bytes, start: int, end: int) -> bool:
    """True when ``memory[start:end]`` holds no-operations and int3 alone, or nothing."""
    cursor, at = Cursor(), start
    step = cursor.start(memory, start, end)
    while at < end and step() and cursor.instruction.id in _FILLER:
        at = int(cursor.state[2])
    return at >= end


class _Columns:
    """Growing columns behind ``References``."""

    def __init__(self) -> None:
        self.columns = tuple(array("q") for _ in range(6))

    def add(self, *values: int) -> None:
        for column, value in zip(self.columns, values, strict=True):
            column.append(value)

    def done(self) -> References:
        site, width, anchor, form, use, row = (np.array(column, dtype=np.int64) for column in self.columns)
        return References(site=site, width=width, anchor=anchor, form=form, use=use, row=row)


@dataclass(frozen=True, slots=True)
class Piece:
    """Code to decode, ``[begin, end)``: a part of the fragment ``[low, high)`` of function ``function`` (any
    number that its fragments share). A branch that stays in the fragment is no reference."""

    begin: int
    end: int
    low: int
    high: int
    function: int


def references(memory: Bytes, pieces: Sequence[Piece], limits: tuple[int, int]) -> Decoded:
    """Decode ``pieces`` of an image that lies in ``memory`` (indexed by RVA).

    The ``row`` of a reference is the index of its piece. ``limits`` are the RVAs ``[low, high)`` that a
    displacement relative to the image base may hold.
    """
    cursor, columns = Cursor(), _Columns()
    undecodable: list[tuple[int, int]] = []
    count = 0
    flagged: dict[int, set[int]] = {}
    places: list[tuple[Piece, int]] = []
    todo = [(piece, row) for row, piece in enumerate(pieces)][::-1]
    while todo:
        piece, row = todo.pop()
        places.append((piece, row))
        found, bad, bases = _scan(cursor, columns, memory, piece, row)
        count += found
        if bad >= 0 and (after := _behind_unknown(memory, bad)) and after <= piece.end:
            count += 1
            todo.append((replace(piece, begin=after), row))
        elif bad >= 0:
            undecodable.append((bad, row))
        if bases:
            flagged.setdefault(piece.function, set()).update(bases)
    for piece, row in places:
        if piece.function in flagged:
            _image_base_operands(cursor, columns, memory, (piece, row), flagged[piece.function], limits)
    return Decoded(columns.done(), tuple(undecodable), count)


def _behind_unknown(memory: Bytes, at: int) -> int:
    """The RVA behind an instruction without operands that capstone 5 does not know, 0 if none is there."""
    return next((at + len(code) for code in _UNKNOWN if memory[at : at + len(code)].tobytes() == code), 0)


def _scan(
    cursor: Cursor, columns: _Columns, memory: Bytes, piece: Piece, row: int
) -> tuple[int, int, set[int]]:
    """Number of instructions, RVA of the first undecodable byte or -1, registers that took the image base."""
    low, high, at = piece.low, piece.high, piece.begin
    step, state, detail = cursor.start(memory, at, piece.end), cursor.state, cursor.detail
    instruction, unpack, add, count = cursor.instruction, _ENCODING.unpack_from, columns.add, 0
    bases: set[int] = set()
    while step():
        count += 1
        modrm, displacement, _, immediate, size = unpack(detail, _ENCODING_AT)
        after = state[2]
        if modrm and detail[_MODRM] & _MODRM_MASK == _RIP_RELATIVE:
            if detail[_ADDRESS_SIZE] != 8 or displacement != modrm + 1:
                return count, at, bases
            site = at + displacement
            taken = instruction.id == x86.X86_INS_LEA
            add(site, 4, after, Form.RELATIVE, Use.ADDRESS if taken else Use.ACCESS, row)
            if taken and _signed(memory, site, 4) + after == 0:
                bases.add(cursor.x86.operands[0].value.reg)
        elif size and instruction.id in _BRANCHES:
            site = at + immediate
            if site + size != after or size not in (1, 4):
                return count, at, bases
            if not low <= after + _signed(memory, site, size) < high:
                add(site, size, after, Form.RELATIVE, Use.BRANCH, row)
        at = after
    return count, at if state[1] else -1, bases


def _signed(memory: Bytes, at: int, size: int) -> int:
    return int.from_bytes(memory[at : at + size].tobytes(), "little", signed=True)


def _image_base_operands(
    cursor: Cursor,
    columns: _Columns,
    memory: Bytes,
    place: tuple[Piece, int],
    bases: set[int],
    limits: tuple[int, int],
) -> None:
    """Add the 4-byte displacements of operands with one of ``bases`` (registers that hold the image base)
    whose value lies in ``limits``: RVAs without a base relocation, as MSVC makes them. A register that gets
    a copy of one of ``bases`` joins them. So does an address that LEA computes without any of them, if one is
    added to its register before that is overwritten."""
    piece, row = place
    step, state = cursor.start(memory, piece.begin, piece.end), cursor.state
    detail, fields, at = cursor.detail, cursor.x86, piece.begin
    pending: dict[int, int] = {}
    while step():
        kind = cursor.instruction.id
        modrm, displacement, size, _, _ = _ENCODING.unpack_from(detail, _ENCODING_AT)
        taken = kind == x86.X86_INS_LEA
        made = -1
        if modrm and displacement and size > 1 and detail[_MODRM] & _MODRM_MASK != _RIP_RELATIVE:
            if _uses(fields, bases, limits):
                use = Use.ADDRESS if taken else Use.ACCESS
                columns.add(at + displacement, 4, 0, Form.RVA, use, row)
            elif taken and _holds(fields, limits):
                made = fields.operands[0].value.reg
        if pending:
            for register in _added(fields, kind, bases) & pending.keys():
                columns.add(pending.pop(register), 4, 0, Form.RVA, Use.ADDRESS, row)
            if fields.op_count and fields.operands[0].type == x86.X86_OP_REG and not _keeps(fields, kind):
                pending.pop(fields.operands[0].value.reg, None)
        if made >= 0:
            pending[made] = at + displacement
        if kind == x86.X86_INS_MOV and fields.op_count == 2:
            to, source = fields.operands[0], fields.operands[1]
            if to.type == source.type == x86.X86_OP_REG and source.value.reg in bases:
                bases.add(to.value.reg)
        at = state[2]


_ONLY_READ = frozenset((x86.X86_INS_CMP, x86.X86_INS_TEST, x86.X86_INS_BT))


def _keeps(fields: x86.CsX86, kind: int) -> bool:
    """Does an address in the first operand outlive the instruction, as itself or as a part of a sum?"""
    adds = kind == x86.X86_INS_ADD and fields.op_count == 2 and fields.operands[1].type == x86.X86_OP_REG
    return bool(adds) or kind in _ONLY_READ


def _holds(fields: x86.CsX86, limits: tuple[int, int]) -> bool:
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


def _uses(fields: x86.CsX86, bases: set[int], limits: tuple[int, int]) -> bool:
    """Does a memory operand use one of ``bases`` with a displacement in ``limits``?"""
    for operand in fields.operands[: fields.op_count]:
        if operand.type == x86.X86_OP_MEM:
            place = operand.value.mem
            if {place.base, place.index} & bases and limits[0] <= place.disp < limits[1]:
                return True
    return False
