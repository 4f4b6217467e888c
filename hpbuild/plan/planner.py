"""From the comparison to the plan: what is carried, how entries are redirected, what is permitted."""

from collections.abc import Mapping
from itertools import pairwise

from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import reason
from hpbuild.match.functions import ranges
from hpbuild.match.pairing import Level
from hpbuild.plan.builds import Builds, build_findings
from hpbuild.plan.chunks import ChunkList
from hpbuild.plan.exclusions import declared_exclusions
from hpbuild.plan.model import CarriedDatum, CarriedFunction, ChunkKind, Plan, Reason, RedirectionSite
from hpbuild.plan.moved_fields import moved_fields
from hpbuild.plan.objects import extent
from hpbuild.plan.only import Limit
from hpbuild.plan.redirections import branch_targets, choose
from hpbuild.plan.resolve import Resolver
from hpbuild.plan.selection import Selection, select
from hpbuild.plan.traps import trapped
from hpbuild.values import Interval


def make_plan(comparison: Comparison, limit: Limit | None = None, builds: Builds | None = None) -> Plan:
    """Decide for one pair of images; with ``limit`` for the listed functions and what they need. ``builds``
    tells how the images were made. The findings say whether the plan may become a package."""
    selection = select(comparison, limit)
    resolver = Resolver(comparison, selection)
    numbered = ChunkList(resolver)
    numbered.number()
    chunks = numbered.chunks()
    theirs = comparison.baseline_functions
    functions = tuple(
        _function(comparison, selection, numbered, root, theirs) for root in selection.functions
    )
    redirections, no_room = _redirect(comparison, selection, functions)
    data = tuple(
        CarriedDatum(
            name=chunks[numbered.object_chunk[first]].name,
            reason=why,
            kind=ChunkKind(chunks[numbered.object_chunk[first]].kind),
            cause=_data_cause(why),
            chunk=numbered.object_chunk[first],
            fixed=extent(comparison.fixed, members),
            baseline=None if why is Reason.ADDED else _old_place(comparison, members),
        )
        for first, (members, why) in selection.objects.items()
    )
    exclusions, notes = declared_exclusions(comparison, selection, resolver.atom_chunk)
    findings = [*selection.findings, *resolver.findings.values(), *no_room, *notes]
    findings += trapped(comparison, selection)
    if builds is not None and functions:
        findings += build_findings(builds, comparison.fixed.program.image.name)
    if builds is None or not builds.types_known:
        findings += moved_fields(comparison, selection)
    findings += _weak(comparison, functions)
    findings += _removed(comparison, selection)
    return Plan(
        chunks=chunks,
        functions=functions,
        data=data,
        unwind=numbered.unwind_entries(),
        redirections=redirections,
        exclusions=exclusions,
        findings=tuple(
            sorted(set(findings), key=lambda finding: (finding.code.id, finding.place, finding.cause))
        ),
        uses=tuple(sorted(resolver.uses, key=lambda use: (use.range.start, use.range.end, use.constant))),
        only=() if limit is None else limit.names,
    )


def _function(
    comparison: Comparison,
    selection: Selection,
    numbered: ChunkList,
    root: int,
    theirs: Mapping[int, tuple[int, ...]],
) -> CarriedFunction:
    fact, why = selection.facts[root], selection.functions[root]
    program, other = comparison.fixed.program, comparison.baseline.program
    chunks = numbered.function_chunks[root]
    baseline: tuple[Interval, ...] = ()
    if fact.partner >= 0 and why is not Reason.HANDLER:
        baseline = ranges(other, theirs.get(fact.partner, (fact.partner,)))
    cause = {
        Reason.ADDED: "no counterpart in the baseline",
        Reason.REFERRER: "refers to changed data or has a changed handler",
        Reason.HANDLER: "handler or split-off part of a carried function",
    }
    return CarriedFunction(
        name=program.name_of(root),
        reason=why,
        level=Level(int(comparison.pairing.level[root])).label if baseline else "",
        cause=cause.get(why) or reason(comparison, fact),
        chunks=chunks,
        fixed=numbered.sources(root),
        baseline=baseline,
    )


def _redirect(
    comparison: Comparison, selection: Selection, functions: tuple[CarriedFunction, ...]
) -> tuple[tuple[RedirectionSite, ...], list[Finding]]:
    program = comparison.baseline.program
    named = branch_targets(program)
    sites: list[RedirectionSite] = []
    findings: list[Finding] = []
    for index, root in enumerate(selection.functions):
        partner = selection.facts[root].partner
        if partner < 0 or selection.functions[root] is Reason.HANDLER:
            continue
        chosen = choose(program, named, index, partner, functions[index].name)
        if isinstance(chosen, Finding):
            findings.append(chosen)
        else:
            sites.append(chosen)
    for one, other in pairwise(sorted(sites, key=lambda site: site.window)):
        if one.window.overlaps(other.window):
            cause = f"the filler at {other.window.start:#x} is needed for another function's entry too"
            findings.append(Finding(codes.NO_ROOM, functions[one.function].name, cause))
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
    program = comparison.baseline.program
    kept = {fact.partner for fact in selection.facts.values()}
    gone = sorted(program.name_of(root) for root in comparison.baseline_functions if root not in kept)
    return [Finding(codes.REMOVED_FUNCTIONS, gone[0], f"{len(gone)} functions")] if gone else []


def _weak(comparison: Comparison, functions: tuple[CarriedFunction, ...]) -> list[Finding]:
    weak = {Level.SIMILARITY.label, Level.ORDER.label}
    return [
        Finding(codes.WEAK_PAIR, function.name, f"paired by {function.level}")
        for function in functions
        if function.level in weak
    ]
