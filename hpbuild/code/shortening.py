"""What is left of code that was cut off: what it refers to, and whether control leaves behind its last byte.

Up to the cut the instructions are the same as before, so only the last of them are decoded again: of all
others it is known what they refer to. Two things could be different. The cut may lie in an instruction, and a
jump that stayed in the code may lead over the cut now. Where that may be so all of the code is decoded again.
"""

from collections.abc import Sequence

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.decode import KIND_MASK, RefKind
from hpbuild.code.layout import Block, Layout, rescan
from hpbuild.code.leaps import SHORT, may_lead
from hpbuild.code.model import I64
from hpbuild.code.pieces import Piece
from hpbuild.code.scanning import scan_runs
from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cuts:
    """Columns of pieces: where each begins, ends now and ended before; where the end of it begins that is
    decoded again, and the rows ``[first, last)`` of the references in front of that."""

    start: I64
    stop: I64
    before: I64
    begin: I64
    first: I64
    last: I64


def rescan_ends(image: Image, layout: Layout, pieces: Sequence[Piece], before: Sequence[int]) -> None:
    """``rescan`` of ``pieces``, which ended at ``before`` when they were scanned."""
    if not pieces:
        return
    rows = layout.merged()
    cuts = _cuts(rows, pieces, before)
    tails = scan_runs(image, cuts.begin, cuts.stop)
    kept, new = members(cuts.first, cuts.last), members(tails.first, tails.ends)
    numbers = np.arange(len(pieces))
    before_end = np.repeat(numbers, cuts.last - cuts.first)
    owner = np.repeat(numbers, tails.ends - tails.first)
    target, meta = tails.target[new], tails.meta[new]
    into = (target >= cuts.start[owner]) & (target < cuts.stop[owner])
    leaves = ~into | (meta & KIND_MASK != RefKind.BRANCH)
    found = np.stack([tails.site[new], target, meta])[:, leaves]
    owner = np.concatenate([before_end, owner[leaves]])
    before_those = np.stack([column[kept] for column in rows])
    found = np.concatenate([before_those, found], axis=1)[:, np.argsort(owner, kind="stable")]
    counts = np.bincount(owner, minlength=len(pieces))
    last = np.cumsum(counts) + layout.append((found[0], found[1], found[2]))
    facts = zip(pieces, (last - counts).tolist(), last.tolist(), tails.falls_through.tolist(), strict=True)
    for piece, low, high, falls in facts:
        piece.rows, piece.falls_through = (low, high), falls
    over = may_lead(image, cuts.start, cuts.begin, cuts.stop, cuts.before)
    again = (tails.sizes < cuts.stop - cuts.begin) | over
    rescan(image, layout, [pieces[index] for index in np.flatnonzero(again).tolist()])


def _cuts(rows: Block, pieces: Sequence[Piece], before: Sequence[int]) -> _Cuts:
    """An end has all short jumps that reach the cut. It begins behind a reference, and in front of another
    one that no no-operation makes: else it could have none but those, and control come from before them."""
    start, stop, first, last = np.array(
        [(piece.start, piece.end, *piece.rows) for piece in pieces], dtype=np.int64
    ).T
    index, owner = members(first, last), np.repeat(np.arange(len(pieces)), last - first)
    chosen = (rows[2][index] & KIND_MASK <= RefKind.LEA) & (_behind(rows, index) <= stop[owner] - SHORT)
    kept = first.copy()
    kept[owner[chosen]] = index[chosen]  # the last counts
    begin, some = start.copy(), np.flatnonzero(kept > first)
    begin[some] = _behind(rows, kept[some] - 1)
    ends = np.array(before, dtype=np.int64)
    return _Cuts(start=start, stop=stop, before=ends, begin=begin, first=first, last=kept)


def _behind(rows: Block, numbers: I64) -> I64:
    """Where the instructions end that make these references."""
    meta = rows[2][numbers]
    found: I64 = rows[0][numbers] + (meta >> 4 & 15).astype(np.int64) + (meta >> 8 & 15)
    return found
