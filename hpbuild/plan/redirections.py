"""Choosing how a baseline entry is redirected (design, section 6)."""

from dataclasses import dataclass

import numpy as np

from hpbuild.code.decode import RefKind, instructions
from hpbuild.code.model import FieldForm, Program
from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.plan.model import RedirectionKind, RedirectionSite
from hpbuild.values import Interval, Rva

_JUMP = 5
"""Bytes of ``E9 rel32``."""
_SHORT = 2
"""Bytes of ``EB F9``."""


@dataclass(frozen=True, slots=True)
class BranchTargets:
    """Every baseline address that something names: ascending RVAs of references and data fields."""

    named: np.ndarray[tuple[int], np.dtype[np.int64]]

    def inside(self, start: int, end: int) -> bool:
        """True when something names an address in ``[start, end)``."""
        low, high = np.searchsorted(self.named, (start, end))
        return bool(high > low)


def branch_targets(program: Program) -> BranchTargets:
    """Collect the addresses that references and data fields of a program name."""
    return BranchTargets(np.unique(np.concatenate([program.references.target, program.fields.target])))


def choose(
    program: Program, named: BranchTargets, function: int, root: int, name: str
) -> RedirectionSite | Finding:
    """The redirection for the baseline function whose first fragment is ``root``; a finding when none fits.

    ``function`` is the index of the carried function it will lead to.
    """
    fragments, image = program.fragments, program.image
    start, end = int(fragments.start[root]), int(fragments.end[root])
    insns = instructions(image.read(start, end - start), start)
    inner = {
        insn.near_branch_target for insn in insns if insn.is_jmp_short_or_near or insn.is_jcc_short_or_near
    }
    if not insns:
        return Finding(codes.NO_ROOM, name, "the entry does not decode")
    if start in inner or _part_jumps_to_entry(program, root) or _table_leads_to_entry(program, start, end):
        return Finding(codes.LOOP_AT_ENTRY, name, f"a branch inside goes to {start:#x}")
    before = _filler_before(program, start)
    if before and start % 8 != 7 and insns[0].len >= _SHORT:
        pad = Interval(start - _JUMP, start + _SHORT)
        used = named.inside(pad.start, start) or _hit(inner, named, start + 1, pad.end)
        if not used and not _relocated(program, pad):
            return _site(program, function, RedirectionKind.PAD_JUMP, start, pad)
    entry = Interval(start, start + _JUMP)
    used = _hit(inner, named, start + 1, entry.end) or _relocated(program, entry)
    if entry.end <= end + _filler_after(program, end) and not used:
        return _site(program, function, RedirectionKind.ENTRY_JUMP, start, entry)
    cause = f"{end - start} bytes at {start:#x}, {'' if before else 'no '}filler before"
    return Finding(codes.NO_ROOM, name, cause)


def _part_jumps_to_entry(program: Program, root: int) -> bool:
    """A split-off part of the function jumps back to its entry, in the middle of the function's work."""
    references, fragments = program.references, program.fragments
    rows = np.flatnonzero((references.target == fragments.start[root]) & (references.kind == RefKind.BRANCH))
    return bool(np.any(fragments.root[references.fragment[rows]] == root))


def _table_leads_to_entry(program: Program, start: int, end: int) -> bool:
    """A jump table of the function leads to its entry: the entry before or behind leads into its middle."""
    fields = program.fields
    short = (fields.form == FieldForm.ADDR32NB) | (fields.form == FieldForm.TABLE32)
    middle = short & (fields.target > start) & (fields.target < end)
    beside = (np.diff(fields.site) == 4) & (np.diff(fields.form.astype(np.int64)) == 0)
    first = short & (fields.target == start)
    return bool(np.any(beside & ((first[:-1] & middle[1:]) | (middle[:-1] & first[1:]))))


def _relocated(program: Program, window: Interval) -> bool:
    """The loader writes into the window: its bytes in memory are not those of the file."""
    references = program.references
    sites = references.site[references.kind == RefKind.ABSOLUTE]
    return bool(np.any((sites + 8 > window.start) & (sites < window.end)))


def _hit(inner: set[int], named: BranchTargets, start: int, end: int) -> bool:
    return named.inside(start, end) or any(start <= target < end for target in inner)


def _site(
    program: Program, function: int, kind: RedirectionKind, entry: int, window: Interval
) -> RedirectionSite:
    old = program.image.read(window.start, len(window))
    return RedirectionSite(function=function, kind=kind, entry=Rva(entry), window=window, old=old)


def _filler_before(program: Program, start: int) -> bool:
    """The five bytes before ``start`` are filler of one padding run."""
    return _in_padding(program, start - _JUMP, start)


def _filler_after(program: Program, end: int) -> int:
    """Bytes of filler directly behind ``end``, as far as a jump may need."""
    return max((size for size in range(_JUMP + 1) if _in_padding(program, end, end + size)), default=0)


def _in_padding(program: Program, start: int, end: int) -> bool:
    index = int(np.searchsorted(program.padding[:, 0], start, side="right")) - 1
    return index >= 0 and end <= int(program.padding[index, 1])
