"""Many runs of code decoded in one go, without a Python step for each instruction."""

from itertools import takewhile

import numpy as np
import numpy.typing as npt
from iced_x86 import Decoder

from hpbuild.code.columns import distinct, members
from hpbuild.code.model import I64, U8
from hpbuild.code.opcodes import Shape, Shapes, by_shape, classify
from hpbuild.code.validity import READ_AHEAD, doubtful, invalid
from hpbuild.dataclass import dataclass

LOOKED_AT = 16
"""Bytes behind the last instruction that are looked at, in vain: they must be there."""
_SHORT = by_shape(Shape.BRANCH8, Shape.JUMP8)
FIELD_WIDTH = np.where(_SHORT, 1, 4)
"""Bytes of the distance in a near branch or call, by shape."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The instructions of runs in ``memory``: ``at`` is the address (RVA) of each, ``length`` its bytes. Run
    ``n`` holds the instructions ``[first[n], first[n + 1])`` and the bytes ``[start[n], stop[n])``."""

    memory: U8
    at: I64
    length: U8
    first: I64
    start: I64
    stop: I64
    shapes: Shapes

    def words(self, at: I64) -> npt.NDArray[np.int32]:
        """The signed 32-bit words at the addresses ``at``."""
        return np.ndarray(len(self.memory) - 3, "<i4", self.memory, 0, (1,))[at]

    def heads(self, at: I64) -> npt.NDArray[np.uint64]:
        """The first eight bytes at the addresses ``at``, as numbers."""
        return np.ndarray(len(self.memory) - 7, "<u8", self.memory, 0, (1,))[at]

    def branch_targets(self, rows: I64) -> I64:
        """Where the near branches and calls ``rows`` lead; of other instructions anything."""
        ends = self.at.take(rows) + self.length.take(rows)
        distance = self.memory.take(ends - 1).view(np.int8).astype(np.int64)
        wide = np.flatnonzero(~_SHORT.take(self.shapes.shape.take(rows)))
        distance[wide] = self.words(np.maximum(ends.take(wide) - 4, 0))
        return ends + distance

    def octets(self, index: int) -> bytes:
        """The bytes of instruction ``index``."""
        at = int(self.at[index])
        return self.memory[at : at + int(self.length[index])].tobytes()

    def owners(self, rows: I64) -> I64:
        """The numbers of the runs that hold the instructions ``rows``."""
        found: I64 = np.searchsorted(self.first, rows, side="right") - 1
        return found

    def parts(self, first: I64, behind: I64) -> "Sweep":
        """Only the instructions ``[first, behind)``, ascending, none empty: each as a run."""
        rows, last = members(first, behind), behind - 1
        return Sweep(
            memory=self.memory,
            at=self.at[rows],
            length=self.length[rows],
            first=from_zero(behind - first),
            start=self.at[first],
            stop=self.at[last] + self.length[last],
            shapes=Shapes(self.shapes.shape[rows], self.shapes.operand[rows]),
        )


def sweep(memory: U8, start: I64, end: I64, lengths: bytes | None = None) -> Sweep:
    """Decode the runs ``[start, end)`` of ``memory``, each from its first byte to its last, or to the first
    byte that is no instruction: what is behind that is left out. ``lengths`` are those of the instructions of
    all runs, one behind the other, where they are known."""
    buffer, before = memory.data, from_zero(end - start)
    code = b"".join([buffer[low:high] for low, high in zip(start.tolist(), end.tolist(), strict=True)])
    at, length, first = _decoded(code, before, _lengths(code) if lengths is None else lengths)
    at += np.repeat(start - before[:-1], np.diff(first))
    stop, some = start.copy(), first[1:] > first[:-1]
    last = first[1:][some] - 1
    stop[some] = at[last] + length[last]
    if len(stop) and int(stop.max()) + LOOKED_AT > len(memory):
        memory = np.append(memory, np.zeros(LOOKED_AT, dtype=np.uint8))
    return Sweep(memory, at, length, first, start, stop, classify(memory, at))


def _lengths(code: bytes) -> bytes:
    """The bytes of each instruction, and of each that is none as many as the decoder leaves out."""
    return bytes(map(len, Decoder(64, code)))


def _decoded(code: bytes, bounds: I64, lengths: bytes) -> tuple[I64, U8, I64]:
    """Of the runs ``[bounds[n], bounds[n + 1])`` of ``code``: the places and lengths of the instructions up
    to the first byte of each run that is none; the first row of each run, and the number of all.

    All are decoded as one, into ``lengths``. A run that begins in the middle of an instruction then is
    decoded alone.
    """
    length: U8 = np.frombuffer(lengths, dtype=np.uint8)
    borders = from_zero(length)
    at = borders[:-1]
    first = np.searchsorted(at, bounds)
    alone = np.flatnonzero(borders[first[:-1]] != bounds[:-1])
    wrong = _wrong(code, at, length, first, bounds)
    if not len(wrong) and not len(alone):
        return at, length, first
    kept = np.ones(len(at), dtype=np.bool_)
    owner = np.searchsorted(first, wrong, side="right") - 1
    earliest = np.append(True, owner[1:] != owner[:-1])[: len(owner)]
    kept[members(wrong[earliest], first[owner[earliest] + 1])] = False
    kept[members(first[alone], first[alone + 1])] = False
    rows = np.flatnonzero(kept)
    at, length, first = at.take(rows), length.take(rows), np.searchsorted(rows, first)
    if not len(alone):
        return at, length, first
    own = _alone(code, bounds, alone)
    counts, others = np.diff(first), np.frombuffer(b"".join(own), dtype=np.uint8)
    counts[alone] = np.fromiter(map(len, own), dtype=np.int64, count=len(own))
    rows, before = np.repeat(first[alone], counts[alone]), from_zero(others)
    moves = bounds[alone] - before[from_zero(counts[alone])[:-1]]
    places = before[:-1] + np.repeat(moves, counts[alone])
    return np.insert(at, rows, places), np.insert(length, rows, others), from_zero(counts)


def _wrong(code: bytes, at: I64, length: U8, first: I64, bounds: I64) -> I64:
    """The rows that are no instructions, or reach behind the end of their run."""
    octets = np.frombuffer(code + bytes(READ_AHEAD), dtype=np.uint8)
    some = first[1:] > first[:-1]
    last = first[1:][some] - 1
    behind = last[at[last] + length[last] > bounds[1:][some]]
    final = first[-1:] - 1 if len(at) else first[:0]  # may lack bytes, whatever it is
    asked = distinct(np.concatenate([doubtful(octets, at), final]))
    return distinct(np.concatenate([behind, invalid(octets, at, length, asked)]))


def _alone(code: bytes, bounds: I64, runs: I64) -> list[bytes]:
    """The lengths of the instructions of each of the ``runs``, up to the first byte that is none."""
    spans = zip(bounds[runs].tolist(), bounds[runs + 1].tolist(), strict=True)
    return [bytes(map(len, takewhile(bool, Decoder(64, code[low:high])))) for low, high in spans]


def from_zero(sizes: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> I64:
    """Where each of the parts of these sizes begins, and where the last ends."""
    found = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=found[1:])
    return found
