"""Aligning the code of a changed function with its old code, instruction by instruction."""

from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from hpbuild.code.decode import instructions
from hpbuild.code.model import I64
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side

MAX_INSTRUCTIONS = 20_000


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
        matcher = SequenceMatcher(None, [s.text for s in ours], [s.text for s in theirs], autojunk=False)
        for a, b, size in matcher.get_matching_blocks():
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
    pairs, counts = np.unique(np.stack([left[ok], right[ok]]), axis=1, return_counts=True)
    order = np.lexsort((pairs[1], pairs[0], -counts))
    return pairs[0][order], pairs[1][order]


def first_difference(fixed: Side, baseline: Side, fragment: int, partner: int) -> tuple[int, int]:
    """RVAs of the first instruction that differs in form, on both sides (-1 at the end of one)."""
    ours, theirs = steps(fixed, fragment), steps(baseline, partner)
    for one, two in zip(ours, theirs, strict=False):
        if one.text != two.text:
            return one.rva, two.rva
    shorter = min(len(ours), len(theirs))
    return (
        ours[shorter].rva if len(ours) > shorter else -1,
        theirs[shorter].rva if len(theirs) > shorter else -1,
    )
