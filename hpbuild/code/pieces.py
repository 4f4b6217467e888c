"""Fragments in the making: rows of columns, and objects of those few that something is done with."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among
from hpbuild.code.decode import ReferenceColumns
from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass

Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Piece:
    """One fragment in the making. ``registers`` took the image base; ``rows`` is the run of ``Layout.blocks``
    with the references of its code, ``more`` holds others of it. ``wide_at`` are the RVAs of the instructions
    of code with ``registers``, or of a function with some, that may have a displacement which is an RVA."""

    start: int
    end: int
    root: int
    unwind: int
    opaque: bool
    registers: frozenset[int] = frozenset()
    falls_through: bool = False
    rows: tuple[int, int] = (0, 0)
    more: ReferenceColumns | None = None
    wide_at: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Fragments, ascending by ``start``; ``first`` and ``last`` delimit their rows in ``Layout.blocks``, all
    else as in ``Piece``. None of them took the image base."""

    start: I64
    end: I64
    root: I64
    unwind: I64
    opaque: Mask
    falls_through: Mask
    first: I64
    last: I64

    def __len__(self) -> int:
        return len(self.start)

    def only(self, chosen: Mask) -> "Columns":
        """The ``chosen`` ones."""
        rows = np.flatnonzero(chosen)
        return Columns(**{name: getattr(self, name).take(rows) for name in Columns.__slots__})

    def joined(self, *others: "Columns") -> "Columns":
        """These and the others."""
        tables = (self, *others)
        order = np.argsort(np.concatenate([table.start for table in tables]), kind="stable")
        columns = {
            name: np.concatenate([getattr(table, name) for table in tables]).take(order)
            for name in Columns.__slots__
        }
        return Columns(**columns)

    def pieces(self) -> Iterator[Piece]:
        """Each as an object."""
        columns = zip(
            self.start.tolist(), self.end.tolist(), self.root.tolist(), self.unwind.tolist(),
            self.opaque.tolist(), self.falls_through.tolist(), self.first.tolist(), self.last.tolist(),
            strict=True,
        )  # fmt: skip
        for start, end, root, unwind, opaque, falls, first, last in columns:
            yield Piece(start, end, root, unwind, opaque, falls_through=falls, rows=(first, last))

    def of_roots(self, roots: I64) -> I64:
        """The numbers of the fragments of functions with these ``roots`` (ascending), in no order."""
        others = np.flatnonzero(self.root != self.start)  # few; of all others the start is looked up
        others = others[among(self.root[others], roots)]
        place = np.searchsorted(self.start, roots)
        place = place[among(roots, self.start)]
        return np.concatenate([place[self.root[place] == self.start[place]], others])

    def end_of(self, start: int) -> int | None:
        """The end of the fragment that begins at ``start``, if one does."""
        place = int(np.searchsorted(self.start, start))
        found = place < len(self.start) and self.start[place] == start
        return int(self.end[place]) if found else None


def columns_of(pieces: list[Piece]) -> Columns:
    """The same of objects, without what only objects have."""
    numbers = [
        (p.start, p.end, p.root, p.unwind, p.opaque, p.falls_through, *p.rows)
        for p in sorted(pieces, key=lambda piece: piece.start)
    ]
    rows = np.array(numbers, dtype=np.int64).reshape(-1, 8).T
    return Columns(
        start=rows[0], end=rows[1], root=rows[2], unwind=rows[3], opaque=rows[4] != 0,
        falls_through=rows[5] != 0, first=rows[6], last=rows[7],
    )  # fmt: skip
