"""Cutting many runs of gaps at once, with the same result as ``gaps.split_run`` for each."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpbuild.code.cutter import CODE, OPAQUE, PADDING, Cutter, Flags
from hpbuild.code.gaps import split_run
from hpbuild.code.model import I64, U8
from hpbuild.code.sweep import sweep
from hpbuild.pe.image import Image

BATCH = 1 << 19
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
    runs = list(zip(start.tolist(), end.tolist(), named.tolist(), strict=True))
    memory = image.memory.data
    codes = [bytes(memory[begin:stop]) for begin, stop, _ in runs]
    mixed = [known or code.count(_INT3) != len(code) for (*_, known), code in zip(runs, codes, strict=True)]
    plain = np.flatnonzero(~np.array(mixed, dtype=np.bool_))
    found = [np.stack([start[plain], end[plain], np.zeros_like(plain)])]
    batch: list[int] = []
    size = 0
    for number in np.flatnonzero(mixed).tolist():
        if len(codes[number]) > BATCH:
            found.append(_split(codes[number], *runs[number]))
            continue
        batch.append(number)
        size += len(codes[number])
        if size > BATCH:
            found += _cut_batch([codes[n] for n in batch], [runs[n] for n in batch])
            batch, size = [], 0
    if batch:
        found += _cut_batch([codes[n] for n in batch], [runs[n] for n in batch])
    rows = np.concatenate(found, axis=1)
    rows = rows[:, np.argsort(rows[0], kind="stable")]
    return Parts(rows[0], rows[1], rows[2].astype(np.uint8))


def _split(code: bytes, start: int, end: int, named: bool) -> I64:
    """Rows (start, end, kind) of one run, the slow way."""
    pieces = [(piece.start, piece.end, _KINDS[piece.kind]) for piece in split_run(code, start, named)]
    return np.array(pieces, dtype=np.int64).reshape(-1, 3).T


def _cut_batch(codes: list[bytes], runs: list[tuple[int, int, bool]]) -> Iterator[I64]:
    """Rows (start, end, kind) of runs."""
    swept = sweep(codes)
    columns = np.array(runs, dtype=np.int64).T
    whole = np.diff(swept.place) == columns[1] - columns[0]
    rows, plain = Cutter(swept, columns[0], columns[2].astype(np.bool_)).cut(whole)
    yield rows
    for number in np.flatnonzero(~plain).tolist():
        yield _split(codes[number], *runs[number])
