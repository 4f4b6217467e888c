"""Aligning the code of a changed function with its old code, instruction by instruction."""

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np

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


def aligned_references(fixed: Side, baseline: Side, pairing: Pairing, changed: I64) -> tuple[I64, I64]:
    """Reference rows (fixed, baseline) that stand at the same place in the code of changed pairs."""
    left: list[int] = []
    right: list[int] = []
    for fragment in changed.tolist():
        ours, theirs = steps(fixed, fragment), steps(baseline, int(pairing.fixed[fragment]))
        if max(len(ours), len(theirs)) > MAX_INSTRUCTIONS:
            continue
        for a, b, size in common_runs([step.text for step in ours], [step.text for step in theirs]):
            for one, two in zip(ours[a : a + size], theirs[b : b + size], strict=True):
                if len(one.references) == len(two.references):
                    left += one.references
                    right += two.references
    return np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)


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
