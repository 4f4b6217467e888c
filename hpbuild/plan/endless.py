"""The code of the baseline that is to be replaced, decoded once: how its functions begin, and which of them
never end. The threads inside those keep the old code."""

from collections.abc import Iterator, Mapping

import numpy as np

from hpbuild.code.bodies import Head, bodies, heads
from hpbuild.code.flow import Loops, final_callees
from hpbuild.codes import traps as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.plan.model import Reason
from hpbuild.plan.selection import Selection


@dataclass(frozen=True, slots=True)
class OldCode:
    """The redirected functions: ``heads`` says by root in the fixed image how the baseline's begins;
    ``endless`` where the loop is that nothing leads out of, of those that have one."""

    heads: Mapping[int, Head]
    endless: Mapping[int, int]


def old_code(comparison: Comparison, selection: Selection) -> OldCode:
    """Look at every function of the baseline that is redirected."""
    program = comparison.baseline.program
    roots = list(redirected(selection))
    partners = [selection.facts[root].partner for root in roots]
    functions = [comparison.baseline_functions.get(partner, (partner,)) for partner in partners]
    begins: list[Head] = []
    endless: dict[int, int] = {}
    if not roots:
        return OldCode({}, {})
    loops = Loops(program, final_callees(program))
    for found in bodies(program, functions):
        first = partners[found.functions.start : found.functions.stop]
        begins += heads(found, np.array(first, dtype=np.int64))
        endless |= loops.never_ending(found, functions)
    return OldCode(
        heads=dict(zip(roots, begins, strict=True)),
        endless={roots[number]: at for number, at in sorted(endless.items())},
    )


def redirected(selection: Selection) -> Iterator[int]:
    """Roots of the carried functions that the baseline's entries are sent to."""
    for root, reason in selection.functions.items():
        if selection.facts[root].partner >= 0 and reason is not Reason.HANDLER:
            yield root


def endless(comparison: Comparison, old: OldCode) -> list[Finding]:
    """A warning for every redirected function of the baseline that has a loop without a way out."""
    name_of = comparison.fixed.program.name_of
    return [
        Finding(codes.ENDLESS, name_of(root), f"nothing leads out of the loop at {at:#x}")
        for root, at in old.endless.items()
    ]
