"""Further checks of a selection: changes that look harmless and are not."""

from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.plan.folding import folded
from hpbuild.plan.hidden import hidden
from hpbuild.plan.hooks import patched_already
from hpbuild.plan.interfaces import moved_exports
from hpbuild.plan.interior import into_middle
from hpbuild.plan.modules import found_by_module
from hpbuild.plan.selection import Selection
from hpbuild.plan.thread_local import thread_local
from hpbuild.plan.virtual_tables import torn_tables


def trapped(comparison: Comparison, selection: Selection) -> list[Finding]:
    """The findings of every check but those of ``beforehand``, in no particular order."""
    return [
        *folded(comparison, selection),
        *moved_exports(comparison, selection),
        *hidden(comparison, selection),
        *into_middle(comparison, selection),
        *thread_local(comparison, selection),
        *patched_already(comparison, selection),
        *found_by_module(comparison, selection),
        *torn_tables(comparison, selection),
    ]
