"""Operands that count from the image base: RVAs without a base relocation, as MSVC makes them for tables.

Nearly all use a register that holds the image base in all of the function. Where that is so, or no copy is
made of such a register, it is enough to decode the instructions that may have such an operand; else registers
are followed through the code.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from iced_x86 import Decoder, Instruction, Mnemonic, OpKind, Register

from hpbuild.code.decode import ADDRESS_ONLY, FULL_REGISTER, RefKind, memory_access, pack

Row = tuple[int, int, int]
"""(site, target, meta) as in ``ReferenceColumns``."""
_PAGE = 4096
_LONGEST = 15
"""Most bytes of an instruction."""
_LEA, _MOV, _ADD = int(Mnemonic.LEA), int(Mnemonic.MOV), int(Mnemonic.ADD)
_KEEPS = frozenset((int(Mnemonic.CMP), int(Mnemonic.TEST), int(Mnemonic.BT)))
_REGISTER = int(OpKind.REGISTER)


def may_be_based(insn: Instruction) -> bool:
    """Whether ``insn`` has a displacement that may be an RVA: of a page or more, not relative to RIP."""
    return (
        insn.memory_displacement >= _PAGE
        and insn.memory_displ_size >= 4  # 8: sign-extended disp32
        and not insn.is_ip_rel_memory_operand
    )


def image_base_operands(
    code: memoryview,
    start: int,
    registers: frozenset[int],
    limit: int,
    places: Sequence[int],
) -> list[Row]:
    """The displacements below ``limit`` of operands that use one of ``registers`` (holding the image base),
    in the ``code`` at RVA ``start``. A register that gets a copy of one of them joins them; an address that
    LEA makes without it, and to which it is added afterwards, is such an RVA too. ``places`` are those of all
    instructions that ``may_be_based``, ascending, and perhaps of others."""
    rows = _of_all(code, start, registers, limit, places)
    return list(_followed(code, start, registers, limit, places)) if rows is None else rows


def _of_all(
    code: memoryview, start: int, registers: frozenset[int], limit: int, places: Sequence[int]
) -> list[Row] | None:
    """The operands of the instructions at ``places``, if all that may be RVAs use one of ``registers``, or
    the others are operands of no LEA and no register is copied."""
    found: list[Row] = []
    octets, alone = bytes(code), True
    decoder = Decoder(64, octets)
    for place in places:
        decoder.position, decoder.ip = place - start, place
        insn = decoder.decode()
        if not may_be_based(insn) or insn.memory_displacement >= limit:
            continue
        if insn.memory_base in registers or insn.memory_index in registers:
            found.append(_row(insn, decoder))
        elif insn.mnemonic == _LEA or (alone and _copied(octets, registers)):
            return None
        else:
            alone = False
    return found


def _copied(code: bytes, registers: frozenset[int]) -> bool:
    """Whether ``code`` may copy one of ``registers``: its bytes are looked through, wherever instructions
    begin."""
    return any(register not in _COPIES or _COPIES[register].search(code) for register in registers)


def _row(insn: Instruction, decoder: Decoder) -> Row:
    """The displacement of what was decoded last."""
    place = decoder.get_constant_offsets(insn).displacement_offset
    access = memory_access(insn)
    meta = pack(RefKind.IMAGE_BASE, 4, insn.len - place - 4, 0 if access == ADDRESS_ONLY else access)
    return insn.ip + place, insn.memory_displacement, meta


def _followed(
    code: memoryview, start: int, registers: frozenset[int], limit: int, places: Sequence[int]
) -> Iterator[Row]:
    """The same with the registers followed through the code."""
    bases, waiting = set(registers), dict[int, int]()
    wide, last = frozenset(places), places[-1]
    decoder = Decoder(64, bytes(code), ip=start)
    for insn in decoder:
        mnemonic, place = insn.mnemonic, insn.ip
        if place in wide:
            based = insn.memory_base in bases or insn.memory_index in bases
            if (based or mnemonic == _LEA) and may_be_based(insn) and insn.memory_displacement < limit:
                if not based:
                    waiting[insn.op0_register] = place
                    continue
                yield _row(insn, decoder)
        if waiting:
            # An index that is added leaves the RVA in the sum.
            sum_of_two = mnemonic == _ADD and insn.op1_kind == _REGISTER
            added = _summed(insn, sum_of_two, bases) if sum_of_two or insn.memory_index else ()
            for register in added:
                if register in waiting:
                    at = waiting.pop(register)
                    again = Decoder(64, bytes(code[at - start : at - start + _LONGEST]), ip=at)
                    yield _row(again.decode(), again)
            if not sum_of_two and mnemonic not in _KEEPS and insn.op0_kind == _REGISTER:
                waiting.pop(FULL_REGISTER[insn.op0_register], None)
        elif place > last:
            break
        if mnemonic == _MOV and insn.op1_register in bases and insn.op0_kind == insn.op1_kind == _REGISTER:
            bases.add(insn.op0_register)


def _summed(insn: Instruction, sum_of_two: bool, bases: set[int]) -> list[int]:
    """The registers that ``insn`` adds one of ``bases`` to: ``sum_of_two`` registers, or base and index."""
    if sum_of_two:
        one, other = insn.op0_register, insn.op1_register
    else:
        one, other = insn.memory_base, insn.memory_index
    return [] if one == other else [one] * (other in bases) + [other] * (one in bases)


def _copies(number: int) -> re.Pattern[bytes]:
    """What every MOV from the 64-bit register of this number to another register holds: REX.W 89 /r with the
    register in ModRM.reg, or REX.W 8B /r with it in ModRM.rm."""
    high, low = number >> 3, number & 7
    stored = _one_of(range(0x48 + 4 * high, 0x4C + 4 * high)), _one_of(range(0xC0 + 8 * low, 0xC8 + 8 * low))
    loaded = _one_of(range(0x48 + high, 0x50, 2)), _one_of(range(0xC0 + low, 0x100, 8))
    return re.compile(rb"\x89".join(stored) + b"|" + rb"\x8b".join(loaded))


def _one_of(octets: Iterable[int]) -> bytes:
    return b"[" + re.escape(bytes(octets)) + b"]"


_COPIES = {int(Register.RAX) + number: _copies(number) for number in range(16)}
