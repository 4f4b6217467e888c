"""References of code, found with capstone: what each instruction of a fragment names outside of it."""

from collections.abc import Iterable

import numpy as np

from hpbuild.dataclass import dataclass
from hpbuild.prove.heads import BRANCH, RELATIVE, Heads, number
from hpbuild.prove.image_base import image_base_operands
from hpbuild.prove.lanes import Walk, walk
from hpbuild.prove.references import Bytes, Form, Numbers, References, Use, join, signed


@dataclass(frozen=True, slots=True)
class Decoded:
    """``undecodable`` holds (RVA, row) of the first byte of each run that is no instruction;
    ``instructions`` counts what was decoded."""

    references: References
    undecodable: tuple[tuple[int, int], ...]
    instructions: int


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


def references(memory: Bytes, pieces: Pieces, limits: tuple[int, int]) -> Decoded:
    """Decode ``pieces`` of an image that lies in ``memory`` (contiguous, indexed by RVA).

    The ``row`` of a reference is the index of its piece; references come by piece and address, those relative
    to the image base behind all others. ``limits`` are the RVAs ``[low, high)`` that a displacement relative
    to the image base may hold.
    """
    heads = Heads(memory)
    found = walk(heads, pieces.begin, pieces.end, RELATIVE | BRANCH)
    relative, bases = _relative(heads, pieces, found)
    parts = [relative]
    rows = np.flatnonzero(np.isin(pieces.function, np.array(list(bases), dtype=np.int64)))
    if len(rows):
        sets = [bases[function] for function in pieces.function[rows].tolist()]
        more = image_base_operands(heads, pieces.begin[rows], pieces.end[rows], sets, limits)
        more.row[:] = rows[more.row]
        parts.append(more)
    return Decoded(join(parts), found.bad, found.instructions)


def _relative(heads: Heads, pieces: Pieces, found: Walk) -> tuple[References, dict[int, set[int]]]:
    """RIP-relative operands and the branches that leave their fragment, and by function the registers that
    took the image base."""
    facts = heads.facts()[number(found.packed)]
    site, width, use = found.at + facts[:, 0], facts[:, 1], facts[:, 2]
    after = found.at + (found.packed & 0xF)
    target = after + np.where(width == 1, signed(heads.memory, site, 1), signed(heads.memory, site, 4))
    inside = (target >= pieces.low[found.row]) & (target < pieces.high[found.row])
    taken = (use == Use.ADDRESS) & (target == 0)
    bases: dict[int, set[int]] = {}
    functions = pieces.function[found.row[taken]].tolist()
    for function, register in zip(functions, facts[taken, 3].tolist(), strict=True):
        bases.setdefault(function, set()).add(register)
    kept = (use != Use.BRANCH) | ~inside
    return (
        References(
            site=site[kept],
            width=width[kept],
            anchor=after[kept],
            form=np.full(int(kept.sum()), int(Form.RELATIVE), dtype=np.int64),
            use=use[kept],
            row=found.row[kept],
        ),
        bases,
    )
