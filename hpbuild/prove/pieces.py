"""Pieces of code, and what capstone finds in each by itself."""

from collections.abc import Iterable
from dataclasses import fields

import numpy as np

from hpbuild.dataclass import dataclass, replace
from hpbuild.prove.heads import BRANCH, OFFSET, RELATIVE, SIZE, USE, WIDTH, WRITTEN, Heads
from hpbuild.prove.lanes import Walk, walk
from hpbuild.prove.references import Form, Numbers, References, Use, ascending, join, signed, take

_AT_ONCE = 1 << 16
"""Instructions that are looked at together: their columns fit the processor's cache."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """Columns of code to decode, ``[begin, end)``: a part of the fragment ``[low, high)`` of the function
    ``function`` (any number that its fragments share). A branch within the fragment is no reference."""

    begin: Numbers
    end: Numbers
    low: Numbers
    high: Numbers
    function: Numbers

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int, int, int]]) -> "Pieces":
        """Pieces from rows (begin, end, low, high, function)."""
        table = np.array(list(rows), dtype=np.int64).reshape(-1, 5)
        return cls(*(np.ascontiguousarray(column) for column in table.T))

    def __len__(self) -> int:
        return len(self.begin)

    def take(self, rows: Numbers) -> "Pieces":
        """Some of them."""
        return Pieces(*(getattr(self, column.name)[rows] for column in fields(Pieces)))


@dataclass(frozen=True, slots=True)
class Found:
    """What is in pieces of code, of each by itself: its ``references``, which are those of RIP-relative
    operands and of branches that leave its fragment; rows (piece, register) where a register ``takes`` the
    image base; ``bad`` as in a ``Walk``, ``counts`` its instructions by piece."""

    references: References
    takes: Numbers
    bad: tuple[tuple[int, int], ...]
    counts: Numbers

    @classmethod
    def of(cls, heads: Heads, pieces: Pieces) -> "Found":
        """Decode them."""
        found = walk(heads, pieces.begin, pieces.end, RELATIVE | BRANCH)
        ends = range(0, max(len(found.at), 1), _AT_ONCE)
        parts = [_relative(heads, pieces, found, slice(first, first + _AT_ONCE)) for first in ends]
        return cls(
            join([part for part, _ in parts]),
            np.concatenate([takes for _, takes in parts]),
            found.bad,
            found.counts,
        )

    def moved(self, rows: Numbers, count: int) -> "Found":
        """The same, its pieces being now ``rows`` of ``count``; -1 leaves one out. All others keep their
        order."""
        references = self.references
        if (rows < 0).any():
            references = take(references, np.flatnonzero(rows[references.row] >= 0))
        takes = self.takes[rows[self.takes[:, 0]] >= 0]
        counts = np.zeros(count, dtype=np.int64)
        counts[rows[rows >= 0]] = self.counts[rows >= 0]
        return Found(
            replace(references, row=rows[references.row]),
            np.column_stack((rows[takes[:, 0]], takes[:, 1])),
            tuple((at, int(rows[row])) for at, row in self.bad if rows[row] >= 0),
            counts,
        )

    def and_also(self, other: "Found") -> "Found":
        """What is found in other pieces of the same, too."""
        references = join([self.references, other.references])
        takes = np.concatenate([self.takes, other.takes])
        return Found(
            take(references, ascending(references.row)),
            takes[ascending(takes[:, 0])],
            tuple(sorted(self.bad + other.bad, key=lambda bad: bad[1])),
            self.counts + other.counts,
        )

    def bases(self, function: Numbers) -> dict[int, set[int]]:
        """By ``function`` of its pieces the registers that take the image base."""
        found: dict[int, set[int]] = {}
        for owner, register in zip(
            function[self.takes[:, 0]].tolist(), self.takes[:, 1].tolist(), strict=True
        ):
            found.setdefault(owner, set()).add(register)
        return found


def _relative(heads: Heads, pieces: Pieces, found: Walk, part: slice) -> tuple[References, Numbers]:
    """References and ``takes`` of a part of what was found."""
    at, packed, row = found.at[part], found.packed[part], found.row[part]
    facts = heads.facts(packed)
    site, width, use = at + facts[OFFSET], facts[WIDTH], facts[USE]
    after = at + (packed & SIZE)
    target = after + np.where(width == 1, signed(heads.memory, site, 1), signed(heads.memory, site, 4))
    inside = (target >= pieces.low[row]) & (target < pieces.high[row])
    takes = np.flatnonzero((use == Use.ADDRESS) & (target == 0))
    kept = np.flatnonzero((use != Use.BRANCH) | ~inside)
    references = References(
        site=site[kept],
        width=width[kept].astype(np.int64),
        anchor=after[kept],
        form=np.full(len(kept), int(Form.RELATIVE), dtype=np.int64),
        use=use[kept].astype(np.int64),
        row=row[kept],
    )
    return references, np.column_stack((row[takes], facts[WRITTEN][takes].astype(np.int64)))
