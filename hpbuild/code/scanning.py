"""The references of many runs of code at once: what ``decode.scan`` finds in each, by columns.

An instruction without a rule in ``opcodes`` is left to the decoder.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from iced_x86 import Decoder, Mnemonic

from hpbuild.code.decode import (
    ADDRESS_ONLY,
    KIND_MASK,
    MAX_TARGET,
    ReferenceColumns,
    RefKind,
    goes_on,
    memory_access,
    pack,
    reference,
    scan,
)
from hpbuild.code.model import I64, U8
from hpbuild.code.opcodes import Shape, by_shape
from hpbuild.code.scanned import Scanned, in_order, joined
from hpbuild.code.sweep import FIELD_WIDTH, Sweep, sweep
from hpbuild.dataclass import dataclass
from hpbuild.pe.access import values_at
from hpbuild.pe.image import Image

BATCH = 1 << 20
"""Bytes of code decoded in one go: its columns fit into a processor's cache."""
LARGEST = 1 << 23
"""A batch of more bytes, which one run alone can make, is decoded without columns of its instructions."""
_KEY = 8
"""Most bytes of an instruction up to its ModRM byte that are looked up by their number."""


_TOLD = 8192
"""Runs between two words about progress."""
Tick = Callable[[int, int], None]


def scan_runs(image: Image, start: I64, end: I64, tick: Tick = lambda done, total: None) -> Scanned:
    """What ``scan`` finds in each of the runs ``[start, end)`` of the image. Linkers lay very many jumps,
    each alone: those need no decoder."""
    jump = (end - start == _JUMP) & (image.memory[start] == _NEAR_JUMP)
    jumps, others = np.flatnonzero(jump), np.flatnonzero(~jump)
    memory, parts = image.memory.data, [_lone_jumps(image, start[jumps])] if len(jumps) else []
    for number in range(0, len(others), _TOLD):
        tick(number, len(others))
        batch = others[number : number + _TOLD]
        begins, ends = start[batch].tolist(), end[batch].tolist()
        codes = [bytes(memory[begin:stop]) for begin, stop in zip(begins, ends, strict=True)]
        parts.extend(scan_all(codes, begins))
    found = joined(parts)
    return in_order(found, np.concatenate([jumps, others])) if len(jumps) else found


_JUMP, _NEAR_JUMP = 5, 0xE9


def _lone_jumps(image: Image, start: I64) -> Scanned:
    """The same of runs that are one jump with a 32-bit distance."""
    distance = values_at(image, start + 1, "<i4").astype(np.int64)
    target = start + _JUMP + distance
    leaves = (distance < -_JUMP) | (distance >= 0)
    np.copyto(target, MAX_TARGET, where=(target < 0) | (target >= MAX_TARGET))
    ends, sizes = np.cumsum(leaves, dtype=np.int64), np.full(len(start), _JUMP)
    return Scanned(
        site=(start + 1)[leaves].astype(np.uint32),
        target=target[leaves].astype(np.uint32),
        meta=np.full(np.count_nonzero(leaves), RefKind.BRANCH | 4 << 4, dtype=np.uint32),
        first=ends - leaves,
        ends=ends,
        sizes=sizes,
        falls_through=np.zeros(len(start), dtype=np.bool_),
        image_base={},
        wide=np.zeros_like(sizes),
    )


def scan_all(codes: Sequence[bytes], starts: Sequence[int]) -> Iterator[Scanned]:
    """What ``scan`` finds in each of ``codes``, which lie at the RVAs ``starts``, as if each ended in front
    of its first byte that is no instruction; by batches."""
    first = size = 0
    operands = Operands({})
    for number, code in enumerate(codes, 1):
        size += len(code)
        if size >= BATCH or number == len(codes):
            if size > LARGEST:
                yield from map(_scan_alone, codes[first:number], starts[first:number])
            else:
                batch = np.array(starts[first:number], dtype=np.int64)
                yield scan_swept(sweep(codes[first:number]), batch, operands)
            first, size = number, 0


def _scan_alone(code: bytes, start: int) -> Scanned:
    """The same of one run, with little memory."""
    bad = scan(code, start, ReferenceColumns()).bad
    code = code[: bad - start] if bad >= 0 else code
    columns = ReferenceColumns()
    run = scan(code, start, columns)
    site, target, meta = columns.rows().astype(np.uint32)
    falls, rows = np.array([run.falls_through]), np.array([0, len(site)])
    size = np.array([len(code)])
    return Scanned(site, target, meta, rows[:1], rows[1:], size, falls, {0: run.image_base}, size)


