"""From the comparison to the plan: what is carried, how entries are redirected, what is permitted."""

from collections.abc import Callable
from functools import partial

import numpy as np

from hpbuild.codes import plan as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import reason
from hpbuild.match.functions import ranges
from hpbuild.match.pairing import Level
from hpbuild.plan.aside import Aside, at_hand
from hpbuild.plan.beforehand import Told, at_starts, beforehand
from hpbuild.plan.builds import Builds, build_findings
from hpbuild.plan.chunks import FieldRows, chunks, field_rows, unwind_entries
from hpbuild.plan.endless import (
    OldCode,
    endless,
    old_code,
    others_replaced,
    redirected,
    surely_old,
    takes_long,
)
from hpbuild.plan.exclusions import declared_exclusions
from hpbuild.plan.model import (
    BaselineUse,
    CarriedDatum,
    CarriedFunction,
    Chunk,
    Exclusion,
    LeftOut,
    Plan,
    Reason,
    RedirectionSite,
    refuses,
)
from hpbuild.plan.moved_fields import moved_fields
from hpbuild.plan.numbering import Numbering, number
from hpbuild.plan.only import Limit
from hpbuild.plan.redirections import Entries
from hpbuild.plan.resolve import Resolver
from hpbuild.plan.selection import Selection, select
from hpbuild.plan.traps import trapped
from hpbuild.values import Interval

