"""Findings about code that ran when the image was loaded and does not run again for a hotpatch."""

from collections.abc import Mapping

import numpy as np

from hpbuild.code.flow import writes_or_hands_out
from hpbuild.code.model import I64
from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.sides import Side
from hpbuild.plan.model import Reason
from hpbuild.plan.selection import Chosen
from hpbuild.plan.startup import Startup, callbacks, startup

_RODATA = int(Memory.RODATA)


@dataclass(frozen=True, slots=True)
class Starts:
    """What the loader runs of the fixed image; ``listed`` are the entries of the baseline's lists, where the
    fixed image has any, and ``called`` the baseline's thread-local callbacks, by their roots."""

    ours: Startup
    listed: frozenset[int]
    called: tuple[int, ...]

    @classmethod
    def of(cls, comparison: Comparison) -> "Starts":
        """Find it out, whatever is carried."""
        ours = startup(comparison.fixed)
        theirs = startup(comparison.baseline).lists if ours.lists else ()
        listed = frozenset(root for item in theirs for root in item.entries)
        return cls(ours, listed, callbacks(comparison.baseline))


def initialisers(comparison: Comparison, chosen: Chosen, starts: Starts) -> list[Finding]:
    """New entries in lists of initialisers, new variables that only such code fills, changed functions that
    only such code calls, and a changed entry point."""
    return [
        *_new_entries(comparison, chosen, starts),
        *_unfilled(comparison, chosen, starts.ours),
        *_changed(comparison, chosen, starts.ours),
    ]


def _new_entries(comparison: Comparison, chosen: Chosen, starts: Starts) -> list[Finding]:
    """Entries of the fixed image's lists whose counterpart is in no list of the baseline."""
    program, partner, ours = comparison.fixed.program, comparison.pairing.fixed, starts.ours
    new = [
        (root, f"in a list of initialisers at {int(item.range.start):#x}")
        for item in ours.lists
        for root in item.entries
        if int(partner[root]) not in starts.listed
    ]
    new += [
        (root, "a thread-local callback")
        for root in ours.callbacks
        if root >= 0 and int(partner[root]) not in starts.called
    ]
    return [
        Finding(traps.NEW_INITIALISER, program.name_of(root), cause)
        for root, cause in new
        if not chosen.limited or root in chosen.functions
    ]


def _unfilled(comparison: Comparison, chosen: Chosen, ours: Startup) -> list[Finding]:
    """New variables of carried code that are written or handed out to be written by code that ran before."""
    side = comparison.fixed
    new = {
        first: members
        for first, (members, reason) in chosen.objects.items()
        if reason is Reason.ADDED and side.atoms.memory[first] != _RODATA
    }
    findings = []
    for first, (rows, owners) in _named(side, new).items():
        roots, early = owners.tolist(), ours.only_of(owners).tolist()
        if not any(root in chosen.functions and not only for root, only in zip(roots, early, strict=True)):
            continue
        for row, root, only in zip(rows.tolist(), roots, early, strict=True):
            if only and writes_or_hands_out(side.program, row):
                name = side.atoms.names.get(first) or f"data_{int(side.atoms.start[first]):x}"
                cause = f"{side.program.name_of(root)} fills it, which ran when the image was loaded"
                findings.append(Finding(traps.NEVER_INITIALISED, f"variable {name}", cause))
                break
    return findings


def _named(side: Side, objects: Mapping[int, tuple[int, ...]]) -> dict[int, tuple[I64, I64]]:
    """Of objects, given with their atoms: the rows of the references to each, and the roots of their
    functions."""
    if not objects:
        return {}
    number = np.full(len(side.atoms), -1, dtype=np.int64)
    for place, atoms in enumerate(objects.values()):
        number[list(atoms)] = place
    rows = side.links.data
    rows = rows[number[side.targets.atom[rows]] >= 0]
    held = number[side.targets.atom[rows]]
    rows = rows[np.argsort(held, kind="stable")]
    owners = side.program.fragments.root[side.program.references.fragment[rows]]
    ends = np.cumsum(np.bincount(held, minlength=len(objects)))[:-1]
    return dict(zip(objects, zip(np.split(rows, ends), np.split(owners, ends), strict=True), strict=True))


def _changed(comparison: Comparison, chosen: Chosen, ours: Startup) -> list[Finding]:
    name_of, functions = comparison.fixed.program.name_of, chosen.functions
    findings = []
    if ours.entry in functions:
        cause = "it ran when the image was loaded"
        findings.append(Finding(codes.INITIALISER, name_of(ours.entry), cause))
    kept = [
        root
        for root, reason in functions.items()
        if reason in (Reason.CHANGED, Reason.REFERRER) and root != ours.entry
    ]
    roots = np.array(kept, dtype=np.int64)
    for root in roots[ours.only_of(roots)].tolist():
        cause = "nothing else calls it"
        findings.append(Finding(traps.RAN_ALREADY, name_of(root), cause))
    return findings
