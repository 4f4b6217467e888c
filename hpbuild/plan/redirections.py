"""Choosing how a baseline entry is redirected (design, section 6)."""

from collections.abc import Sequence

import numpy as np

from hpbuild.code.bodies import Head
from hpbuild.code.columns import among, distinct, members
from hpbuild.code.decode import RefKind, instructions
from hpbuild.code.model import I64, FieldForm, Program
from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.plan.cells import Cells
from hpbuild.plan.hooks import Bools, hook, may_be_hooked
from hpbuild.plan.model import RedirectionKind, RedirectionSite
from hpbuild.values import Interval, Rva

_JUMP = 5
"""Bytes of ``E9 rel32``."""
_LONGEST = 15
"""Most bytes of an instruction."""
_SHORT = 2
"""Bytes of ``EB F9``: no call is shorter, so none returns between them."""
_PAD = _JUMP + _SHORT
"""Bytes of the window of a pad jump."""


@dataclass(frozen=True, slots=True)
class BranchTargets:
    """What leads to the bytes around some entries of the baseline, and what the loader writes there,
    ascending. ``named``: RVAs that code and data name; ``jumps`` and ``jumpers``: targets of jumps, and the
    fragments they are in; ``entries`` and ``rows``: targets of 4-byte fields, and those fields' rows;
    ``relocated``: sites of base relocations in code."""

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


def branch_targets(program: Program, starts: I64) -> BranchTargets:
    """Collect the addresses from ``_JUMP`` bytes before to ``_JUMP`` bytes behind the entries at ``starts``
    that references and data fields of a program name; others may be there too."""
    references, fields = program.references, program.fields
    around = Cells(program.image.size_of_image, starts - _JUMP, starts + _JUMP)
    near, held = around.rows(references.target), around.rows(fields.target)
    jump = near[references.kind[near] == RefKind.BRANCH]
    jump = jump[np.argsort(references.target[jump], kind="stable")]
    form = fields.form[held]
    entry = held[(form == FieldForm.ADDR32NB) | (form == FieldForm.TABLE32)]
    entry = entry[np.argsort(fields.target[entry], kind="stable")]
    return BranchTargets(
        named=distinct(np.concatenate([references.target[near], fields.target[held]])),
        jumps=references.target[jump],
        jumpers=references.fragment[jump],
        entries=fields.target[entry],
        rows=entry,
        relocated=references.site[references.kind == RefKind.ABSOLUTE],
    )