@dataclass(frozen=True, slots=True)
class Operands:
    """What instructions with an operand relative to RIP access, by their bytes up to the ModRM byte (a
    little-endian number): as ``memory_access`` tells."""

    known: dict[int, int]

    def access(self, heads: npt.NDArray[np.uint64]) -> I64:
        """The accesses of many."""
        distinct, place = np.unique(heads, return_inverse=True)
        found = [self._access_of(head) for head in distinct.tolist()]
        return np.array(found, dtype=np.int64)[place]

    def _access_of(self, head: int) -> int:
        if head not in self.known:
            octets = head.to_bytes(_KEY, "little").rstrip(b"\0") + bytes(15)
            self.known[head] = memory_access(Decoder(64, octets).decode())
        return self.known[head]


def scan_swept(swept: Sweep, starts: I64, operands: Operands) -> Scanned:
    """The references of the runs of ``swept``, which lie at the RVAs ``starts``."""
    shape, operand = swept.shapes.shape, swept.shapes.operand
    modrm = np.where(_HAS_OPERAND[shape], swept.code[operand], _REGISTERS)
    relative = modrm & 0xC7 == 5
    rows = np.flatnonzero(relative)
    relative[rows] = swept.at[rows] + swept.length[rows] >= operand[rows] + 5
    hits = np.flatnonzero(relative | _ASKS[shape])
    owner = np.searchsorted(swept.first, hits, side="right") - 1
    memory = relative[hits]
    rare = (shape[hits] == Shape.RARE) | memory & (operand[hits] - swept.at[hits] >= _KEY)
    rows = np.empty((3, len(hits)), dtype=np.int64)
    branch, memory = np.flatnonzero(~(memory | rare)), np.flatnonzero(memory & ~rare)
    rows[:, branch] = _branches(swept, hits[branch], owner[branch], starts)
    rows[:, memory] = _operands(swept, hits[memory], owner[memory], starts, operands)
    for index in np.flatnonzero(rare).tolist():
        rows[:, index] = _rare(swept, int(hits[index]), int(owner[index]), starts)
    kept = rows[0] != _NOTHING
    np.copyto(rows[1], MAX_TARGET, where=(rows[1] < 0) | (rows[1] >= MAX_TARGET))
    site, target, meta = rows[:, kept].astype(np.uint32)
    ends = np.searchsorted(owner[kept], np.arange(-1, len(starts)), side="right")
    bases = _image_bases(swept, hits, owner, rows)
    sizes, falls = np.diff(swept.place), _falls_through(swept)
    return Scanned(site, target, meta, ends[:-1], ends[1:], sizes, falls, bases, _wide(swept, modrm))


_NOTHING = -1
"""As a site: no reference."""


def _branches(swept: Sweep, hits: I64, owner: I64, starts: I64) -> I64:
    """Rows of near branches and calls; nothing for branches that stay in their run."""
    shape = swept.shapes.shape[hits]
    ends = swept.at[hits] + swept.length[hits]
    width, called = FIELD_WIDTH[shape], shape == Shape.CALL
    target = swept.branch_targets(hits)
    begin = swept.place[owner]
    stays = ~called & (target >= begin) & (target < swept.place[owner + 1])
    move = starts[owner] - begin
    kind = np.where(called, int(RefKind.CALL), int(RefKind.BRANCH))
    return np.stack([np.where(stays, _NOTHING, ends - width + move), target + move, kind | width << 4])


def _operands(swept: Sweep, hits: I64, owner: I64, starts: I64, operands: Operands) -> I64:
    """Rows of operands relative to RIP."""
    at, field = swept.at[hits], swept.shapes.operand[hits] + 1
    ends, move = at + swept.length[hits], starts[owner] - swept.place[owner]
    access = operands.access(swept.heads(at) & _HEAD_MASKS[field - at])
    taken = access == ADDRESS_ONLY
    meta = np.where(taken, pack(RefKind.LEA, 4, 0, 0), pack(RefKind.MEMORY, 4, 0, 0) | access << 12)
    return np.stack([field + move, ends + swept.words(field) + move, meta | ends - field - 4 << 8])


