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
    surely is, ``chosen`` is what is carried."""

    others: I64
    chosen: Chosen


@dataclass(frozen=True, slots=True)
class Beforehand:
    """``seen`` is the old code that is replaced; ``findings`` are those of ``filled_rows`` and
    ``initialisers``; ``interfaces`` tells what differs there."""

    seen: Seen
    findings: tuple[Finding, ...]
    interfaces: Interfaces


def beforehand(comparison: Comparison, surely: I64, ask: Callable[[], Told]) -> Beforehand:
    """Find all of it out. ``surely`` are the roots of the old code that is replaced whatever is decided;
    ``ask`` gives what is decided, as soon as it is."""
    seen, findings = look(comparison, surely), filled_rows(comparison)
    interfaces = Interfaces.of(comparison.fixed.program, comparison.baseline.program)
    starts = Starts.of(comparison) if len(surely) else None
    told = ask()
    seen = seen.joined(look(comparison, told.others))
    if told.chosen.functions or not comparison.facts.identical.all():
        findings += initialisers(comparison, told.chosen, starts or Starts.of(comparison))
    return Beforehand(seen, tuple(findings), interfaces)
