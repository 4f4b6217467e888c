"""Cutting many runs of gaps at once, with the same result as ``gaps.split_run`` for each."""

from collections.abc import Iterator

import numpy as np

from hpbuild.code.columns import among, picked
from hpbuild.code.cutter import CODE, OPAQUE, PADDING, Cutter, Flags
from hpbuild.code.gaps import split_run
from hpbuild.code.model import I64, U8
from hpbuild.code.opcodes import Shape, Shapes
from hpbuild.code.outline import JUMP, Outline, outline
from hpbuild.code.scanned import Scanned, in_order, joined
from hpbuild.code.scanning import Operands, scan_runs, scan_swept
from hpbuild.code.sweep import Sweep, from_zero, sweep
from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image

BATCH = 1 << 20
"""Bytes of code cut in one go, and most bytes of a run that is cut with others."""
TOGETHER = 1 << 21
"""Bytes whose outline is told in one go: most of them are filler."""
_INT3 = 0xCC
_KINDS = {"padding": PADDING, "code": CODE, "opaque": OPAQUE}


@dataclass(frozen=True, slots=True)
class Parts:
    """Columns, ascending: ``[start, end)`` in RVAs, and what is there: PADDING, CODE or OPAQUE."""

    start: I64
    end: I64
    kind: U8

    def only(self, chosen: Flags) -> "Parts":
        """The ``chosen`` ones."""
        rows = np.flatnonzero(chosen)
        return Parts(self.start.take(rows), self.end.take(rows), self.kind.take(rows))

    def joined(self, other: "Parts") -> "Parts":
        """These and the others."""
        start = np.concatenate([self.start, other.start])
        end, kind = np.concatenate([self.end, other.end]), np.concatenate([self.kind, other.kind])
        order = np.argsort(start, kind="stable")
        return Parts(start.take(order), end.take(order), kind.take(order))


@dataclass(frozen=True, slots=True)
class CutRuns:
    """The ``parts`` of runs; what was found in those that are code, in their order; and by run whether it is
    ``settled``: cut at any begins of code in it, it has the same parts."""

    parts: Parts
    scanned: Scanned
    settled: Flags


def cut_runs(image: Image, start: I64, end: I64, named: Flags) -> CutRuns:
    """The pieces of the runs ``[start, end)`` (ascending, disjoint, none empty) as ``split_run`` makes them;
    ``named``: something names the first byte."""
    found = _Found(image, start, end, named)
    small = end - start <= BATCH
    found.alone(np.flatnonzero(~small))
    numbers = np.flatnonzero(small)
    for batch in _batches(numbers, (end - start)[numbers], TOGETHER):
        found.together(batch)
    return found.told()


def _batches(numbers: I64, sizes: I64, most: int) -> Iterator[I64]:
    """The numbers of runs of these sizes, in parts of about ``most`` bytes."""
    parts = np.cumsum(sizes) // most
    yield from np.split(numbers, np.flatnonzero(np.diff(parts)) + 1) if len(numbers) else ()


