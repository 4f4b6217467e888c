"""Functions in which nothing but line numbers differ: declared, and left as they are."""

from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.plan.model import LINE_ONLY, Exclusion
from hpbuild.plan.selection import Selection
from hpbuild.values import Interval

LINE_SIZE = 4


def line_exclusions(comparison: Comparison, selection: Selection) -> list[Exclusion]:
    """One exclusion for each such function that is not carried for another reason."""
    program, lines = comparison.fixed.program, comparison.lines
    places: dict[int, list[tuple[Interval, Interval]]] = {}
    for ours, theirs in zip(lines.fixed, lines.baseline, strict=True):
        root = int(program.fragments.root[program.fragment_at(ours)])
        pair = (Interval(ours, ours + LINE_SIZE), Interval(theirs, theirs + LINE_SIZE))
        places.setdefault(root, []).append(pair)
    return [
        Exclusion(
            klass=LINE_ONLY,
            place=program.name_of(fact.root),
            cause=f"{len(places[fact.root])} line numbers differ, nothing else",
            fixed=tuple(ours for ours, _ in places[fact.root]),
            baseline=tuple(theirs for _, theirs in places[fact.root]),
        )
        for fact in comparison.facts.differing
        if fact.line_only and fact.root not in selection.functions
    ]


def line_findings(exclusions: list[Exclusion]) -> list[Finding]:
    """One note for all of them."""
    found = [item for item in exclusions if item.klass == LINE_ONLY]
    if not found:
        return []
    return [Finding(codes.LINE_ONLY, found[0].place, f"{len(found)} functions")]
