"""References of code, found with capstone: what each instruction of a fragment names outside of it."""

from dataclasses import fields

import numpy as np

from hpbuild.dataclass import dataclass, replace
from hpbuild.prove.heads import Heads
from hpbuild.prove.image_base import Limits, image_base_operands
from hpbuild.prove.pieces import Found, Pieces
from hpbuild.prove.records import Flags
from hpbuild.prove.references import Bytes, Numbers, References, among, ascending, join, take


@dataclass(frozen=True, slots=True)
class Decoded:
    """``undecodable`` holds (RVA, row) of the first byte of each run that is no instruction;
    ``instructions`` counts what was decoded."""

    references: References
    undecodable: tuple[tuple[int, int], ...]
    instructions: int


@dataclass(frozen=True, slots=True)
class Known:
    """Code that was decoded before anybody claimed anything of it: ``pieces`` of the image in
    ``heads.memory``, ascending and apart, what was found in each, and the ``operands`` of all together that
    count from the image base. It says something of exactly these pieces and of nothing else."""

    heads: Heads
    pieces: Pieces
    found: Found
    operands: References

    @classmethod
    def of(cls, memory: Bytes, pieces: Pieces, limits: Limits) -> "Known":
        """Decode pieces that lie in ``memory``, in any order; of some that overlap one. ``limits`` as in
        ``references``."""
        order = ascending(pieces.begin)
        begin, end = pieces.begin[order], pieces.end[order]
        reached = np.maximum.accumulate(np.append(0, end))[:-1]
        pieces = pieces.take(order[(begin >= reached) & (begin < end) & (end <= len(memory))])
        heads = Heads(memory)
        found = Found.of(heads, pieces)
        bases = found.bases(pieces.function)
        rows = np.flatnonzero(among(pieces.function, np.array(sorted(bases), dtype=np.int64)))
        sets = [bases[function] for function in pieces.function[rows].tolist()]
        operands = image_base_operands(heads, pieces.begin[rows], pieces.end[rows], sets, limits)
        operands.row[:] = rows[operands.row]
        return cls(heads, pieces, found, operands)

    def places(self, pieces: Pieces) -> Numbers:
        """For each piece which of those here it is, or -1."""
        nowhere = np.full(len(pieces), -1, dtype=np.int64)
        if not len(self.pieces) or (pieces.begin[1:] < pieces.end[:-1]).any():
            return nowhere
        place = np.maximum(np.searchsorted(self.pieces.begin, pieces.begin, side="right") - 1, 0)
        same = np.ones(len(pieces), dtype=np.bool_)
        for column in fields(Pieces):
            same &= getattr(self.pieces, column.name)[place] == getattr(pieces, column.name)
        return np.where(same, place, nowhere)

    def found_in(self, pieces: Pieces, place: Numbers) -> Found:
        """What is in other ``pieces``, of which those at a ``place`` are known."""
        rest = np.flatnonzero(place < 0)
        here = np.flatnonzero(place >= 0)
        rows = np.full(len(self.pieces), -1, dtype=np.int64)
        rows[place[here]] = here
        known = self.found.moved(rows, len(pieces))
        if not len(rest):
            return known
        return known.and_also(Found.of(self.heads, pieces.take(rest)).moved(rest, len(pieces)))

    def whole(self, functions: Numbers, owner: Numbers, place: Numbers) -> Flags:
        """For pieces of ``functions``: is all that is known of the ``owner`` of each among them, and nothing
        else of it? Then the operands here are theirs."""
        mine = self.pieces.function[among(self.pieces.function, functions)]
        known, all_, same = (
            np.bincount(np.searchsorted(functions, some), minlength=len(functions))
            for some in (mine, owner, owner[place >= 0])
        )
        result: Flags = ((known == same) & (all_ == same))[np.searchsorted(functions, owner)]
        return result

    def operands_in(self, rows: Numbers, place: Numbers) -> References:
        """The operands of pieces at a ``place``, which are now ``rows``."""
        now = np.full(len(self.pieces), -1, dtype=np.int64)
        now[place] = rows
        picked = take(self.operands, np.flatnonzero(now[self.operands.row] >= 0))
        return replace(picked, row=now[picked.row])


def references(memory: Bytes, pieces: Pieces, limits: Limits, known: Known | None = None) -> Decoded:
    """Decode ``pieces`` of an image that lies in ``memory`` (contiguous, indexed by RVA); ``known`` is what
    was decoded of it before.

    The ``row`` of a reference is the index of its piece; references come by piece and address, those relative
    to the image base behind all others. ``limits`` are the RVAs ``[low, high)`` that a displacement relative
    to the image base may hold.
    """
    known = known or Known.of(memory, Pieces.of([]), limits)
    place = known.places(pieces)
    found = known.found_in(pieces, place)
    bases = found.bases(pieces.function)
    functions = np.array(sorted(bases), dtype=np.int64)
    rows = np.flatnonzero(among(pieces.function, functions))
    whole = known.whole(functions, pieces.function[rows], place[rows])
    anew = rows[~whole]
    sets = [bases[function] for function in pieces.function[anew].tolist()]
    more = image_base_operands(known.heads, pieces.begin[anew], pieces.end[anew], sets, limits)
    more.row[:] = anew[more.row]
    operands = join([known.operands_in(rows[whole], place[rows[whole]]), more])
    return Decoded(
        join([found.references, take(operands, ascending(operands.row))]), found.bad, int(found.counts.sum())
    )
