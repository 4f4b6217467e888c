"""Many runs of code decoded in one go, without a Python step for each instruction."""

import re
from collections.abc import Sequence
from itertools import takewhile

import numpy as np
import numpy.typing as npt
from iced_x86 import Decoder

from hpbuild.code.model import I64, U8
from hpbuild.code.opcodes import Shape, Shapes, by_shape, classify
from hpbuild.dataclass import dataclass

_READ_AHEAD = bytes(16)
FIELD_WIDTH = np.where(by_shape(Shape.BRANCH8, Shape.JUMP8), 1, 4)
"""Bytes of the distance in a near branch or call, by shape."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """The instructions of runs laid end to end in ``code`` (16 zero bytes follow them). ``at`` is the place
    of each instruction, ``length`` its bytes; run ``n`` holds the instructions ``[first[n], first[n + 1])``
    and the bytes ``[place[n], place[n + 1])``."""

    code: U8
    at: I64
    length: U8
    first: I64
    place: I64
    shapes: Shapes

    def words(self, at: I64) -> npt.NDArray[np.int32]:
        """The signed 32-bit words at the places ``at``."""
        return np.ndarray(len(self.code) - 3, "<i4", self.code, 0, (1,))[at]

    def heads(self, at: I64) -> npt.NDArray[np.uint64]:
        """The first eight bytes at the places ``at``, as numbers."""
        return np.ndarray(len(self.code) - 7, "<u8", self.code, 0, (1,))[at]

    def branch_targets(self, rows: I64) -> I64:
        """Where the near branches and calls ``rows`` lead, as places; of other instructions anything."""
        ends = self.at[rows] + self.length[rows]
        short = FIELD_WIDTH[self.shapes.shape[rows]] == 1
        words = self.words(np.where(short, 0, ends - 4))
        found: I64 = ends + np.where(short, self.code[ends - 1].astype(np.int8), words)
        return found

    def octets(self, index: int) -> bytes:
        """The bytes of instruction ``index``."""
        at = int(self.at[index])
        return self.code[at : at + int(self.length[index])].tobytes()


def sweep(runs: Sequence[bytes]) -> Sweep:
    """Decode ``runs``, each from its first byte to its last, or to the first byte that is no instruction:
    what is behind that is left out."""
    # An invalid instruction is false: without it, the lengths do not add up.
    lengths = [
        bytes(map(len, filter(None, Decoder(64, run)))) if len(run) < _LONG else _lengths(run) for run in runs
    ]
    sizes = np.fromiter(map(len, runs), dtype=np.int64, count=len(runs))
    counts = np.fromiter(map(len, lengths), dtype=np.int64, count=len(runs))
    kept = list(runs)
    for bad in np.flatnonzero(_sums(lengths, counts) != sizes).tolist():
        lengths[bad] = bytes(map(len, takewhile(bool, Decoder(64, runs[bad]))))
        counts[bad], sizes[bad] = len(lengths[bad]), sum(lengths[bad])
        kept[bad] = runs[bad][: sizes[bad]]
    length = np.frombuffer(b"".join(lengths), dtype=np.uint8)
    code = np.frombuffer(b"".join(kept) + _READ_AHEAD, dtype=np.uint8)
    at = np.cumsum(length, dtype=np.int64) - length
    return Sweep(code, at, length, _from_zero(counts), _from_zero(sizes), classify(code, at))


_LONG = 1 << 10
"""Bytes of a run that may hold very much filler."""
_FILLER = re.compile(rb"\xcc{64,}")
_LONGEST = 15
"""Most bytes of an instruction: one that begins in front of int3 has ended after so many of them."""


def _lengths(run: bytes) -> bytes:
    """The lengths of the valid instructions of a long run; of much int3 only the first are decoded."""
    parts, at = [], 0
    for filler in _FILLER.finditer(run):
        begin, end = filler.start() + _LONGEST, filler.end()
        parts += [bytes(map(len, filter(None, Decoder(64, run[at:begin])))), b"\x01" * (end - begin)]
        at = end
    return b"".join([*parts, bytes(map(len, filter(None, Decoder(64, run[at:]))))])


def _from_zero(sizes: I64) -> I64:
    """Where each of the parts of these sizes begins, and where the last ends."""
    found = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=found[1:])
    return found


def _sums(parts: Sequence[bytes], counts: I64) -> I64:
    """The sum of the bytes of each part, of which ``counts`` are the lengths."""
    totals = _from_zero(np.frombuffer(b"".join(parts), dtype=np.uint8))
    ends = np.cumsum(counts)
    found: I64 = totals[ends] - totals[ends - counts]
    return found
