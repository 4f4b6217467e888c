"""Choosing how a baseline entry is redirected (design, section 6)."""

from dataclasses import dataclass

import numpy as np
from hpbuild.code.decode import instructions

from hpbuild.code.model import Program
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


def choose(program: Program, named: BranchTargets, function: int, root: int, name: str) -> RedirectionSite | Finding:
    """The redirection for the baseline function whose first fragment is ``root``; a finding when none fits.

    ``function`` is the index of the carried function it will lead to.
    """
    fragments, image = program.fragments, program.image
    start, end = int(fragments.start[root]), int(fragments.end[root])
    insns = instructions(image.read(start, min(end - start, 1 << 16)), start)
    inner = {insn.near_branch_target for insn in insns if insn.is_jmp_short_or_near or insn.is_jcc_short_or_near}
    if not insns:
        return Finding(codes.NO_ROOM, name, "the entry does not decode")
    if start in inner:
        return Finding(codes.LOOP_AT_ENTRY, name, f"a branch inside goes to {start:#x}")
    before = _filler_before(program, start)
    if before and start % 8 != 7 and insns[0].len >= _SHORT and not _hit(inner, named, start + 1, start + _SHORT):
        if not named.inside(start - _JUMP, start):
            return _site(program, function, RedirectionKind.PAD_JUMP, start, Interval(start - _JUMP, start + _SHORT))
    room = end + _filler_after(program, end)
    if start + _JUMP <= room and not _hit(inner, named, start + 1, start + _JUMP):
        return _site(program, function, RedirectionKind.ENTRY_JUMP, start, Interval(start, start + _JUMP))
    return Finding(codes.NO_ROOM, name, f"{end - start} bytes at {start:#x}, {'' if before else 'no '}filler before")


def _hit(inner: set[int], named: BranchTargets, start: int, end: int) -> bool:
    return named.inside(start, end) or any(start <= target < end for target in inner)


def _site(program: Program, function: int, kind: RedirectionKind, entry: int, window: Interval) -> RedirectionSite:
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
