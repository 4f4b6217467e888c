"""Refusals for bytes that would be carried without being understood: hidden addresses, data in code."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import I64, FieldForm
from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import is_filler, referenced
from hpbuild.plan.objects import extent
from hpbuild.plan.selection import Selection

Words = npt.NDArray[np.uint32]
_BLOCK = 4096
MIN_WORDS = 2
"""Differing words below which agreement with the address map may be chance."""


def hidden(comparison: Comparison, selection: Selection) -> list[Finding]:
    """Findings for carried constants and functions whose bytes may hide addresses."""
    return [
        *_moved_words(comparison, selection),
        *_cut_tables(comparison, selection),
        *_unknown_parts(comparison, selection),
    ]


def _moved_words(comparison: Comparison, selection: Selection) -> list[Finding]:
    """Changed constants in which every differing word is an address, or a distance from the constant, whose
    counterpart the baseline has: nothing changed but where things lie, and nobody said that these words
    are addresses."""
    findings = []
    for members, _ in selection.objects.values():
        place = int(comparison.data.baseline[members[0]])
        if place < 0 or comparison.fixed.atoms.memory[members[0]] != Memory.RODATA:
            continue
        run = extent(comparison.fixed, members)
        limit = comparison.baseline.program.image.size_of_image
        length = min(len(run), limit - place) // 4 * 4
        if length < MIN_WORDS * 4:
            continue
        ours = comparison.fixed.masked[run.start : run.start + length].view("<u4")
        theirs = comparison.baseline.masked[place : place + length].view("<u4")
        rows = np.flatnonzero(ours != theirs)
        if len(rows) < MIN_WORDS:
            continue
        absolute = all(counterpart(comparison, one) == other for one, other in _pairs(ours, theirs, rows))
        if absolute or all(
            counterpart(comparison, run.start + _signed(one)) == place + _signed(other)
            for one, other in _pairs(ours, theirs, rows)
        ):
            cause = f"{len(rows)} words differ as their targets moved"
            findings.append(Finding(codes.UNSEEN_ADDRESS, f"data at {run.start:#x}", cause))
    return findings


def _pairs(ours: Words, theirs: Words, rows: I64) -> Iterator[tuple[int, int]]:
    """The words of both at ``rows``, some at a time: the first pair mostly decides, of a million."""
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK]
        yield from zip(ours[block].tolist(), theirs[block].tolist(), strict=True)


def _cut_tables(comparison: Comparison, selection: Selection) -> list[Finding]:
    """Carried jump tables with bytes behind their last entry that nothing names: more entries, perhaps."""
    side, fields = comparison.fixed, comparison.fixed.program.fields
    findings = []
    for members, _ in selection.objects.values():
        for atom in members:
            low, high = int(side.atoms.first_field[atom]), int(side.atoms.last_field[atom])
            if low == high or fields.form[high - 1] != FieldForm.TABLE32:
                continue
            end, stop = int(fields.site[high - 1]) + 4, int(side.atoms.end[atom])
            rest = side.program.image.read(end, stop - end)
            if len(rest) >= 4 and rest.strip(b"\0"):
                cause = f"{len(rest)} bytes behind its jump table"
                findings.append(
                    Finding(codes.UNSEEN_ADDRESS, f"data at {int(side.atoms.start[atom]):#x}", cause)
                )
    return findings


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def counterpart(comparison: Comparison, rva: int) -> int:
    """Where the baseline has what lies at ``rva`` of the fixed image; -1 when that is not known."""
    fragment = comparison.fixed.program.fragment_at(rva) if rva >= 0 else -1
    if fragment >= 0 and comparison.pairing.fixed[fragment] >= 0:
        start = int(comparison.baseline.program.fragments.start[comparison.pairing.fixed[fragment]])
        return start + rva - int(comparison.fixed.program.fragments.start[fragment])
    atom = comparison.fixed.atoms.one(rva) if rva >= 0 else -1
    if atom >= 0 and comparison.data.baseline[atom] >= 0:
        return int(comparison.data.baseline[atom]) + rva - int(comparison.fixed.atoms.start[atom])
    return -1


def _unknown_parts(comparison: Comparison, selection: Selection) -> list[Finding]:
    """Carried functions with bytes inside their ranges that are neither code nor data that is carried too."""
    side = comparison.fixed
    fragments = side.program.fragments
    named = referenced(side)
    findings = []
    for index in np.flatnonzero(fragments.opaque).tolist():
        root = int(fragments.root[index])
        atom = side.atoms.one(int(fragments.start[index]))
        if root not in selection.functions or root == index or atom < 0 or atom in selection.object_of:
            continue
        if not is_filler(side, atom, named):
            start, end = int(fragments.start[index]), int(fragments.end[index])
            cause = f"{end - start} bytes at {start:#x}"
            findings.append(Finding(codes.CODE_AS_DATA, side.program.name_of(root), cause))
    return findings