NO_ROOTS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a plan decides, before its parts are made: ``findings`` say whether it may become a package, and
    the rest of it can be made when it does."""

    comparison: Comparison
    selection: Selection
    numbering: Numbering
    fields: FieldRows
    uses: Callable[[], tuple[BaselineUse, ...]]
    redirections: tuple[RedirectionSite, ...]
    exclusions: tuple[Exclusion | LeftOut, ...]
    findings: tuple[Finding, ...]

    @property
    def carries(self) -> bool:
        """Whether there is something to patch."""
        return bool(self.selection.functions)

    @property
    def refused(self) -> bool:
        """True when a finding forbids the package."""
        return refuses(self.findings)

    @property
    def only(self) -> tuple[str, ...]:
        """The functions that the plan is limited to, as in ``Plan``."""
        return () if self.selection.limit is None else self.selection.limit.names

    @property
    def unwind_records(self) -> tuple[Interval, ...]:
        """Where the carried unwind records lie in the fixed image."""
        numbers = range(self.numbering.codes, self.numbering.codes + self.numbering.records)
        start, end = self.numbering.start, self.numbering.end
        return tuple(Interval(int(start[number]), int(end[number])) for number in numbers)

    def plan(self) -> Plan:
        """The plan with all its parts."""
        side, numbering = self.comparison.fixed, self.numbering
        made = chunks(side, numbering, self.fields)
        return Plan(
            chunks=made,
            functions=tuple(_function(self, root) for root in self.selection.functions),
            data=tuple(_datum(self, made, first) for first in self.selection.objects),
            unwind=unwind_entries(side, numbering),
            redirections=self.redirections,
            exclusions=self.exclusions,
            findings=self.findings,
            uses=self.uses(),
            only=self.only,
        )


def make_plan(comparison: Comparison, limit: Limit | None = None, builds: Builds | None = None) -> Plan:
    """``decide``, and make the plan."""
    return decide(comparison, limit, builds).plan()


def decide(
    comparison: Comparison,
    limit: Limit | None = None,
    builds: Builds | None = None,
    aside: Aside | None = None,
) -> Decision:
    """Decide for one pair of images; with ``limit`` for the listed functions and what they need. ``builds``
    tells how the images were made. The findings say whether the plan may become a package. With ``aside``
    what can be known ``beforehand`` is found out meanwhile."""
    surely = surely_old(comparison) if aside is not None and limit is None else NO_ROOTS
    begin = aside if aside is not None and len(surely) else at_hand
    long = takes_long(comparison, surely)
    early = len(surely) > 0 and not long
    with begin(partial(beforehand, comparison, surely, early=early)) as (tell, meanwhile):
        selection = select(comparison, limit)
        tell(Told(others_replaced(selection, surely), None if long else selection.chosen))
        numbering, unfit = number(comparison.fixed, selection)
        resolver = Resolver(comparison, numbering)
        fields = field_rows(comparison.fixed, numbering, resolver)
        findings = [*selection.findings, *unfit, *resolver.findings.values()]
        findings += at_starts(comparison, selection.chosen) if long else []
        findings += [*trapped(comparison, selection), *_build_findings(comparison, selection, builds)]
        findings += [*_weak(comparison, selection), *_removed(comparison, selection)]
        entries = Entries(comparison.baseline.program, list(redirected(selection).values()))
        known = meanwhile()
        carried = numbering.atom_chunk >= 0
        exclusions, notes = declared_exclusions(comparison, selection, carried, known.interfaces)
        old = old_code(selection, known.seen)
        redirections, no_room = _redirect(comparison, selection, old, entries)
        findings += [*notes, *known.findings, *no_room, *endless(comparison, old)]
    return Decision(
        comparison=comparison,
        selection=selection,
        numbering=numbering,
        fields=fields,
        uses=resolver.uses,
        redirections=redirections,
        exclusions=exclusions,
        findings=tuple(
            sorted(set(findings), key=lambda finding: (finding.code.id, finding.place, finding.cause))
        ),
    )


def _build_findings(comparison: Comparison, selection: Selection, builds: Builds | None) -> list[Finding]:
    """What the ways in which the images were made give reason to; where they do not tell of types, what the
    code shows of changed ones."""
    found: list[Finding] = []
    if builds is not None and selection.functions:
        found += build_findings(builds, comparison.fixed.program.image.name)
    if builds is None or not builds.types_known:
        found += moved_fields(comparison, selection)
    return found


_CAUSES = {
    Reason.ADDED: "no counterpart in the baseline",
    Reason.REFERRER: "refers to changed data or has a changed handler",
    Reason.HANDLER: "handler or split-off part of a carried function",
}


def _function(decision: Decision, root: int) -> CarriedFunction:
    comparison, selection, numbering = decision.comparison, decision.selection, decision.numbering
    fact, why = selection.facts[root], selection.functions[root]
    theirs, numbers = comparison.baseline_functions, numbering.function_chunks[root]
    baseline: tuple[Interval, ...] = ()
    if fact.partner >= 0 and why is not Reason.HANDLER:
        baseline = ranges(comparison.baseline.program, theirs.get(fact.partner, (fact.partner,)))
    return CarriedFunction(
        name=comparison.fixed.program.name_of(root),
        reason=why,
        level=_level(comparison, root).label if baseline else "",
        cause=_CAUSES.get(why) or reason(comparison, fact),
        chunks=tuple(numbers),
        fixed=tuple(Interval(int(numbering.start[one]), int(numbering.end[one])) for one in numbers),
        baseline=baseline,
    )


def _datum(decision: Decision, made: tuple[Chunk, ...], first: int) -> CarriedDatum:
    members, why = decision.selection.objects[first]
    chunk = decision.numbering.object_chunk[first]
    return CarriedDatum(
        name=made[chunk].name,
        reason=why,
        kind=made[chunk].kind,
        cause=_data_cause(why),
        chunk=chunk,
        fixed=made[chunk].source,
        baseline=None if why is Reason.ADDED else _old_place(decision.comparison, members),
    )


def _redirect(
    comparison: Comparison, selection: Selection, old: OldCode, entries: Entries
) -> tuple[tuple[RedirectionSite, ...], list[Finding]]:
    """``entries`` are those of the ``old`` code, in its order."""
    name_of = comparison.fixed.program.name_of
    sites: list[RedirectionSite] = []
    findings: list[Finding] = []
    roots = list(selection.functions)
    numbers = dict(zip(roots, range(len(roots)), strict=True))
    for place, (root, head) in enumerate(old.heads.items()):
        chosen = entries.choose(place, head, numbers[root], name_of(root))
        if isinstance(chosen, Finding):
            findings.append(chosen)
        else:
            sites.append(chosen)
    start = np.fromiter([site.window.start for site in sites], np.int64, len(sites))
    end = np.fromiter([site.window.end for site in sites], np.int64, len(sites))
    order = np.lexsort((end, start))
    for row in np.flatnonzero(end[order[:-1]] > start[order[1:]]).tolist():
        one, other = sites[order[row]], sites[order[row + 1]]
        if one.window.overlaps(other.window):
            cause = f"the filler at {other.window.start:#x} is needed for another function's entry too"
            findings.append(Finding(codes.NO_ROOM, name_of(roots[one.function]), cause))
    return tuple(sites), findings


def _data_cause(why: Reason) -> str:
    return {
        Reason.CHANGED: "content differs",
        Reason.ADDED: "no counterpart in the baseline",
        Reason.REFERRER: "points into carried code",
    }[why]


def _old_place(comparison: Comparison, members: tuple[int, ...]) -> Interval | None:
    """Where the first part that the baseline has lies there: a constant may begin with one that is new."""
    places = comparison.data.baseline[list(members)]
    known = places[places >= 0]
    if not len(known):
        return None
    place = int(known[0])
    mate = comparison.baseline.atoms.one(place)
    return Interval(place, int(comparison.baseline.atoms.end[mate]) if mate >= 0 else place)


def _removed(comparison: Comparison, selection: Selection) -> list[Finding]:
    """One note for all functions of the baseline that no function of the fixed image continues."""
    program, partner = comparison.baseline.program, selection.facts.partner
    kept = np.zeros(len(program.fragments), dtype=np.bool_)
    kept[partner[partner >= 0]] = True
    roots = comparison.baseline_functions.roots
    gone = sorted(program.name_of(root) for root in roots[~kept[roots]].tolist())
    return [Finding(codes.REMOVED_FUNCTIONS, gone[0], f"{len(gone)} functions")] if gone else []


def _level(comparison: Comparison, root: int) -> Level:
    return Level(int(comparison.pairing.level[root]))


def _weak(comparison: Comparison, selection: Selection) -> list[Finding]:
    level = comparison.pairing.level[selection.roots]
    unsure = (level == Level.SIMILARITY) | (level == Level.ORDER)
    weak = selection.roots[unsure & (selection.partners >= 0)].tolist()
    return [
        Finding(
            codes.WEAK_PAIR,
            comparison.fixed.program.name_of(root),
            f"paired by {_level(comparison, root).label}",
        )
        for root in weak
        if selection.functions[root] is not Reason.HANDLER
    ]
