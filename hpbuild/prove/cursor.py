"""One instruction after the other with capstone: the decoder that only the proof uses.

The cursor calls ``cs_disasm_iter`` on one reused instruction record and reads the few bytes it needs from
it, which is some eight times faster than capstone's Python objects. Formats: Intel SDM volume 2, chapter 2
(ModRM, RIP-relative addressing). capstone 5 reports a displacement of 2 bytes when the instruction has an
operand-size prefix; RIP-relative displacements always have 4, so its size is not used.
"""

import ctypes
import struct
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import capstone
import numpy as np
from capstone import x86

from hpbuild.prove.references import Bytes

_DETAIL_SIZE = ctypes.sizeof(capstone._cs_detail)
_X86 = capstone._cs_detail.arch.offset
_MODRM = _X86 + x86.CsX86.modrm.offset
_ADDRESS_SIZE = _X86 + x86.CsX86.addr_size.offset
_ENCODING = struct.Struct("5B")
_ENCODING_AT = _X86 + x86.CsX86.encoding.offset
_OPERAND = struct.Struct("<I4xIII")
_OPERAND_SIZE = ctypes.sizeof(x86.X86Op)
_OPERANDS_AT = _X86 + x86.CsX86.operands.offset
_RIP_RELATIVE = 0x05
_MODRM_MASK = 0xC7
_ITERATE = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_size_t, *[ctypes.c_void_p] * 4)
_FILLER = frozenset((x86.X86_INS_NOP, x86.X86_INS_INT3))
_UNKNOWN = (bytes.fromhex("f30fa6e0"),)
"""REP XSHA512 of the VIA and Zhaoxin PadLock unit: OpenSSL's assembler code has it."""


class Encoding(NamedTuple):
    """Offsets and sizes in bytes of an instruction's parts, 0 for those that it has not."""

    modrm: int
    displacement: int
    displacement_size: int
    immediate: int
    immediate_size: int


class Operand(NamedTuple):
    """``kind`` is one of capstone's ``X86_OP_*``; ``register`` is that of a register operand, ``base`` and
    ``scaled`` (the index) those of a memory operand, 0 for none. They lie at one place: what is not of the
    kind means nothing."""

    kind: int
    register: int
    base: int
    scaled: int


class Cursor:
    """One capstone handle with its reused instruction record. Not shared between threads."""

    def __init__(self) -> None:
        self._engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._engine.detail = True
        self.instruction = capstone._cs_insn()
        self._detail = capstone._cs_detail()
        self.instruction.detail = ctypes.pointer(self._detail)
        self.x86 = self._detail.arch.x86
        self._bytes = memoryview(
            (ctypes.c_char * _DETAIL_SIZE).from_address(ctypes.addressof(self._detail))
        ).cast("B")
        self._memory = np.zeros(0, dtype=np.uint8)
        self._address = 0
        self.state = (ctypes.c_uint64 * 3)()
        """Address of the next byte in memory, bytes left, RVA of the next instruction."""
        place, record = ctypes.addressof(self.state), ctypes.addressof(self.instruction)
        iterate = _ITERATE(("cs_disasm_iter", capstone._cs))
        self._step = partial(iterate, self._engine.csh.value, place, place + 8, place + 16, record)

    def start(self, memory: Bytes, begin: int, end: int) -> Callable[[], bool]:
        """Function that decodes the next instruction of ``memory[begin:end]``; False at the end or at a
        byte that is no instruction. ``memory`` has to be contiguous and to outlive the calls."""
        if memory is not self._memory:  # to ask an array for its address takes as long as to decode
            self._memory, self._address = memory, memory.ctypes.data
        self.state[0] = self._address + begin
        self.state[1] = end - begin
        self.state[2] = begin
        return self._step

    def encoding(self) -> Encoding:
        """Where the parts of the instruction are that was decoded last."""
        return Encoding._make(_ENCODING.unpack_from(self._bytes, _ENCODING_AT))

    def operands(self) -> list[Operand]:
        """The operands of the instruction that was decoded last."""
        places = range(_OPERANDS_AT, _OPERANDS_AT + self.x86.op_count * _OPERAND_SIZE, _OPERAND_SIZE)
        return [Operand._make(_OPERAND.unpack_from(self._bytes, at)) for at in places]

    def modrm(self) -> int:
        """The ModRM byte of the instruction that was decoded last, if it has one."""
        return int(self._bytes[_MODRM])

    def rip_relative(self) -> bool:
        """Has it an operand relative to its end, provided that it has a ModRM byte?"""
        return self.modrm() & _MODRM_MASK == _RIP_RELATIVE

    def long_addresses(self) -> bool:
        """Are its addresses 64 bits wide?"""
        return int(self._bytes[_ADDRESS_SIZE]) == 8


def only_filler(memory: Bytes, start: int, end: int) -> bool:
    """True when ``memory[start:end]`` holds no-operations and int3 alone, or nothing."""
    cursor, at = Cursor(), start
    step = cursor.start(memory, start, end)
    while at < end and step() and cursor.instruction.id in _FILLER:
        at = int(cursor.state[2])
    return at >= end


def behind_unknown(memory: Bytes, at: int) -> int:
    """The RVA behind an instruction without operands that capstone 5 does not know, 0 if none is there."""
    return next((at + len(code) for code in _UNKNOWN if memory[at : at + len(code)].tobytes() == code), 0)