class Entries:
    """Entries of baseline functions, looked at together: what each has around it, in columns. ``roots`` are
    the functions' first fragments."""

    def __init__(self, program: Program, roots: Sequence[int]) -> None:
        fragments = program.fragments
        index = np.array(roots, dtype=np.int64)
        start, end = fragments.start[index], fragments.end[index]
        self._program, self._named = program, branch_targets(program, start)
        named = self._named
        self.roots: list[int] = index.tolist()
        self.start: list[int] = start.tolist()
        self.end: list[int] = end.tolist()
        behind = _padding_end(program, start - _JUMP)
        self.before: list[bool] = (start <= behind).tolist()
        self.after: list[int] = np.clip(_padding_end(program, end) - end, 0, _JUMP).tolist()
        self.looped: list[bool] = (_parts_jump_to(program, named, index) | self._tables(index)).tolist()
        self.hooked: list[bool] = may_be_hooked(program.image, start).tolist()
        at = named.named.searchsorted
        self.filler_used: list[bool] = (at(start) > at(start - _JUMP)).tolist()
        self.pad_hit: list[bool] = (at(start + _SHORT) > at(start + 1)).tolist()
        self.jump_hit: list[bool] = (at(start + _JUMP) > at(start + 1)).tolist()
        rows = np.clip(start[:, None] + np.arange(-_JUMP, _SHORT), 0, len(program.image.memory) - 1)
        self._pads = program.image.memory[rows].tobytes()
        # An address that the loader writes may begin up to seven bytes before.
        at = named.relocated.searchsorted
        self.pad_relocated: list[bool] = (at(start + _SHORT) > at(start - _JUMP - 7)).tolist()
        self.jump_relocated: list[bool] = (at(start + _JUMP) > at(start - 7)).tolist()

    def _tables(self, roots: I64) -> Bools:
        """Which entries a jump table of their own function leads to."""
        fields, fragments, entries = self._program.fields, self._program.fragments, self._named.entries
        low, high = (entries.searchsorted(fragments.start[roots] + more) for more in (0, 1))
        first, place = self._named.rows[members(low, high)], np.repeat(np.arange(len(roots)), high - low)
        start, end = fragments.start[roots[place]], fragments.end[roots[place]]
        found = np.zeros(len(roots), dtype=np.bool_)
        for step in (-1, 1):  # the entry before or behind leads into the middle of the function
            rows = np.clip(first + step, 0, len(fields) - 1)
            beside = fields.site[rows].astype(np.int64) - fields.site[first] == 4 * step
            alike = fields.form[rows] == fields.form[first]
            middle = (fields.target[rows] > start) & (fields.target[rows] < end)
            found[place[beside & alike & middle]] = True
        return found

    def choose(self, place: int, head: Head, function: int, name: str) -> RedirectionSite | Finding:
        """The redirection of the entry at ``place`` in the columns, whose code begins as ``head`` says; a
        finding when none fits. ``function`` is the index of the carried function it will lead to."""
        start, end = self.start[place], self.end[place]
        if not head.first:
            return self._unreadable(start, end, name)
        foreign = hook(self._program, self.roots[place]) if self.hooked[place] else ""
        if foreign:
            return Finding(traps.HOOKED, name, foreign)
        if start in head.inner or self.looped[place]:
            return Finding(codes.LOOP_AT_ENTRY, name, f"a branch inside goes to {start:#x}")
        before = self.before[place]
        if before and start % 8 != 7 and head.first >= _SHORT:
            used = self.filler_used[place] or self.pad_hit[place] or start + 1 in head.inner
            if not used and not self.pad_relocated[place]:
                pad = Interval(start - _JUMP, start + _SHORT)
                old = self._pads[place * _PAD : (place + 1) * _PAD]
                return _site(function, RedirectionKind.PAD_JUMP, start, pad, old)
        if start + _JUMP > end + self.after[place]:
            cause = f"{end - start} bytes at {start:#x}, {'' if before else 'no '}filler before"
            return Finding(codes.NO_ROOM, name, cause)
        entry = Interval(start, start + _JUMP)
        trap = self._trap(place, head, entry, name)
        if trap is not None:
            return trap
        old = self._program.image.read(start, _JUMP)
        return _site(function, RedirectionKind.ENTRY_JUMP, start, entry, old)

    def _trap(self, place: int, head: Head, entry: Interval, name: str) -> Finding | None:
        """Why there cannot be an entry jump, where there is room for one."""
        hits = [target for target in head.inner if entry.start < target < entry.end]
        if self.jump_hit[place]:
            named = self._named.named
            hits.append(int(named[named.searchsorted(entry.start + 1)]))
        if hits:
            return Finding(traps.ENTRY_BRANCH, name, f"something leads to {min(hits):#x}")
        back = next((rva for rva in head.returns if entry.start < rva < entry.end), 0)
        if back:
            return Finding(traps.CALL_AT_ENTRY, name, f"a call returns to {back:#x}")
        if self.jump_relocated[place]:
            cause = f"an absolute address in [{entry.start:#x}, {entry.end:#x})"
            return Finding(traps.ENTRY_RELOCATED, name, cause)
        return None

    def _unreadable(self, start: int, end: int, name: str) -> Finding:
        image = self._program.image
        whole = instructions(image.read(start, min(_LONGEST, image.size_of_image - start)), start)
        if whole and end < start + _JUMP and end in self._named.named:
            return Finding(traps.ENTRY_BRANCH, name, f"something leads to {end:#x}")
        return Finding(traps.ENTRY_UNREADABLE, name, f"the bytes at {start:#x} do not decode")


def _parts_jump_to(program: Program, named: BranchTargets, roots: I64) -> Bools:
    """To which entries a split-off part of the function jumps back, in the middle of the function's work."""
    fragments = program.fragments
    own = fragments.root[named.jumpers]
    back = named.jumps[fragments.start[own] == named.jumps]
    found: Bools = among(fragments.start[roots], back) & (fragments.root[roots] == roots)
    return found


def _site(function: int, kind: RedirectionKind, entry: int, window: Interval, old: bytes) -> RedirectionSite:
    return RedirectionSite(function=function, kind=kind, entry=Rva(entry), window=window, old=old)


def _padding_end(program: Program, rva: I64) -> I64:
    """Where the runs of filler end of which the last before each ``rva`` is one; -1 where there is none."""
    starts, ends = np.ascontiguousarray(program.padding.T)
    index = starts.searchsorted(rva, side="right") - 1
    found: I64 = np.append(ends, -1)[index]
    return found
