"""The references of many runs of code at once: what ``decode.scan`` finds in each, by columns.

An instruction without a rule in ``opcodes`` is left to the decoder.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from iced_x86 import Decoder, Mnemonic

from hpbuild.code.base_operands import may_be_based
from hpbuild.code.columns import members, picked
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
from hpbuild.code.lengths import Piece
from hpbuild.code.model import I64, U8, U32
from hpbuild.code.opcodes import Shape, by_shape, classify
from hpbuild.code.scanned import Scanned, in_order, joined
from hpbuild.code.sweep import FIELD_WIDTH, LOOKED_AT, Sweep, sweep
from hpbuild.dataclass import dataclass
from hpbuild.pe.access import values_at
from hpbuild.pe.image import Image

BATCH = 1 << 20
"""Bytes of code decoded in one go: its columns fit into a processor's cache."""
LARGEST = 1 << 23
"""A batch of more bytes, which one run alone can make, is decoded without columns of its instructions."""
_KEY = 8
"""Most bytes of an instruction up to its ModRM byte that are looked up by their number."""


Tick = Callable[[int, int], None]


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


def scan_runs(
    image: Image,
    start: I64,
    end: I64,
    tick: Tick = lambda done, total: None,
    decoded: Sequence[Piece] = (),
) -> Scanned:
    """What ``scan`` finds in each of the runs ``[start, end)`` of the image, as if each ended in front of its
    first byte that is no instruction. Linkers lay very many jumps, each alone: those need no decoder. Of the
    image's memory ``decoded`` are pieces; with any, the runs ascend."""
    jump = (end - start == _JUMP) & (image.memory.take(start) == _NEAR_JUMP)
    jumps, others = np.flatnonzero(jump), np.flatnonzero(~jump)
    parts = [_lone_jumps(image, start[jumps])] if len(jumps) else []
    operands, done = Operands({}), 0
    for batch, lengths in _batches(others, start[others], end[others], decoded):
        tick(done, len(others))
        parts.append(_scan_batch(image, start[batch], end[batch], operands, lengths))
        done += len(batch)
    found = joined(parts)
    return in_order(found, np.concatenate([jumps, others])) if len(jumps) else found


def _batches(
    numbers: I64, start: I64, end: I64, decoded: Sequence[Piece]
) -> Iterator[tuple[I64, bytes | None]]:
    """The numbers of the runs ``[start, end)`` in parts: as they are ``decoded``, with the lengths; the
    others of about as many bytes."""
    done = 0
    for piece in decoded:
        begins, ends = np.frombuffer(piece.bounds, dtype="<u4").reshape(2, -1)
        low = int(start.searchsorted(begins[0]))
        high = low + len(begins)
        same = np.array_equal(start[low:high], begins) and np.array_equal(end[low:high], ends)
        if same and low >= done:
            yield from _plain_batches(numbers[done:low], (end - start)[done:low])
            yield numbers[low:high], piece.lengths
            done = high
    yield from _plain_batches(numbers[done:], (end - start)[done:])


def _plain_batches(numbers: I64, sizes: I64) -> Iterator[tuple[I64, None]]:
    parts = np.cumsum(sizes) // BATCH
    for batch in np.split(numbers, np.flatnonzero(np.diff(parts)) + 1) if len(numbers) else ():
        yield batch, None


def _scan_batch(image: Image, start: I64, end: I64, operands: Operands, lengths: bytes | None) -> Scanned:
    if int((end - start).sum()) > LARGEST:
        runs = zip(start.tolist(), end.tolist(), strict=True)
        return joined([_scan_alone(image.read(begin, stop - begin), begin) for begin, stop in runs])
    return scan_swept(sweep(image.memory, start, end, lengths), operands)


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
        wide_at=np.zeros(0, dtype=np.uint32),
    )


