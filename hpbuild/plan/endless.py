"""Replaced functions whose old body never ends: the threads inside it keep the old code."""

from hpbuild.code.flow import Loops, final_callees
from hpbuild.codes import traps as codes
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.plan.model import Reason
from hpbuild.plan.selection import Selection


def endless(comparison: Comparison, selection: Selection) -> list[Finding]:
    """A warning for every redirected function of the baseline that has a loop without a way out."""
    program = comparison.baseline.program
    loops = Loops(program, final_callees(program))
    findings = []
    for root, reason in selection.functions.items():
        partner = selection.facts[root].partner
        if partner < 0 or reason is Reason.HANDLER:
            continue
        at = loops.endless(comparison.baseline_functions.get(partner, (partner,)))
        if at >= 0:
            name = comparison.fixed.program.name_of(root)
            findings.append(Finding(codes.ENDLESS, name, f"nothing leads out of the loop at {at:#x}"))
    return findings
