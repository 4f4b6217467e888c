"""Choosing how a baseline entry is redirected (design, section 6)."""

from dataclasses import dataclass

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.decode import RefKind, instructions
from hpbuild.code.flow import jump_targets
from hpbuild.code.model import I64, FieldForm, Program
from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.errors import Finding
from hpbuild.plan.hooks import hook
from hpbuild.plan.model import RedirectionKind, RedirectionSite
from hpbuild.values import Interval, Rva

_JUMP = 5
"""Bytes of ``E9 rel32``."""
_LONGEST = 15
"""Most bytes of an instruction."""
_SHORT = 2
"""Bytes of ``EB F9``: no call is shorter, so none returns between them."""


@dataclass(frozen=True, slots=True)
class BranchTargets:
    """What leads into the baseline and what the loader writes there, ascending. ``named``: RVAs that code
    and data name; ``jumps`` and ``jumpers``: targets of jumps, and the fragments they are in;
    ``entries`` and ``rows``: targets of 4-byte fields, and those fields' rows; ``relocated``: sites of base
    relocations in code."""

    named: I64
    jumps: I64
    jumpers: I64
    entries: I64
    rows: I64
    relocated: I64

    def inside(self, start: int, end: int) -> bool:
        """True when something names an address in ``[start, end)``."""
        low, high = np.searchsorted(self.named, (start, end))
        return bool(high > low)


def branch_targets(program: Program) -> BranchTargets:
    """Collect the addresses that references and data fields of a program name."""
    references, fields = program.references, program.fields
    jump = np.flatnonzero(references.kind == RefKind.BRANCH)
    jump = jump[np.argsort(references.target[jump], kind="stable")]
    entry = np.flatnonzero((fields.form == FieldForm.ADDR32NB) | (fields.form == FieldForm.TABLE32))
    entry = entry[np.argsort(fields.target[entry], kind="stable")]
    return BranchTargets(
        named=distinct(np.concatenate([references.target, fields.target])),
        jumps=references.target[jump],
        jumpers=references.fragment[jump],
        entries=fields.target[entry],
        rows=entry,
        relocated=references.site[references.kind == RefKind.ABSOLUTE],
    )


def choose(
    program: Program, named: BranchTargets, function: int, root: int, name: str
) -> RedirectionSite | Finding:
    """The redirection for the baseline function whose first fragment is ``root``; a finding when none fits.

    ``function`` is the index of the carried function it will lead to.
    """
    fragments, image = program.fragments, program.image
    start, end = int(fragments.start[root]), int(fragments.end[root])
    insns = instructions(image.read(start, end - start), start)
    inner = jump_targets(insns)
    if not insns:
        whole = instructions(image.read(start, min(_LONGEST, image.size_of_image - start)), start)
        if whole and end < start + _JUMP and end in named.named:
            return Finding(traps.ENTRY_BRANCH, name, f"something leads to {end:#x}")
        return Finding(traps.ENTRY_UNREADABLE, name, f"the bytes at {start:#x} do not decode")
    foreign = hook(program, root)
    if foreign:
        return Finding(traps.HOOKED, name, foreign)
    looped = _part_jumps_to_entry(program, named, root) or _table_leads_to_entry(program, named, start, end)
    if start in inner or looped:
        return Finding(codes.LOOP_AT_ENTRY, name, f"a branch inside goes to {start:#x}")
    before = _filler_before(program, start)
    if before and start % 8 != 7 and insns[0].len >= _SHORT:
        pad = Interval(start - _JUMP, start + _SHORT)
        used = named.inside(pad.start, start) or _hit(inner, named, start + 1, pad.end)
        if not used and not _relocated(named, pad):
            return _site(program, function, RedirectionKind.PAD_JUMP, start, pad)
    entry = Interval(start, start + _JUMP)
    if entry.end > end and entry.end > end + _filler_after(program, end):
        cause = f"{end - start} bytes at {start:#x}, {'' if before else 'no '}filler before"
        return Finding(codes.NO_ROOM, name, cause)
    hit = _hit(inner, named, start + 1, entry.end)
    if hit:
        return Finding(traps.ENTRY_BRANCH, name, f"something leads to {min(hit):#x}")
    calls = (insn.next_ip for insn in insns[:_JUMP] if insn.is_call_near or insn.is_call_near_indirect)
    back = next((place for place in calls if place in entry and place > start), 0)
    if back:
        return Finding(traps.CALL_AT_ENTRY, name, f"a call returns to {back:#x}")
    if _relocated(named, entry):
        return Finding(traps.ENTRY_RELOCATED, name, f"an absolute address in [{start:#x}, {entry.end:#x})")
    return _site(program, function, RedirectionKind.ENTRY_JUMP, start, entry)


def _part_jumps_to_entry(program: Program, named: BranchTargets, root: int) -> bool:
    """A split-off part of the function jumps back to its entry, in the middle of the function's work."""
    fragments = program.fragments
    low, high = np.searchsorted(named.jumps, (fragments.start[root], fragments.start[root] + 1))
    return bool(np.any(fragments.root[named.jumpers[low:high]] == root))


def _table_leads_to_entry(program: Program, named: BranchTargets, start: int, end: int) -> bool:
    """A jump table of the function leads to its entry: the entry before or behind leads into its middle."""
    fields = program.fields
    low, high = named.entries.searchsorted((start, start + 1)).tolist()
    first = named.rows[low:high]
    if low == high:
        return False
    for step in (-1, 1):
        rows = first[(first + step >= 0) & (first + step < len(fields.site))]
        beside = fields.site[rows + step] - fields.site[rows] == 4 * step
        alike = fields.form[rows + step] == fields.form[rows]
        middle = (fields.target[rows + step] > start) & (fields.target[rows + step] < end)
        if np.any(beside & alike & middle):
            return True
    return False


def _relocated(named: BranchTargets, window: Interval) -> bool:
    """The loader writes into the window: its bytes in memory are not those of the file."""
    low, high = np.searchsorted(named.relocated, (window.start - 7, window.end))
    return bool(high > low)


def _hit(inner: set[int], named: BranchTargets, start: int, end: int) -> list[int]:
    """Addresses in ``[start, end)`` that something leads to."""
    low, high = np.searchsorted(named.named, (start, end))
    own = [target for target in inner if start <= target < end]
    return sorted({*own, *named.named[low:high].tolist()})


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