def _scan_alone(code: bytes, start: int) -> Scanned:
    """The same of one run, with little memory."""
    bad = scan(code, start, ReferenceColumns()).bad
    code = code[: bad - start] if bad >= 0 else code
    columns = ReferenceColumns()
    run = scan(code, start, columns)
    site, target, meta = columns.rows().astype(np.uint32)
    falls, rows = np.array([run.falls_through]), np.array([0, len(site)])
    size = np.array([len(code)])
    wide = [insn.ip for insn in Decoder(64, code, ip=start) if may_be_based(insn)]
    bases, wide_at = {0: run.image_base}, np.array(wide, dtype=np.uint32)
    return Scanned(site, target, meta, rows[:1], rows[1:], size, falls, bases, wide_at)


def scan_swept(swept: Sweep, operands: Operands) -> Scanned:
    """The references of the runs of ``swept``."""
    shape, operand = swept.shapes.shape, swept.shapes.operand
    modrm = swept.memory.take(operand) | _NO_OPERAND.take(shape)
    relative = modrm & 0xC7 == 5
    rows = np.flatnonzero(relative)
    relative[rows] = swept.at[rows] + swept.length[rows] >= operand[rows] + 5
    asks = relative | (shape == Shape.CALL) | (shape == Shape.RARE)
    asks[_leaving(swept)] = True
    hits = np.flatnonzero(asks)
    numbers = np.arange(len(swept.start))
    owner = np.repeat(numbers, np.diff(np.searchsorted(hits, swept.first)))
    memory = relative.take(hits)
    rare = shape.take(hits) == Shape.RARE
    rare |= memory & (operand.take(hits) - swept.at.take(hits) >= _KEY)
    rows = np.empty((3, len(hits)), dtype=np.int64)
    branch, memory = np.flatnonzero(~(memory | rare)), np.flatnonzero(memory & ~rare)
    rows[:, branch] = _branches(swept, hits[branch])
    rows[:, memory] = _operands(swept, hits[memory], operands)
    for index in np.flatnonzero(rare).tolist():
        rows[:, index] = _rare(swept, int(hits[index]), int(owner[index]))
    np.copyto(rows[1], MAX_TARGET, where=(rows[1] < 0) | (rows[1] >= MAX_TARGET))
    bases = _image_bases(swept, hits, owner, rows)
    if len(memory) + len(branch) < len(hits):
        kept = rows[0] != _NOTHING
        rows, owner = rows[:, kept], owner[kept]
    found: U32 = rows.astype(np.uint32)
    site, target, meta = found[0], found[1], found[2]
    counts = np.bincount(owner, minlength=len(numbers))
    ends = np.cumsum(counts)
    sizes, falls = swept.stop - swept.start, _falls_through(swept)
    wide_at = _wide_at(swept, modrm)
    return Scanned(site, target, meta, ends - counts, ends, sizes, falls, bases, wide_at)


_NOTHING = -1
"""As a site: no reference."""


def _leaving(swept: Sweep) -> I64:
    """The near branches that lead out of their run: others are no references."""
    shape = swept.shapes.shape
    near = np.flatnonzero((shape >= Shape.BRANCH8) & (shape <= Shape.JUMP32))
    target, counts = swept.branch_targets(near), np.diff(np.searchsorted(near, swept.first))
    low, high = np.repeat(swept.start, counts), np.repeat(swept.stop, counts)
    return picked(near, (target < low) | (target >= high))


def _branches(swept: Sweep, hits: I64) -> I64:
    """Rows of near branches and calls."""
    shape = swept.shapes.shape.take(hits)
    width, called = FIELD_WIDTH.take(shape), shape == Shape.CALL
    kind = np.where(called, int(RefKind.CALL), int(RefKind.BRANCH))
    site = swept.at.take(hits) + swept.length.take(hits) - width
    return np.stack([site, swept.branch_targets(hits), kind | width << 4])


def _operands(swept: Sweep, hits: I64, operands: Operands) -> I64:
    """Rows of operands relative to RIP."""
    at, field = swept.at.take(hits), swept.shapes.operand.take(hits) + 1
    ends = at + swept.length.take(hits)
    access = operands.access(swept.heads(at) & _HEAD_MASKS[field - at])
    taken = access == ADDRESS_ONLY
    meta = np.where(taken, pack(RefKind.LEA, 4, 0, 0), pack(RefKind.MEMORY, 4, 0, 0) | access << 12)
    return np.stack([field, ends + swept.words(field), meta | ends - field - 4 << 8])


