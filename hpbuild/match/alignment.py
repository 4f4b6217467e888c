"""Aligning the code of a changed function with its old code, instruction by instruction."""

from collections.abc import Iterator
from itertools import pairwise, zip_longest

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.decode import instructions
from hpbuild.code.model import I64, U8
from hpbuild.dataclass import dataclass
from hpbuild.match.common_runs import common_runs
from hpbuild.match.pairing import Pairing, counted_pairs
from hpbuild.match.sides import Side

MAX_INSTRUCTIONS = 20_000
LONGEST_INSTRUCTION = 15
"""Bytes (Intel SDM volume 2, 2.3.11)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its masked bytes, RVA and the rows of its references."""

    text: bytes
    rva: int
    references: tuple[int, ...]


def steps(side: Side, fragment: int) -> list[Step]:
    """The instructions of a fragment as comparable steps."""
    fragments, references = side.program.fragments, side.program.references
    start, end = int(fragments.start[fragment]), int(fragments.end[fragment])
    row, last = int(side.first[fragment]), int(side.last[fragment])
    sites: list[int] = references.site[row:last].tolist()
    text, at, found = side.masked[start:end].tobytes(), 0, list[Step]()
    for insn in instructions(side.program.image.read(start, end - start), start):
        rva, behind, first = int(insn.ip), int(insn.next_ip), at
        while at < len(sites) and sites[at] < behind:
            at += 1
        found.append(Step(text[rva - start : behind - start], rva, tuple(range(row + first, row + at))))
    return found


@dataclass(frozen=True, slots=True)
class _Listing:
    """The instructions of a fragment in columns: their masked bytes, and the rows of their references, from
    ``first`` to ``last``."""

    texts: list[bytes]
    first: I64
    last: I64

    @classmethod
    def of(cls, side: Side, fragment: int) -> "_Listing":
        fragments, references = side.program.fragments, side.program.references
        start, end = int(fragments.start[fragment]), int(fragments.end[fragment])
        row, last = int(side.first[fragment]), int(side.last[fragment])
        sizes = [insn.len for insn in instructions(side.program.image.read(start, end - start), start)]
        ends = np.cumsum([0, *sizes])
        bounds, text = ends.tolist(), side.masked[start:end].tobytes()
        rows = row + references.site[row:last].searchsorted(start + ends)
        return cls([text[low:high] for low, high in pairwise(bounds)], rows[:-1], rows[1:])

    def __len__(self) -> int:
        return len(self.texts)


def aligned_references(fixed: Side, baseline: Side, pairing: Pairing, changed: I64) -> tuple[I64, I64]:
    """Reference rows (fixed, baseline) that stand at the same place in the code of changed pairs."""
    left, right = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for fragment in changed.tolist():
        ours, theirs = _Listing.of(fixed, fragment), _Listing.of(baseline, int(pairing.fixed[fragment]))
        if max(len(ours), len(theirs)) > MAX_INSTRUCTIONS:
            continue
        blocks = np.array(common_runs(ours.texts, theirs.texts), dtype=np.int64).reshape(-1, 3)
        one, two = (members(begin, begin + blocks[:, 2]) for begin in (blocks[:, 0], blocks[:, 1]))
        alike = ours.last[one] - ours.first[one] == theirs.last[two] - theirs.first[two]
        one, two = one[alike], two[alike]
        left.append(members(ours.first[one], ours.last[one]))
        right.append(members(theirs.first[two], theirs.last[two]))
    return np.concatenate(left), np.concatenate(right)


def aligned_atoms(fixed: Side, baseline: Side, rows: tuple[I64, I64]) -> tuple[I64, I64]:
    """Atom pairs named by aligned references, most often named first."""
    left, right = fixed.targets.atom[rows[0]], baseline.targets.atom[rows[1]]
    ok = (left >= 0) & (right >= 0)
    if not ok.any():
        return left[:0], right[:0]
    left, right, counts = counted_pairs(left[ok], right[ok])
    order = np.argsort(-counts, kind="stable")
    return left[order], right[order]


def first_difference(fixed: Side, baseline: Side, fragment: int, partner: int) -> tuple[int, int]:
    """RVAs of the first instruction that differs in form, on both sides (-1 at the end of one)."""
    ours, theirs = _masked_code(fixed, fragment), _masked_code(baseline, partner)
    size = min(len(ours), len(theirs))
    differ = np.flatnonzero(ours[:size] != theirs[:size])
    # No instruction from here on begins before the first difference.
    end = (int(differ[0]) if len(differ) else size) + 2 * LONGEST_INSTRUCTION
    rows = zip_longest(_texts(fixed, fragment, ours[:end]), _texts(baseline, partner, theirs[:end]))
    for one, two in rows:
        if one is None or two is None or one[1] != two[1]:
            return one[0] if one else -1, two[0] if two else -1
    return -1, -1


def _masked_code(side: Side, fragment: int) -> U8:
    fragments = side.program.fragments
    return side.masked[int(fragments.start[fragment]) : int(fragments.end[fragment])]


def _texts(side: Side, fragment: int, masked: U8) -> Iterator[tuple[int, bytes]]:
    """RVAs and masked bytes of the instructions in the first bytes of a fragment, which are ``masked``."""
    start, text = int(side.program.fragments.start[fragment]), masked.tobytes()
    for insn in instructions(side.program.image.read(start, len(text)), start):
        rva = int(insn.ip)
        yield rva, text[rva - start : rva - start + insn.len]
