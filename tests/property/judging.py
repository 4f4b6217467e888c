"""What a law demands of a comparison, and whether the comparison meets it."""

from collections.abc import Mapping
from dataclasses import dataclass

from hpbuild.code.model import Program
from hpbuild.code.program import load_program
from hpbuild.errors import HpbuildError, Severity
from hpbuild.match.comparison import compare
from hpbuild.match.facts import describe
from hpbuild.match.model import Change, Difference
from hpbuild.pe.reader import parse_image
from hpbuild.plan.model import Reason
from hpbuild.plan.planner import make_plan
from tests.comparing import patched


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One mutation and what must come of it. Functions are told by the RVA of their entry in the mutated
    image, which lies where it lay.

    ``edits``: new bytes by RVA. ``changed``: functions that must be reported as changed, and not as moved
    lines. ``carried``: functions that a package must replace. ``within``: all that may be reported as changed
    or replaced, None for no limit. ``datum``: an RVA that a reported datum must hold, -1 for none.
    ``refused``: one of these codes must refuse; none when empty. ``whole``: nobody may be added or removed.
    """

    story: str
    edits: Mapping[int, bytes]
    changed: frozenset[int] = frozenset()
    carried: frozenset[int] = frozenset()
    within: frozenset[int] | None = None
    datum: int = -1
    refused: frozenset[str] = frozenset()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Carried:
    """A function that the plan replaces; ``follows`` when it is a handler or goes with one."""

    entry: int
    follows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the engine says: the facts, what would be carried, and codes by severity 'refuse' or other.
    ``declined`` is the code with which it does not read the image at all."""

    difference: Difference | None
    carried: tuple[Carried, ...] = ()
    refusals: frozenset[str] = frozenset()
    declined: str = ""


def examine(original: Program, edits: Mapping[int, bytes]) -> Result:
    """Compare a program with an edited copy of it, and plan the package."""
    return examine_file(original, patched(original.image, edits))


def examine_file(original: Program, data: bytes) -> Result:
    """Compare a program with a file, which gets the program's symbols, and plan the package."""
    try:
        other = load_program(parse_image(data, original.image.name), original.symbols)
    except HpbuildError as error:
        return Result(difference=None, declined=error.finding.code.id)
    return examine_programs(original, other)


def examine_programs(baseline: Program, fixed: Program) -> Result:
    """Compare two programs and plan the package."""
    comparison = compare(baseline, fixed)
    plan = make_plan(comparison)
    return Result(
        difference=describe(comparison),
        carried=tuple(
            Carried(int(item.fixed[0].start), item.reason is Reason.HANDLER) for item in plan.functions
        ),
        refusals=frozenset(
            finding.code.id for finding in plan.findings if finding.code.severity is Severity.REFUSE
        ),
    )


def judge(demand: Demand, result: Result) -> list[str]:
    """All that a result lacks of what is demanded, or has too much; nothing when the law holds."""
    difference = result.difference
    if difference is None:
        return [f"not read: {result.declined}"]
    reported = {
        int(item.fixed[0].start) for item in difference.functions if item.fixed and not item.line_only
    }
    changed = {
        int(item.fixed[0].start)
        for item in difference.functions
        if item.change is Change.CHANGED and not item.line_only
    }
    carried = {item.entry for item in result.carried}
    wrong = [f"not reported as changed: {rva:#x}" for rva in sorted(demand.changed - changed)]
    wrong += [f"not carried: {rva:#x}" for rva in sorted((demand.carried | demand.changed) - carried)]
    if demand.within is not None:
        reasons = {int(item.fixed[0].start): item.reason for item in difference.functions if item.fixed}
        wrong += [
            f"reported without need: {rva:#x} ({reasons[rva]})" for rva in sorted(reported - demand.within)
        ]
        if not any(item.follows for item in result.carried):
            extra = sorted(carried - reported - demand.within)
            wrong += [f"carried without need: {rva:#x}" for rva in extra]
    if demand.whole:
        wrong += [
            f"{item.change.value}: {item.name} ({item.reason})"
            for item in difference.functions
            if item.change in (Change.ADDED, Change.REMOVED)
        ]
    if demand.datum >= 0 and not _holds(difference, demand.datum):
        wrong.append(f"no reported datum holds {demand.datum:#x}")
    if demand.refused and not demand.refused & result.refusals:
        found = ", ".join(sorted(result.refusals)) or "nothing"
        wrong.append(f"not refused with {' or '.join(sorted(demand.refused))}: {found}")
    if sum(size for _, size in difference.account) != difference.mapped:
        wrong.append("the account does not add up")
    return wrong


def _holds(difference: Difference, rva: int) -> bool:
    return any(
        item.fixed is not None and item.fixed.start <= rva < item.fixed.end for item in difference.data
    )