def _rare(swept: Sweep, index: int, owner: int, starts: I64) -> tuple[int, int, int]:
    """The row of an instruction that the decoder is asked for."""
    begin, end = int(swept.place[owner]), int(swept.place[owner + 1])
    start = int(starts[owner])
    decoder = Decoder(64, swept.octets(index), ip=int(swept.at[index]) - begin + start)
    insn = decoder.decode()
    row = reference(insn, decoder.get_constant_offsets(insn), start, start + end - begin)
    return (_NOTHING, 0, 0) if row is None else (row[0], min(row[1], MAX_TARGET), row[2])


def _image_bases(swept: Sweep, hits: I64, owner: I64, rows: I64) -> dict[int, frozenset[int]]:
    """The registers that take the image base, by run."""
    found: dict[int, set[int]] = {}
    taken = (rows[0] != _NOTHING) & (rows[1] == 0) & (rows[2] & KIND_MASK == RefKind.LEA)
    for index in np.flatnonzero(taken).tolist():
        register = Decoder(64, swept.octets(int(hits[index]))).decode().op0_register
        found.setdefault(int(owner[index]), set()).add(register)
    return {run: frozenset(registers) for run, registers in found.items()}


def _wide(swept: Sweep, modrm: U8) -> I64:
    """``Scanned.wide``: operands with a 32-bit displacement of a page or more."""
    operand = swept.shapes.operand
    rows = np.flatnonzero((modrm & 0xC0 == 0x80) | (modrm & 0xC7 == 4))
    byte = modrm[rows]
    with_sib = byte & 7 == 4
    fits = (byte >= 0x80) | (swept.code[operand[rows] + 1] & 7 == 5)  # without a base
    field = operand[rows] + 1 + with_sib
    fits &= (field + 4 <= swept.at[rows] + swept.length[rows]) & (swept.words(field) >= _PAGE)
    may = swept.shapes.shape == Shape.RARE
    may[rows[fits]] = True
    rows = np.flatnonzero(may)
    owner = np.searchsorted(swept.first, rows, side="right") - 1
    found = np.zeros(len(swept.first) - 1, dtype=np.int64)
    last = np.flatnonzero(np.append(owner[1:] != owner[:-1], True)[: len(owner)])
    found[owner[last]] = (swept.at + swept.length)[rows[last]] - swept.place[owner[last]]
    return found


def _falls_through(swept: Sweep) -> npt.NDArray[np.bool_]:
    """Which runs control leaves behind their last byte, by their last instruction that is no no-operation."""
    shape = swept.shapes.shape
    low, row = swept.first[:-1], swept.first[1:] - 1
    back = np.flatnonzero(row >= low)
    back = back[shape[row[back]] == Shape.NOP]
    others = np.append(-1, np.flatnonzero(shape != Shape.NOP)) if len(back) else row
    row[back] = others[np.searchsorted(others, row[back]) - 1]
    some = np.flatnonzero(row >= low)
    falls = np.ones(len(row), dtype=np.bool_)
    falls[some] = _GOES_ON[shape[row[some]]]
    for run in some[shape[row[some]] == Shape.RARE].tolist():
        falls[run] = _goes_on(swept, int(low[run]), int(row[run]))
    return falls


def _goes_on(swept: Sweep, low: int, row: int) -> bool:
    """The same of one run, with the decoder: the instructions ``[low, row]``."""
    for index in range(row, low - 1, -1):
        insn = Decoder(64, swept.octets(index)).decode()
        if insn.mnemonic != Mnemonic.NOP:
            return goes_on(insn)
    return True


_PAGE = 4096
_REGISTERS = np.uint8(0xC0)
"""A ModRM byte without an operand in memory."""
_HAS_OPERAND = by_shape(Shape.MODRM, Shape.NOP, Shape.CALL_THROUGH, Shape.JUMP_THROUGH)
_ASKS = by_shape(Shape.CALL, Shape.BRANCH8, Shape.BRANCH32, Shape.JUMP8, Shape.JUMP32, Shape.RARE)
_GOES_ON = by_shape(Shape.PLAIN, Shape.MODRM, Shape.NOP, Shape.BRANCH8, Shape.BRANCH32)
_HEAD_MASKS = np.array([(1 << 8 * count) - 1 for count in range(_KEY + 1)], dtype=np.uint64)
