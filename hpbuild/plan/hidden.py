"""Refusals for bytes that would be carried without being understood: hidden addresses, data in code."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import members as within
from hpbuild.code.model import I64, FieldForm
from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import is_filler, referenced
from hpbuild.match.sides import Side
from hpbuild.plan.selection import Selection

Words = npt.NDArray[np.uint32]
_BLOCK = 4096
_TOGETHER = 1 << 20
"""Bytes that are compared in one go."""
_LINE, _WIDEST = 4, 8
"""Bytes of a line number, and of the widest field."""
_FORM_WIDTHS = np.full(len(FieldForm), 4)
_FORM_WIDTHS[FieldForm.ADDR64] = 8
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
    for start, place, ours, theirs in _differing(comparison, selection):
        absolute = all(counterpart(comparison, one) == other for one, other in _pairs(ours, theirs))
        if absolute or all(
            counterpart(comparison, start + _signed(one)) == place + _signed(other)
            for one, other in _pairs(ours, theirs)
        ):
            cause = f"{len(ours)} words differ as their targets moved"
            findings.append(Finding(codes.UNSEEN_ADDRESS, f"data at {start:#x}", cause))
    return findings


def _pairs(ours: Words, theirs: Words) -> Iterator[tuple[int, int]]:
    """The words of both, some at a time: an early pair mostly decides, of a million."""
    for first in range(0, len(ours), _BLOCK):
        block = slice(first, first + _BLOCK)
        yield from zip(ours[block].tolist(), theirs[block].tolist(), strict=True)


def _differing(comparison: Comparison, selection: Selection) -> Iterator[tuple[int, int, Words, Words]]:
    """(address, place in the baseline, words that differ, the baseline's words there) of the constants of
    which more words differ than may do so by chance, and the first of them as its target moved. What one side
    knows as an address is zero on that side."""
    fixed, baseline, data = comparison.fixed, comparison.baseline, comparison.data
    first, last = selection.first, selection.last
    start, place = fixed.atoms.start[first], data.baseline[first]
    limit = baseline.program.image.size_of_image
    length = np.minimum(fixed.atoms.end[last] - start, limit - place) // 4 * 4
    rows = np.flatnonzero(
        (place >= 0) & (fixed.atoms.memory[first] == Memory.RODATA) & (length >= MIN_WORDS * 4)
    )
    batch = np.cumsum(length[rows]) // _TOGETHER
    for some in np.split(rows, np.flatnonzero(np.diff(batch)) + 1):
        yield from _differing_words(comparison, start[some], place[some], length[some])


def _differing_words(
    comparison: Comparison, start: I64, place: I64, length: I64
) -> Iterator[tuple[int, int, Words, Words]]:
    """``_differing`` of runs with their lengths."""
    ours = _masked(comparison.fixed, comparison.lines.fixed, start, length)
    theirs = _masked(comparison.baseline, comparison.lines.baseline, place, length)
    rows = np.flatnonzero(ours != theirs)
    bounds = rows.searchsorted(np.append(0, np.cumsum(length // 4)))
    found = np.flatnonzero(np.diff(bounds) >= MIN_WORDS)
    one, other = (words[rows[bounds[found]]].astype(np.int64) for words in (ours, theirs))
    near, far = (words.astype(np.int32).astype(np.int64) for words in (one, other))
    moved = counterparts(comparison, one) == other
    moved |= counterparts(comparison, start[found] + near) == place[found] + far
    for number in found[moved].tolist():
        some = rows[bounds[number] : bounds[number + 1]]
        yield int(start[number]), int(place[number]), ours[some], theirs[some]


def _masked(side: Side, lines: tuple[int, ...], start: I64, length: I64) -> Words:
    """The words of the runs, one behind the other, with all zero that belongs to a reference of code, a field
    in data or one of ``lines``."""
    content = np.concatenate(
        [
            side.program.image.memory[low:high]
            for low, high in zip(start.tolist(), (start + length).tolist(), strict=True)
        ]
        or [np.zeros(0, dtype=np.uint8)]
    )
    references, fields = side.program.references, side.program.fields
    site = np.array(sorted(lines), dtype=np.int64)
    before, end = np.cumsum(length) - length, start + length
    for sites, widths in (
        (references.site, references.width),
        (fields.site, _FORM_WIDTHS[fields.form]),
        (site, np.full(len(site), _LINE)),
    ):
        low, high = (sites.searchsorted(at.astype(sites.dtype)) for at in (start - _WIDEST + 1, end))
        rows, run = within(low, high), np.repeat(np.arange(len(start)), high - low)
        width, at = widths[rows], sites[rows].astype(np.int64) - start[run]
        for byte in range(_WIDEST):
            inside = (byte < width) & (at + byte >= 0) & (at + byte < length[run])
            content[(before[run] + at + byte)[inside]] = 0
    words: Words = content.view("<u4")
    return words


def _cut_tables(comparison: Comparison, selection: Selection) -> list[Finding]:
    """Carried jump tables with bytes behind their last entry that nothing names: more entries, perhaps."""
    side, fields = comparison.fixed, comparison.fixed.program.fields
    atoms = np.fromiter(selection.object_of, np.int64, len(selection.object_of))
    atoms = atoms[side.atoms.first_field[atoms] < side.atoms.last_field[atoms]]
    field = side.atoms.last_field[atoms] - 1
    tables = fields.form[field] == FieldForm.TABLE32
    findings = []
    for atom, site in zip(atoms[tables].tolist(), fields.site[field[tables]].tolist(), strict=True):
        rest = side.program.image.read(site + 4, int(side.atoms.end[atom]) - site - 4)
        if len(rest) >= 4 and rest.strip(b"\0"):
            cause = f"{len(rest)} bytes behind its jump table"
            findings.append(Finding(codes.UNSEEN_ADDRESS, f"data at {int(side.atoms.start[atom]):#x}", cause))
    return findings


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def counterparts(comparison: Comparison, rva: I64) -> I64:
    """``counterpart`` of each address."""
    fixed, data = comparison.fixed, comparison.data
    ours, theirs = fixed.program.fragments, comparison.baseline.program.fragments
    found = np.full(len(rva), -1, dtype=np.int64)
    fragment = ours.start.searchsorted(rva, side="right") - 1
    inside = np.flatnonzero((fragment >= 0) & (rva < np.append(ours.end, 0)[fragment]))
    partner = comparison.pairing.fixed[fragment[inside]]
    code, partner = inside[partner >= 0], partner[partner >= 0]
    found[code] = theirs.start[partner] + rva[code] - ours.start[fragment[code]]
    rest = np.ones(len(rva), dtype=np.bool_)
    rest[code] = False
    atom = fixed.atoms.at(rva)
    held = np.flatnonzero(rest & (atom >= 0))
    held = held[data.baseline[atom[held]] >= 0]
    found[held] = data.baseline[atom[held]] + rva[held] - fixed.atoms.start[atom[held]]
    return found


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
    carried = np.zeros(len(fragments), dtype=np.bool_)
    carried[list(selection.functions)] = True
    inner = np.flatnonzero(fragments.opaque)
    inner = inner[carried[fragments.root[inner]] & (fragments.root[inner] != inner)]
    atoms = side.atoms.at(fragments.start[inner])
    rest = [
        (index, atom)
        for index, atom in zip(inner.tolist(), atoms.tolist(), strict=True)
        if atom >= 0 and atom not in selection.object_of
    ]
    named = referenced(side) if rest else np.zeros(0, dtype=np.bool_)
    findings = []
    for index, atom in rest:
        root = int(fragments.root[index])
        if not is_filler(side, atom, named):
            start, end = int(fragments.start[index]), int(fragments.end[index])
            cause = f"{end - start} bytes at {start:#x}"
            findings.append(Finding(codes.CODE_AS_DATA, side.program.name_of(root), cause))
    return findings
