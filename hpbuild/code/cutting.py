"""Cutting many runs of gaps at once, with the same result as ``gaps.split_run`` for each."""

from collections.abc import Iterator

import numpy as np

from hpbuild.code.cutter import CODE, OPAQUE, PADDING, Cutter, Flags, Margins
from hpbuild.code.gaps import split_run
from hpbuild.code.model import I64, U8
from hpbuild.code.sweep import sweep
from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image

BATCH = 1 << 20
"""Bytes of code cut in one go."""
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
        return Parts(self.start[chosen], self.end[chosen], self.kind[chosen])

    def joined(self, other: "Parts") -> "Parts":
        """These and the others."""
        start = np.concatenate([self.start, other.start])
        end, kind = np.concatenate([self.end, other.end]), np.concatenate([self.kind, other.kind])
        order = np.argsort(start, kind="stable")
        return Parts(start[order], end[order], kind[order])


def cut_runs(image: Image, start: I64, end: I64, named: Flags) -> Parts:
    """The pieces of the runs ``[start, end)`` (disjoint, none empty) as ``split_run`` makes them; ``named``:
    something names the first byte."""
    found = [np.zeros((3, 0), dtype=np.int64)]
    small = end - start <= BATCH
    for number in np.flatnonzero(~small).tolist():
        run = int(start[number]), int(end[number]), bool(named[number])
        found.append(_split(image, *run) if run[2] or not _only_int3(image, *run[:2]) else _padding(*run[:2]))
    numbers = np.flatnonzero(small)
    sizes = np.cumsum(end[numbers] - start[numbers])
    for batch in np.split(numbers, np.flatnonzero(np.diff(sizes // BATCH)) + 1):
        if len(batch):
            found += _Batch(image, start[batch], end[batch], named[batch]).cut()
    rows = np.concatenate(found, axis=1)
    rows = rows[:, np.argsort(rows[0], kind="stable")]
    return Parts(rows[0], rows[1], rows[2].astype(np.uint8))


def _only_int3(image: Image, start: int, end: int) -> bool:
    return bool((image.memory[start:end] == _INT3).all())


def _padding(start: int, end: int) -> I64:
    return np.array([[start], [end], [PADDING]], dtype=np.int64)


def _split(image: Image, start: int, end: int, named: bool) -> I64:
    """Rows (start, end, kind) of one run, the slow way."""
    code = image.read(start, end - start)
    pieces = [(piece.start, piece.end, _KINDS[piece.kind]) for piece in split_run(code, start, named)]
    return np.array(pieces, dtype=np.int64).reshape(-1, 3).T


class _Batch:
    """Runs that are cut in one go. Of their int3 only those few are decoded that lie in and right behind the
    other bytes: most of what no unwind row describes is filler, and the rest of that mostly lone jumps."""

    def __init__(self, image: Image, start: I64, end: I64, named: Flags) -> None:
        memory = image.memory.data
        runs = zip(start.tolist(), end.tolist(), strict=True)
        self.image, self.start, self.end, self.named = image, start, end, named
        self.octets = b"".join([memory[begin:stop] for begin, stop in runs])
        self.code = np.frombuffer(self.octets, dtype=np.uint8)
        self.place = np.cumsum(end - start) - (end - start)
        behind = self.place + (end - start)
        other = np.flatnonzero(self.code != _INT3)
        low, high = np.searchsorted(other, self.place), np.searchsorted(other, behind)
        some = low < high
        self.filler = ~some & ~named
        self.body, self.stop = self.place.copy(), behind.copy()
        self.stop[some] = other[high[some] - 1] + 1
        led = np.flatnonzero(some & ~named)
        self.body[led] = other[low[led]]

    def cut(self) -> Iterator[I64]:
        """Rows (start, end, kind), not in order."""
        yield self._rows(self.filler, self.start, self.end, PADDING)
        move = self.start - self.place
        jumps = self._lone_jumps()
        body = self.body + move
        yield self._rows(jumps & (self.start < body), self.start, body, PADDING)
        yield self._rows(jumps, body, body + _JUMP, CODE)
        yield self._rows(jumps & (body + _JUMP < self.end), body + _JUMP, self.end, PADDING)
        rest = np.flatnonzero(~self.filler & ~jumps)
        if len(rest):
            yield from self._decoded(rest)

    def _rows(self, chosen: Flags, start: I64, end: I64, kind: int) -> I64:
        return np.stack([start[chosen], end[chosen], np.full(np.count_nonzero(chosen), kind)])

    def _lone_jumps(self) -> Flags:
        """Which runs hold one jump with a 32-bit distance, out of the run, and int3."""
        sizes = self.end - self.start
        room = self.place + sizes - self.body
        found: Flags = ~self.filler & (room >= _JUMP) & (self.stop <= self.body + _JUMP)
        found[found] = self.code[self.body[found]] == _NEAR_JUMP
        at = self.body[found] + 1
        words = np.ndarray(max(len(self.code) - 3, 0), "<i4", self.code, 0, (1,))
        target = at + 4 + words[at] - self.place[found]
        found[found] = (target < 0) | (target >= sizes[found])
        return found

    def _decoded(self, rest: I64) -> Iterator[I64]:
        """Rows of the runs ``rest``, with the decoder."""
        body, behind = self.body[rest], self.place[rest] + self.end[rest] - self.start[rest]
        stop = np.minimum(self.stop[rest] + _KEPT, behind)
        bounds = zip(body.tolist(), stop.tolist(), strict=True)
        swept = sweep([self.octets[low:high] for low, high in bounds])
        margins = Margins(body - self.place[rest], behind - stop)
        cutter = Cutter(swept, self.start[rest] + margins.before, self.named[rest], margins)
        rows, plain = cutter.cut(np.diff(swept.place) == stop - body)
        yield rows
        for number in rest[~plain].tolist():
            run = int(self.start[number]), int(self.end[number]), bool(self.named[number])
            yield _split(self.image, *run)


_JUMP, _NEAR_JUMP = 5, 0xE9
_KEPT = 4
"""Bytes of the int3 behind other bytes that are decoded: what ends a function may be followed by int3."""
