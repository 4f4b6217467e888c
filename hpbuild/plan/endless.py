"""The code of the baseline that is to be replaced, decoded once: how its functions begin, and which of them
never end. The threads inside those keep the old code."""

from collections.abc import Mapping

import numpy as np

from hpbuild.code.bodies import Head, bodies, heads
from hpbuild.code.columns import among, distinct
from hpbuild.code.flow import Loops, final_callees
from hpbuild.code.model import I64
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


@dataclass(frozen=True, slots=True)
class Seen:
    """Functions of the baseline that were decoded, by their roots there: ``heads`` and ``endless`` as in
    ``OldCode``."""

    heads: dict[int, Head]
    endless: dict[int, int]

    def joined(self, other: "Seen") -> "Seen":
        """These functions and ``other`` ones."""
        return Seen(self.heads | other.heads, self.endless | other.endless)


NOTHING = Seen({}, {})
_WORTH = 1 << 21
"""Bytes of code of an image of which there is more to find out than a process takes to start."""
_MUCH = 1 << 20
"""Bytes of old code that take longer to look at than to decide what is carried."""


def surely_old(comparison: Comparison) -> I64:
    """Roots in the baseline of the functions that are replaced when nothing limits the plan, whatever else
    is carried; none where the image is so small that to begin early gains nothing."""
    facts, table = comparison.facts, comparison.baseline.program.fragments
    roots = distinct(facts.partner[~facts.identical & (facts.partner >= 0)])
    return roots if int((table.end - table.start).sum()) >= _WORTH else roots[:0]


def takes_long(comparison: Comparison, roots: I64) -> bool:
    """True when it takes the time of ``decide`` to ``look`` at the functions with ``roots``."""
    table = comparison.baseline.program.fragments
    return int((table.end[roots] - table.start[roots]).sum()) >= _MUCH


def look(comparison: Comparison, roots: I64) -> Seen:
    """Decode the functions of the baseline with ``roots``."""
    if not len(roots):
        return NOTHING
    program, known = comparison.baseline.program, comparison.baseline_functions
    partners = roots.tolist()
    functions = [known.get(partner, (partner,)) for partner in partners]
    begins, endless = dict[int, Head](), dict[int, int]()
    # As if every call returned: who has a way out then has one anyhow, and nearly all have.
    loops, stuck = Loops(program, frozenset()), set[int]()
    for found in bodies(program, functions):
        numbers = found.functions
        some = roots[numbers.start : numbers.stop]
        begins |= zip(some.tolist(), heads(found, some), strict=True)
        stuck |= loops.never_ending(found, functions).keys()
    if stuck:
        loops = Loops(program, final_callees(program))
        places = {number: loops.endless(functions[number]) for number in stuck}
        endless |= {partners[number]: at for number, at in places.items() if at >= 0}
    return Seen(begins, endless)


def others_replaced(selection: Selection, seen: I64) -> I64:
    """Roots of the functions of the baseline that are redirected, but those ``seen``."""
    replaced = distinct(np.fromiter(redirected(selection).values(), np.int64))
    return replaced[~among(replaced, seen)]


def old_code(selection: Selection, seen: Seen) -> OldCode:
    """What was ``seen`` of the functions of the baseline that are redirected."""
    partners = redirected(selection)
    return OldCode(
        heads={root: seen.heads[partner] for root, partner in partners.items()},
        endless={
            root: seen.endless[partner] for root, partner in partners.items() if partner in seen.endless
        },
    )


def redirected(selection: Selection) -> dict[int, int]:
    """Roots of the carried functions that the baseline's entries are sent to, with those in the baseline."""
    functions = zip(selection.functions.items(), selection.partners.tolist(), strict=True)
    return {
        root: partner
        for (root, reason), partner in functions
        if partner >= 0 and reason is not Reason.HANDLER
    }


def endless(comparison: Comparison, old: OldCode) -> list[Finding]:
    """A warning for every redirected function of the baseline that has a loop without a way out."""
    name_of = comparison.fixed.program.name_of
    return [
        Finding(codes.ENDLESS, name_of(root), f"nothing leads out of the loop at {at:#x}")
        for root, at in old.endless.items()
    ]
