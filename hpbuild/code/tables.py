"""Jump tables and tables of relative addresses, found from the code that reads them.

Two families: MSVC reads ``[imagebase + index*4 + RVA]`` and the entries are RVAs, in the code section
behind the function; clang and gcc read ``movsxd r, [table + index*4]; add r, table`` and the entries
are relative to the table, in read-only data.
"""

import re

import numpy as np
from iced_x86 import Instruction, Mnemonic, OpKind, Register

from hpbuild.code.decode import full_register, instructions
from hpbuild.pe.image import Image

# REX.W 63 /r with a SIB byte of scale 4: 4x 63 [mod rm=100] [10......]
_MOVSXD = re.compile(
    rb"[\x48-\x4f]\x63[\x04\x0c\x14\x1c\x24\x2c\x34\x3c\x44\x4c\x54\x5c\x64\x6c\x74\x7c][\x80-\xbf]"
)


def relative_tables(code: bytes, start: int) -> set[int]:
    """RVAs of the tables that the fragment ``code`` at ``start`` reads as table-relative: an entry loaded
    with sign extension, to which the table's own address is added."""
    if not _MOVSXD.search(code):
        return set()
    holds: dict[int, int] = {}
    loaded: dict[int, int] = {}
    tables: set[int] = set()
    for insn in instructions(code, start):
        first = full_register(insn.op0_register) if insn.op0_kind == OpKind.REGISTER else 0
        if insn.mnemonic == Mnemonic.LEA and insn.is_ip_rel_memory_operand:
            holds[first] = insn.ip_rel_memory_address
            loaded.pop(first, None)
            continue
        if insn.mnemonic in _ONLY_READS:
            continue
        if insn.mnemonic == Mnemonic.ADD and insn.op1_kind == OpKind.REGISTER:
            second = full_register(insn.op1_register)
            for entry, base in ((first, second), (second, first)):
                if entry in loaded and holds.get(base) == loaded[entry]:
                    tables.add(loaded[entry])
        loaded.pop(first, None)
        if insn.mnemonic == Mnemonic.MOVSXD and insn.op1_kind == OpKind.MEMORY:
            base = full_register(insn.memory_base)
            if insn.memory_index_scale == 4 and insn.memory_index != Register.NONE and base in holds:
                loaded[first] = holds[base]
    return tables


def first_table(code: bytes, start: int, limit: int) -> int:
    """The lowest address in ``[start + len(code), limit]`` that the fragment ``code`` at ``start`` reads
    behind the image base held in a register; what is behind ``limit`` when there is none."""
    holders: set[int] = set()
    end = start + len(code)
    lowest = limit + 1
    for insn in instructions(code, start):
        if insn.mnemonic == Mnemonic.LEA and insn.is_ip_rel_memory_operand and not insn.ip_rel_memory_address:
            holders.add(insn.op0_register)
            continue
        based = holders & {insn.memory_base, insn.memory_index} and insn.memory_displ_size >= 4
        if based and end <= insn.memory_displacement < lowest:
            lowest = insn.memory_displacement
    return lowest


def address_tables(code: bytes, start: int, sites: dict[int, int]) -> set[int]:
    """RVAs of the tables whose entries the fragment ``code`` at ``start`` turns into addresses by adding the
    image base. ``sites`` maps the fields of image-base operands to what they name. Without that addition the
    words are plain numbers."""
    loaded: dict[int, tuple[int, set[int]]] = {}
    holders: set[int] = set()
    tables: set[int] = set()
    for insn in instructions(code, start):
        first = full_register(insn.op0_register) if insn.op0_kind == OpKind.REGISTER else 0
        if insn.mnemonic in (Mnemonic.ADD, Mnemonic.LEA):
            for one, other in _summands(insn, first):
                if one in loaded and other in loaded[one][1] | holders:
                    tables.add(loaded[one][0])
        if insn.mnemonic in _ONLY_READS:
            continue
        loaded.pop(first, None)
        for bases in (holders, *(bases for _, bases in loaded.values())):
            bases.discard(first)
        if insn.mnemonic == Mnemonic.LEA and insn.is_ip_rel_memory_operand and not insn.ip_rel_memory_address:
            holders.add(first)
        if insn.mnemonic not in (Mnemonic.MOV, Mnemonic.MOVSXD) or insn.op1_kind != OpKind.MEMORY:
            continue
        table = next((sites[at] for at in range(insn.ip, insn.next_ip) if at in sites), None)
        if table is not None:
            loaded[first] = table, _bases(insn) - {first}
    return tables


_ONLY_READS = frozenset((Mnemonic.CMP, Mnemonic.TEST, Mnemonic.PUSH, Mnemonic.BT))
"""What leaves its first register as it was."""


def _bases(insn: Instruction) -> set[int]:
    """The registers of a memory operand that may hold the image base."""
    registers = [insn.memory_base] + [insn.memory_index] * (insn.memory_index_scale == 1)
    return {full_register(register) for register in registers if register != Register.NONE}


def _summands(insn: Instruction, first: int) -> list[tuple[int, int]]:
    """The registers that an ADD or LEA adds, in both orders."""
    if insn.mnemonic == Mnemonic.ADD and insn.op1_kind == OpKind.REGISTER:
        pair = first, full_register(insn.op1_register)
    elif insn.mnemonic == Mnemonic.LEA and insn.memory_index_scale == 1:
        pair = full_register(insn.memory_base), full_register(insn.memory_index)
    else:
        return []
    return [pair, pair[::-1]]


def relative_entries(image: Image, table: int, stop: int, origin: int) -> list[int]:
    """Targets of the entries of the table at ``table``, relative to ``origin`` (the table itself, or 0 for
    RVAs), up to ``stop`` (the next thing known there). A table that begins with a code address ends at the
    first entry that is none, another one at the first entry that is a code address or outside the image."""
    if not 0 <= table < image.size_of_image:  # an address that code made, perhaps of nothing
        return []
    count = max(0, min(stop, image.size_of_image) - table) // 4
    values = np.frombuffer(image.read(table, count * 4), dtype="<i4").astype(np.int64) + origin
    kept: list[int] = []
    jumps = False
    for target in values.tolist():
        section = image.section_at(target)
        if section is None:
            break
        if not kept:
            jumps = section.executable
        if section.executable != jumps:
            break
        kept.append(target)
    return kept


def rva_entries(image: Image, table: int, stop: int, bounds: list[tuple[int, int]]) -> list[int]:
    """Targets of the RVA table at ``table`` up to ``stop``: entries that point into ``bounds``."""
    kept = []
    for at in range(table, min(stop, image.size_of_image) - 3, 4):
        target = image.u32(at)
        if not _inside(target, bounds):
            break
        kept.append(target)
    return kept


def _inside(rva: int, bounds: list[tuple[int, int]]) -> bool:
    return any(start <= rva < end for start, end in bounds)
