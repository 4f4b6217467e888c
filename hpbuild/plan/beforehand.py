"""What takes long to find out of two images and little else depends on: it may be done while it is decided
what a plan carries."""

from collections.abc import Callable

from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.plan.endless import Seen, look
from hpbuild.plan.filled_rows import filled_rows
from hpbuild.plan.initialisers import Starts, initialisers
from hpbuild.plan.interfaces import Interfaces
from hpbuild.plan.selection import Chosen


@dataclass(frozen=True, slots=True)
class Told:
    """What was decided meanwhile: ``others`` are the roots of the old code that is replaced besides what
    surely is; ``chosen`` is what is carried, for those who look at ``initialisers``."""

    others: I64
    chosen: Chosen | None


@dataclass(frozen=True, slots=True)
class Beforehand:
    """``seen`` is the old code that is replaced; ``findings`` are those of ``filled_rows`` and
    ``initialisers``; ``interfaces`` tells what differs there."""

    seen: Seen
    findings: tuple[Finding, ...]
    interfaces: Interfaces


def at_starts(comparison: Comparison, chosen: Chosen, starts: Starts | None = None) -> list[Finding]:
    """The findings of ``initialisers``; ``starts`` where they are known."""
    if not chosen.functions and comparison.facts.identical.all():
        return []
    return initialisers(comparison, chosen, starts or Starts.of(comparison))


def beforehand(
    comparison: Comparison, surely: I64, ask: Callable[[], Told], *, early: bool = False
) -> Beforehand:
    """Find all of it out. ``surely`` are the roots of the old code that is replaced whatever is decided;
    ``ask`` gives what is decided, as soon as it is: with ``early`` there is time for what the loader runs
    until then."""
    seen, findings = look(comparison, surely), filled_rows(comparison)
    interfaces = Interfaces.of(comparison.fixed.program, comparison.baseline.program)
    starts = Starts.of(comparison) if early else None
    told = ask()
    seen = seen.joined(look(comparison, told.others))
    if told.chosen is not None:
        findings += at_starts(comparison, told.chosen, starts)
    return Beforehand(seen, tuple(findings), interfaces)
