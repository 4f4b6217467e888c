"""One module of a release from its two files to what a package of it would carry.

What the stages after the analysis need is imported when that has begun: it may go on in a second process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from hpbuild.assembly.aside import aside
from hpbuild.assembly.collector import collector_aside
from hpbuild.assembly.forked import can_fork
from hpbuild.assembly.lists import Lists
from hpbuild.assembly.loading import Pair, Source, load_pair
from hpbuild.assembly.start import HERE, Start
from hpbuild.assembly.trees import FilePair
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.manifest.model import Module
from hpbuild.match.explained import Explanation
from hpbuild.match.model import Difference
from hpbuild.plan.model import Exclusion, declared, left_out_of

if TYPE_CHECKING:
    from hpbuild.cache.store import Store
    from hpbuild.match.comparison import Comparison
    from hpbuild.plan.only import Limit
    from hpbuild.plan.planner import Decision

Progress = Callable[[str, str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDiff:
    """One module: the facts, what the plan thinks of them, and the verdict 'identical', 'hotpatchable',
    'refused', 'left-out' (the list of functions names none of it) or 'nothing-to-patch' (what differs is in
    no function that has to be carried). ``symbols`` says where names come from (baseline/fixed).
    ``only`` is the list that the plan is limited to, empty when it is not."""

    baseline: str
    fixed: str
    verdict: str
    symbols: str
    difference: Difference
    findings: tuple[Finding, ...]
    exclusions: tuple[Exclusion, ...]
    only: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True, slots=True)
class Examined:
    """One module with the working results that making and proving build on; ``sources`` as in ``Pair``."""

    diff: ModuleDiff
    comparison: Comparison
    decision: Decision
    sources: tuple[Source, Source] | None


def examine(
    pair: FilePair,
    symbols: str,
    progress: Progress,
    lists: Lists | Module,
    store: Store | None = None,
    *,
    processes: int = 2,
    analysed: Callable[[Pair], None] | None = None,
    start: Start = HERE,
) -> Examined:
    """Analyse, compare and plan one module, within the limits of the lists or of a package's module.
    ``analysed`` is told of both programs as soon as they are there; the other parameters as in ``load_pair``.
    Raises HpbuildError as it and as ``Lists`` do."""
    with collector_aside():
        programs = load_pair(
            pair.baseline, pair.fixed, symbols, progress, store,
            processes=processes, start=start, begun=_import_the_rest,
        )  # fmt: skip
        from hpbuild.match.comparison import compare
        from hpbuild.match.facts import describe
        from hpbuild.plan.planner import decide

        if analysed is not None:
            analysed(programs)
        progress("compare", pair.path, 0, 0)
        comparison = compare(programs.baseline, programs.fixed, programs.contents, programs.bearings)
        progress("plan", pair.path, 0, 0)
        if isinstance(lists, Lists):
            limit, explanations = (
                lists.limit(comparison, pair.path),
                lists.explanations(comparison, pair.path),
            )
        else:
            from hpbuild.plan.listing import limit_of_package

            entries = [function.fixed[0].start for function in lists.functions if function.fixed]
            limit, explanations = limit_of_package(comparison, lists.only, entries), ()
        begin = partial(aside, pair.path) if processes > 1 and can_fork() else None
        decision = decide(comparison, limit, programs.builds, begin)
        difference = describe(comparison)
    sources = (programs.baseline.symbols.source, programs.fixed.symbols.source)
    diff = ModuleDiff(
        baseline=str(pair.baseline),
        fixed=str(pair.fixed),
        verdict=_verdict(difference, decision, limit),
        symbols=sources[0] if sources[0] == sources[1] else "/".join(sources),
        difference=difference,
        findings=decision.findings,
        exclusions=declared(decision.exclusions),
        only=decision.only,
        explanations=explanations,
    )
    return Examined(diff, comparison, decision, programs.sources)


def _import_the_rest() -> None:
    """What comes after the analysis, and what that imports."""
    import hpbuild.match.facts
    import hpbuild.plan.planner  # noqa: F401


def _verdict(difference: Difference, decision: Decision, limit: Limit | None) -> str:
    if decision.refused:
        return "refused"
    if limit is not None and not decision.carries and left_out_of(decision.exclusions):
        return "left-out"
    same = not difference.functions and not difference.data
    if same:
        return "identical"
    return "hotpatchable" if decision.carries else "nothing-to-patch"
