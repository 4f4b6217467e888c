"""Findings about code that ran when the image was loaded and does not run again for a hotpatch."""

import numpy as np

from hpbuild.code.flow import writes_or_hands_out
from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.plan.model import Reason
from hpbuild.plan.selection import Selection
from hpbuild.plan.startup import Startup, startup


def initialisers(comparison: Comparison, selection: Selection) -> list[Finding]:
    """New entries in lists of initialisers, new variables that only such code fills, changed functions that
    only such code calls, and a changed entry point."""
    if selection.facts.identical.all() and not selection.functions:
        return []
    ours = startup(comparison.fixed)
    return [
        *_new_entries(comparison, selection, ours, startup(comparison.baseline)),
        *_unfilled(comparison, selection, ours),
        *_changed(comparison, selection, ours),
    ]


def _new_entries(
    comparison: Comparison, selection: Selection, ours: Startup, theirs: Startup
) -> list[Finding]:
    """Entries of the fixed image's lists whose counterpart is in no list of the baseline."""
    program, partner = comparison.fixed.program, comparison.pairing.fixed
    known = {root for item in theirs.lists for root in item.entries}
    new = [
        (root, f"in a list of initialisers at {int(item.range.start):#x}")
        for item in ours.lists
        for root in item.entries
        if int(partner[root]) not in known
    ]
    new += [
        (root, "a thread-local callback")
        for root in ours.callbacks
        if root >= 0 and int(partner[root]) not in theirs.callbacks
    ]
    return [
        Finding(traps.NEW_INITIALISER, program.name_of(root), cause)
        for root, cause in new
        if selection.limit is None or root in selection.functions
    ]


def _unfilled(comparison: Comparison, selection: Selection, ours: Startup) -> list[Finding]:
    """New variables of carried code that are written or handed out to be written by code that ran before."""
    side = comparison.fixed
    table, references = side.program.fragments, side.program.references
    findings = []
    for first, (members, reason) in selection.objects.items():
        if reason is not Reason.ADDED or side.atoms.memory[first] == Memory.RODATA:
            continue
        rows = np.flatnonzero(np.isin(side.targets.atom, np.array(members, dtype=np.int64)))
        roots = table.root[references.fragment[rows]].tolist()
        if not any(root in selection.functions and not ours.only(root) for root in roots):
            continue
        for row, root in zip(rows.tolist(), roots, strict=True):
            if ours.only(root) and writes_or_hands_out(side.program, row):
                name = side.atoms.names.get(first) or f"data_{int(side.atoms.start[first]):x}"
                cause = f"{side.program.name_of(root)} fills it, which ran when the image was loaded"
                findings.append(Finding(traps.NEVER_INITIALISED, f"variable {name}", cause))
                break
    return findings


def _changed(comparison: Comparison, selection: Selection, ours: Startup) -> list[Finding]:
    program = comparison.fixed.program
    findings = []
    for root, reason in selection.functions.items():
        if root == ours.entry:
            cause = "it ran when the image was loaded"
            findings.append(Finding(codes.INITIALISER, program.name_of(root), cause))
        elif reason in (Reason.CHANGED, Reason.REFERRER) and ours.only(root):
            cause = "nothing else calls it"
            findings.append(Finding(traps.RAN_ALREADY, program.name_of(root), cause))
    return findings
