"""Findings about code that ran when the image was loaded and does not run again for a hotpatch."""

from collections.abc import Mapping

import numpy as np

from hpbuild.code.flow import writes_or_hands_out
from hpbuild.code.model import I64
from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.sides import Side
from hpbuild.plan.model import Reason
from hpbuild.plan.selection import Selection
from hpbuild.plan.startup import Startup, callbacks, startup

_RODATA = int(Memory.RODATA)


def initialisers(comparison: Comparison, selection: Selection) -> list[Finding]:
    """New entries in lists of initialisers, new variables that only such code fills, changed functions that
    only such code calls, and a changed entry point."""
    if selection.facts.identical.all() and not selection.functions:
        return []
    ours = startup(comparison.fixed)
    return [
        *_new_entries(comparison, selection, ours),
        *_unfilled(comparison, selection, ours),
        *_changed(comparison, selection, ours),
    ]


def _new_entries(comparison: Comparison, selection: Selection, ours: Startup) -> list[Finding]:
    """Entries of the fixed image's lists whose counterpart is in no list of the baseline."""
    program, partner = comparison.fixed.program, comparison.pairing.fixed
    # Only where the fixed image has lists it is asked for those of the baseline.
    theirs = startup(comparison.baseline).lists if ours.lists else ()
    known = {root for item in theirs for root in item.entries}
    called = callbacks(comparison.baseline)
    new = [
        (root, f"in a list of initialisers at {int(item.range.start):#x}")
        for item in ours.lists
        for root in item.entries
        if int(partner[root]) not in known
    ]
    new += [
        (root, "a thread-local callback")
        for root in ours.callbacks
        if root >= 0 and int(partner[root]) not in called
    ]
    return [
        Finding(traps.NEW_INITIALISER, program.name_of(root), cause)
        for root, cause in new
        if selection.limit is None or root in selection.functions
    ]


def _unfilled(comparison: Comparison, selection: Selection, ours: Startup) -> list[Finding]:
    """New variables of carried code that are written or handed out to be written by code that ran before."""
    side = comparison.fixed
    new = {
        first: members
        for first, (members, reason) in selection.objects.items()
        if reason is Reason.ADDED and side.atoms.memory[first] != _RODATA
    }
    findings = []
    for first, (rows, owners) in _named(side, new).items():
        roots, early = owners.tolist(), ours.only_of(owners).tolist()
        if not any(root in selection.functions and not only for root, only in zip(roots, early, strict=True)):
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


def _changed(comparison: Comparison, selection: Selection, ours: Startup) -> list[Finding]:
    name_of, functions = comparison.fixed.program.name_of, selection.functions
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