class _Found:
    """What is found of runs, as it comes."""

    def __init__(self, image: Image, start: I64, end: I64, named: Flags) -> None:
        self.image, self.start, self.end, self.named = image, start, end, named
        self.settled = np.zeros(len(start), dtype=np.bool_)
        self.rows = [np.zeros((3, 0), dtype=np.int64)]
        """Parts: columns of three rows (start, end, kind)."""
        self.starts, self.scanned = list[I64](), list[Scanned]()
        """Where code begins, and what was found in it."""
        self.operands = Operands({})

    def alone(self, numbers: I64) -> None:
        """Cut runs one after the other."""
        for number in numbers.tolist():
            start, end, named = int(self.start[number]), int(self.end[number]), bool(self.named[number])
            if not named and bool((self.image.memory[start:end] == _INT3).all()):
                self.rows.append(np.array([[start], [end], [PADDING]]))
                continue
            pieces = split_run(self.image.read(start, end - start), start, named)
            found = [(piece.start, piece.end, _KINDS[piece.kind]) for piece in pieces]
            self.rows.append(np.array(found, dtype=np.int64).reshape(-1, 3).T)

    def together(self, numbers: I64) -> None:
        """Cut runs by columns. Most of what no unwind row describes is filler, and the rest of that mostly
        lone jumps: these are not decoded."""
        start, end = self.start[numbers], self.end[numbers]
        told = outline(self.image, start, end, self.named[numbers])
        self._add(picked(start, told.filler), picked(end, told.filler), PADDING)
        jumps = np.flatnonzero(told.jumps)
        body = told.body.take(jumps)
        self._add(start.take(jumps), body, PADDING)
        self._add(body, body + JUMP, CODE)
        self._add(body + JUMP, end.take(jumps), PADDING)
        done = told.filler | told.jumps
        self.settled[numbers[done]] = True
        rest = np.flatnonzero(~done)
        before = from_zero(told.pieces[:, 1] - told.pieces[:, 0])
        low, high = (np.searchsorted(told.pieces[:, 0], bound[rest]) for bound in (start, end))
        for batch in _batches(rest, before[high] - before[low], BATCH):
            self._decoded(numbers[batch], told)

    def _add(self, start: I64, end: I64, kind: int) -> None:
        some = start < end
        self.rows.append(np.stack([start[some], end[some], np.full(np.count_nonzero(some), kind)]))

    def _decoded(self, numbers: I64, told: Outline) -> None:
        """Cut runs with the decoder. What it says is used for the references too."""
        start, end = self.start[numbers], self.end[numbers]
        swept, whole = _instructions(self.image.memory, start, end, told)
        cut = Cutter(swept, self.named[numbers], whole).cut()
        self.rows.append(np.stack([cut.start, cut.end, cut.kind]))
        self.settled[numbers] = cut.settled
        code = np.flatnonzero(cut.kind == CODE)
        self.starts.append(cut.start[code])
        self.scanned.append(scan_swept(swept.parts(cut.first[code], cut.behind[code]), self.operands))
        self.alone(numbers[~cut.plain])

    def told(self) -> CutRuns:
        """All that was found."""
        start, end, kind = (np.concatenate(column) for column in zip(*self.rows, strict=True))
        order = np.argsort(start, kind="stable")
        parts = Parts(start[order], end[order], kind.astype(np.uint8)[order])
        code = parts.only(parts.kind == CODE)
        rest = np.flatnonzero(~among(code.start, np.sort(np.concatenate([code.start[:0], *self.starts]))))
        starts = np.concatenate([*self.starts, code.start[rest]])
        scanned = joined([*self.scanned, scan_runs(self.image, code.start[rest], code.end[rest])])
        return CutRuns(parts, in_order(scanned, np.searchsorted(code.start, starts)), self.settled)


def _instructions(memory: U8, start: I64, end: I64, told: Outline) -> tuple[Sweep, Flags]:
    """The instructions of the runs ``[start, end)``, of much int3 the first and, as one, all others; and of
    which runs these are all bytes."""
    pieces, int3 = (_between(rows, start[0], end[-1]) for rows in (told.pieces, told.int3))
    swept = sweep(memory, pieces[:, 0], pieces[:, 1])
    whole = np.ones(len(start), dtype=np.bool_)
    bad = pieces[swept.stop != pieces[:, 1], 0]
    whole[np.searchsorted(start, bad, side="right") - 1] = False
    size = int3[:, 1] - int3[:, 0]
    more = np.flatnonzero(size > 1)
    at = np.concatenate([swept.at, int3[:, 0], int3[more, 0] + 1])
    length = np.concatenate([swept.length, np.ones_like(size), size[more] - 1])
    filler = np.full(len(at) - len(swept.at), Shape.INT3, dtype=np.uint8)
    shape = np.concatenate([swept.shapes.shape, filler])
    operand = np.concatenate([swept.shapes.operand, at[len(swept.at) :]])
    order = np.argsort(at, kind="stable")
    at = at[order]
    first = np.append(np.searchsorted(at, start), len(at))
    shapes = Shapes(shape[order], operand[order])
    return Sweep(swept.memory, at, length[order], first, start, end, shapes), whole


def _between(rows: I64, low: int, high: int) -> I64:
    """Those of the ascending rows that begin in ``[low, high)``."""
    first, last = np.searchsorted(rows[:, 0], (low, high))
    return rows[first:last]