def _rare(swept: Sweep, index: int, owner: int) -> tuple[int, int, int]:
    """The row of an instruction that the decoder is asked for."""
    decoder = Decoder(64, swept.octets(index), ip=int(swept.at[index]))
    insn = decoder.decode()
    offsets = decoder.get_constant_offsets(insn)
    row = reference(insn, offsets, int(swept.start[owner]), int(swept.stop[owner]))
    return (_NOTHING, 0, 0) if row is None else (row[0], min(row[1], MAX_TARGET), row[2])


def _image_bases(swept: Sweep, hits: I64, owner: I64, rows: I64) -> dict[int, frozenset[int]]:
    """The registers that take the image base, by run."""
    found: dict[int, set[int]] = {}
    none = np.flatnonzero(rows[1] == 0)
    taken = (rows[0, none] != _NOTHING) & (rows[2, none] & KIND_MASK == RefKind.LEA)
    for index in none[taken].tolist():
        register = Decoder(64, swept.octets(int(hits[index]))).decode().op0_register
        found.setdefault(int(owner[index]), set()).add(register)
    return {run: frozenset(registers) for run, registers in found.items()}


def _wide_at(swept: Sweep, modrm: U8) -> U32:
    """``Scanned.wide_at``: operands with a 32-bit displacement of a page or more."""
    based, indexed = np.flatnonzero(modrm & 0xC0 == 0x80), np.flatnonzero(modrm & 0xC7 == 4)
    indexed = indexed[swept.memory.take(swept.shapes.operand.take(indexed) + 1) & 7 == 5]  # without a base
    rows = np.concatenate([based, indexed])
    field = swept.shapes.operand.take(rows) + 1 + (modrm.take(rows) & 7 == 4)
    large = np.flatnonzero(swept.words(field) >= PAGE)
    rows, field = rows[large], field[large]
    may = swept.shapes.shape == Shape.RARE
    may[rows[field + 4 <= swept.at[rows] + swept.length[rows]]] = True
    return picked(swept.at, may).astype(np.uint32)


def displacements(memory: U8, at: I64) -> I64:
    """Where the displacements are of instructions that are told of in ``Scanned.wide_at`` by their operands;
    -1 for others."""
    found = np.full(len(at), -1, dtype=np.int64)
    some = np.flatnonzero(at + LOOKED_AT < len(memory))
    shapes = classify(memory, at[some])
    with_sib = memory[shapes.operand] & 7 == 4
    found[some] = np.where(_HAS_OPERAND[shapes.shape], shapes.operand + 1 + with_sib, -1)
    return found


def _falls_through(swept: Sweep) -> npt.NDArray[np.bool_]:
    """Which runs control leaves behind their last byte, by their last instruction that is no no-operation."""
    shape = swept.shapes.shape
    low, row = swept.first[:-1], swept.first[1:] - 1
    back = np.flatnonzero(row >= low)
    back = back[shape[row[back]] == Shape.NOP]
    inside = members(low[back], row[back])
    others = np.append(-1, inside[shape[inside] != Shape.NOP])
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


PAGE = 4096
"""A displacement below it is no RVA of interest: the headers lie there."""
_HAS_OPERAND = by_shape(Shape.MODRM, Shape.NOP, Shape.CALL_THROUGH, Shape.JUMP_THROUGH)
_NO_OPERAND = np.where(_HAS_OPERAND, 0, 0xC0).astype(np.uint8)
"""What makes of a byte the ModRM byte of an instruction without an operand in memory, by shape."""
_GOES_ON = by_shape(Shape.PLAIN, Shape.MODRM, Shape.NOP, Shape.BRANCH8, Shape.BRANCH32)
_HEAD_MASKS = np.array([(1 << 8 * count) - 1 for count in range(_KEY + 1)], dtype=np.uint64)
