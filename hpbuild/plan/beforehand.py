"""What a plan needs to know of two images whatever it carries: it may be found out while that is decided."""

from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.plan.endless import Seen, look
from hpbuild.plan.filled_rows import filled_rows
from hpbuild.plan.initialiser_lists import InitialiserList, initialiser_lists


@dataclass(frozen=True, slots=True)
class Beforehand:
    """``seen`` is the old code that surely is replaced; ``lists`` are what may be lists of initialisers in
    the fixed image; ``findings`` those of ``filled_rows``."""

    seen: Seen
    lists: tuple[InitialiserList, ...]
    findings: tuple[Finding, ...]


def beforehand(comparison: Comparison, surely: I64) -> Beforehand:
    """Find all of it out; ``surely`` are the roots of the old code."""
    return Beforehand(
        seen=look(comparison, surely),
        lists=tuple(initialiser_lists(comparison.fixed)),
        findings=tuple(filled_rows(comparison)),
    )
