"""What takes long to find out of two images and little else depends on: it may be done while it is decided
what a plan carries."""

from collections.abc import Callable

from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.plan.endless import Seen, look
from hpbuild.plan.filled_rows import filled_rows
from hpbuild.plan.interfaces import Interfaces


@dataclass(frozen=True, slots=True)
class Beforehand:
    """``seen`` is the old code that is replaced; ``findings`` are those of ``filled_rows``; ``interfaces``
    tells what differs there."""

    seen: Seen
    findings: tuple[Finding, ...]
    interfaces: Interfaces


def beforehand(comparison: Comparison, surely: I64, others: Callable[[], I64]) -> Beforehand:
    """Find all of it out. ``surely`` are the roots of the old code that is replaced whatever is decided;
    ``others`` gives the rest of them as soon as they are known."""
    seen, findings = look(comparison, surely), tuple(filled_rows(comparison))
    interfaces = Interfaces.of(comparison.fixed.program, comparison.baseline.program)
    return Beforehand(seen.joined(look(comparison, others())), findings, interfaces)
