"""Jump tables and tables of relative addresses, found from the code that reads them.

Two families: MSVC reads ``[imagebase + index*4 + RVA]`` and the entries are RVAs, in the code section
behind the function; clang and gcc read ``movsxd r, [table + index*4]; add r, table`` and the entries
are relative to the table, in read-only data.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from iced_x86 import Decoder, Mnemonic, OpKind, Register

from hpbuild.code.decode import FULL_REGISTER, instructions
from hpbuild.code.model import I64
from hpbuild.code.sections import Mask, section_numbers
from hpbuild.pe.access import values_at
from hpbuild.pe.image import Image

# REX.W 63 /r with a SIB byte of scale 4: 4x 63 [mod rm=100] [10......]
_SCALED_LOAD = re.compile(
    rb"[\x48-\x4f]\x63[\x04\x0c\x14\x1c\x24\x2c\x34\x3c\x44\x4c\x54\x5c\x64\x6c\x74\x7c][\x80-\xbf]"
)


def relative_tables(code: bytes, start: int) -> set[int]:
    """RVAs of the tables that the fragment ``code`` at ``start`` reads as table-relative: an entry loaded
    with sign extension, to which the table's own address is added."""
    if not _SCALED_LOAD.search(code):
        return set()
    holds: dict[int, int] = {}
    loaded: dict[int, int] = {}
    tables: set[int] = set()
    for insn in Decoder(64, code, ip=start):
        mnemonic = insn.mnemonic
        if mnemonic == _LEA and insn.is_ip_rel_memory_operand:
            first = FULL_REGISTER[insn.op0_register]
            holds[first] = insn.ip_rel_memory_address
            loaded.pop(first, None)
            continue
        if not mnemonic:  # no instruction
            break
        if mnemonic in ONLY_READS or (not loaded and mnemonic != _MOVSXD):
            continue
        first = FULL_REGISTER[insn.op0_register] if insn.op0_kind == _REGISTER else 0
        if mnemonic == _ADD and insn.op1_kind == _REGISTER:
            second = FULL_REGISTER[insn.op1_register]
            for entry, base in ((first, second), (second, first)):
                if entry in loaded and holds.get(base) == loaded[entry]:
                    tables.add(loaded[entry])
        loaded.pop(first, None)
        if mnemonic == _MOVSXD and insn.op1_kind == _MEMORY:
            base = FULL_REGISTER[insn.memory_base]
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


_LEA, _ADD, _MOVSXD = int(Mnemonic.LEA), int(Mnemonic.ADD), int(Mnemonic.MOVSXD)
_REGISTER, _MEMORY = int(OpKind.REGISTER), int(OpKind.MEMORY)
ONLY_READS = frozenset((Mnemonic.CMP, Mnemonic.TEST, Mnemonic.PUSH, Mnemonic.BT))
"""What leaves its first register as it was."""


def relative_entries(image: Image, table: int, stop: int, origin: int) -> list[int]:
    """Targets of the entries of the table at ``table``, relative to ``origin`` (the table itself, or 0 for
    RVAs), up to ``stop`` (the next thing known there). A table that begins with a code address ends at the
    first entry that is none, another one at the first entry that is a code address or outside the image."""
    kept: list[int] = []
    if not image.sections:
        return kept
    jumps = False
    executable = np.array([section.executable for section in image.sections], dtype=np.bool_)
    for values in _words(image, table, stop, "<i4"):
        targets = values.astype(np.int64) + origin
        number = section_numbers(image, targets)
        if not kept:
            jumps = bool(number[0] >= 0 and executable[number[0]])
        fits = (number >= 0) & (executable[number] == jumps)
        kept += targets[: _leading(fits)].tolist()
        if not fits.all():
            break
    return kept


def rva_counts(image: Image, table: I64, stop: I64, belongs: Callable[[I64, I64], Mask]) -> I64:
    """How many entries each RVA table at ``table`` has up to its ``stop``: those in front of the first that
    ``belongs`` (numbers of tables, entries) denies."""
    inside = (table >= 0) & (table < image.size_of_image)  # code makes addresses, perhaps of nothing
    room = np.where(inside, np.minimum(stop, image.size_of_image) - table, 0) // 4
    count = np.zeros(len(table), dtype=np.int64)
    active, size = np.flatnonzero(room > 0), _FEW  # in pieces that grow: most tables end soon
    while len(active):
        place = count[active, None] + np.arange(size)
        fits = place < room[active, None]
        entries = values_at(image, np.where(fits, table[active, None] + 4 * place, 0)).astype(np.int64)
        fits &= belongs(np.broadcast_to(active[:, None], fits.shape), entries)
        leading = np.where(fits.all(axis=1), size, np.argmin(fits, axis=1))
        count[active] += leading
        active, size = active[leading == size], 2 * size
    return count


def _leading(fits: Mask) -> int:
    """How many of the first are true."""
    return len(fits) if fits.all() else int(np.argmin(fits))


def _words(image: Image, table: int, stop: int, kind: str) -> Iterator[npt.NDArray[np.integer]]:
    """The 4-byte values from ``table`` up to ``stop``, in pieces that grow: most tables end soon."""
    if not 0 <= table < image.size_of_image:  # an address that code made, perhaps of nothing
        return
    left = max(0, min(stop, image.size_of_image) - table) // 4
    size = _FIRST_PIECE
    while left:
        count = min(size, left)
        yield image.memory[table : table + 4 * count].view(kind)
        table, left, size = table + 4 * count, left - count, 2 * size


_FIRST_PIECE, _FEW = 32, 8
