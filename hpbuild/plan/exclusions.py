"""What the package does not deliver, declared: what differs in interfaces, and unused additions."""

import numpy as np
import numpy.typing as npt

from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import referenced, reserved_class
from hpbuild.plan.interfaces import Interfaces, export_findings, flag_findings
from hpbuild.plan.left_out import is_chosen, is_unwind, left_out, tangled, told
from hpbuild.plan.line_only import line_exclusions, line_findings
from hpbuild.plan.model import Exclusion, LeftOut
from hpbuild.plan.selection import Selection
from hpbuild.plan.thread_local import templates_differ

Bools = npt.NDArray[np.bool_]


def declared_exclusions(
    comparison: Comparison, selection: Selection, carried: Bools, interfaces: Interfaces
) -> tuple[tuple[Exclusion | LeftOut, ...], list[Finding]]:
    """Exclusions, and the findings that tell of them. ``carried`` marks the atoms that chunks hold;
    ``interfaces`` tells what differs in those."""
    exclusions: list[Exclusion | LeftOut] = [*interfaces.every()]
    exclusions += _unused(comparison, selection, carried)
    lines = line_exclusions(comparison, selection)
    exclusions += lines
    if selection.limit is not None:
        exclusions += left_out(comparison, selection, carried)
    if templates_differ(comparison):
        exclusions.append(Exclusion("thread-local", ".tls", "initial thread-local data differs"))
    findings = [*export_findings(interfaces.exports), *flag_findings(interfaces.flags)]
    findings += line_findings(lines)
    findings += [Finding(codes.RESOURCES_DIFFER, item.place, item.cause) for item in interfaces.resources]
    unused = [item for item in exclusions if item.klass in ("unreferenced-function", "unreferenced-data")]
    if unused:
        findings.append(
            Finding(codes.UNUSED_ADDITIONS, unused[0].place, f"{len(unused)} runs of code or data")
        )
    if selection.limit is not None:
        findings += [*told(comparison, selection, exclusions), *tangled(comparison, selection)]
    return tuple(sorted(exclusions, key=lambda item: (item.klass, item.place, item.cause))), findings


def _unused(comparison: Comparison, selection: Selection, carried: Bools) -> list[Exclusion]:
    side, data, facts = comparison.fixed, comparison.data, selection.facts
    rows = []
    limited = selection.limit is not None
    for root in facts.roots[~facts.identical].tolist():
        if root not in selection.functions and not limited:
            start = int(side.program.fragments.start[root])
            rows.append(Exclusion("unreferenced-function", f"{start:#x}", side.program.name_of(root)))
    named = referenced(side)
    missing = np.flatnonzero(((data.baseline < 0) | ~data.same) & ~carried)
    if limited:
        missing = missing[~is_chosen(side, missing, named)]
    unwind = is_unwind(side, missing) & limited
    for atom, record in zip(missing.tolist(), unwind.tolist(), strict=True):
        start, end = int(side.atoms.start[atom]), int(side.atoms.end[atom])
        klass = reserved_class(side, atom, named) or ("unwind-information" if record else "")
        if klass:
            rows.append(Exclusion("metadata", f"{start:#x}", klass))
            continue
        content = side.program.image.read(start, end - start)
        if content.strip(b"\0\xcc") or named[atom]:
            kind = Memory(int(side.atoms.memory[atom])).name.lower()
            rows.append(Exclusion("unreferenced-data", f"{start:#x}", f"{end - start} bytes of {kind}"))
    return rows
