"""Thread-local data: running threads have their copy already, in the baseline's layout."""

import numpy as np

from hpbuild.code.thread_local import thread_offsets
from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.match.sides import Side
from hpbuild.pe.tls import Tls, tls
from hpbuild.plan.hidden import counterpart
from hpbuild.plan.selection import Selection


def templates_differ(comparison: Comparison) -> bool:
    """True when new threads would start with other thread-local data, or with another amount of it. Addresses
    in it are the same when they lead to counterparts."""
    ours, theirs = tls(comparison.fixed.program.image), tls(comparison.baseline.program.image)
    if ours is None or theirs is None:
        return ours is not theirs
    if ours.zero_fill != theirs.zero_fill or len(ours.template) != len(theirs.template):
        return True
    new, old = (
        side.masked[local.template.start : local.template.end]
        for side, local in ((comparison.fixed, ours), (comparison.baseline, theirs))
    )
    sites, targets = _pointers(comparison.fixed, ours)
    there, wanted = _pointers(comparison.baseline, theirs)
    if sites != there or not np.array_equal(new, old):
        return True
    return [counterpart(comparison, target) for target in targets] != wanted


def _pointers(side: Side, local: Tls) -> tuple[list[int], list[int]]:
    """Offsets of the addresses in the template, and where they lead."""
    fields = side.program.fields
    low, high = np.searchsorted(fields.site, (local.template.start, local.template.end))
    return (fields.site[low:high] - local.template.start).tolist(), fields.target[low:high].tolist()


def thread_local(comparison: Comparison, selection: Selection) -> list[Finding]:
    """Refusals for carried code that uses thread-local data (it reads the index) whose layout changed: by
    another template, or with the same one by other offsets for old ones."""
    users = sorted(_users(comparison.fixed) & selection.functions.keys())
    if not users:
        return []
    name = comparison.fixed.program.name_of
    if templates_differ(comparison):
        cause = "it uses thread-local data"
        return [Finding(codes.THREAD_LOCAL, name(root), cause) for root in users]
    findings = []
    for root in users:
        fact = selection.facts[root]
        if fact.partner < 0:
            continue
        mates = comparison.baseline_functions.get(fact.partner, (fact.partner,))
        if _forms(comparison.fixed, fact.fragments) == _forms(comparison.baseline, mates):
            continue  # the same code, whatever it refers to
        ours = thread_offsets(comparison.fixed.program, fact.fragments)
        theirs = thread_offsets(comparison.baseline.program, mates)
        if ours - theirs and theirs - ours:
            gained, lost = (
                ", ".join(f"{at:#x}" for at in sorted(part)) for part in (ours - theirs, theirs - ours)
            )
            findings.append(Finding(traps.THREAD_OFFSETS, name(root), f"offset {lost} became {gained}"))
    return findings


def _forms(side: Side, fragments: tuple[int, ...]) -> list[int]:
    return sorted(side.forms[list(fragments)].tolist())


def _users(side: Side) -> set[int]:
    """Roots of the functions that name the index variable."""
    program = side.program
    local = tls(program.image)
    if local is None:
        return set()
    rows = np.flatnonzero(program.references.target == local.index)
    return set(program.fragments.root[program.references.fragment[rows]].tolist())
