"""Functions that are handlers in all but name.

clang calls a ``__finally`` block as a function, from the function it belongs to and from a handler that the
exception data names. It gets that function's frame: a redirection at its start would send threads that are
inside the old function into a block that was made for the new one's frame.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.decode import RefKind
from hpbuild.match.comparison import Comparison
from hpbuild.plan.handlers import Handlers
from hpbuild.plan.model import Reason


def finally_blocks(
    comparison: Comparison, functions: Mapping[int, Reason], handlers: Handlers
) -> frozenset[int]:
    """Roots of the carried functions that one carried function and its handlers call, and nobody else knows.

    The carried callers go straight to the new one; only old bodies still come to the old one, and should. A
    destructor that one function alone uses, and its handler, is taken for such a block as well: it stays with
    the old body in the same way."""
    side = comparison.fixed
    table, references, links = side.program.fragments, side.program.references, side.links
    carried = np.zeros(len(table), dtype=np.bool_)
    carried[list(functions)] = True
    parts = np.flatnonzero(carried[table.root])
    rows = links.rows[members(links.first[parts], links.last[parts])]
    callees, callers = table.root[side.targets.code[rows]], table.root[references.fragment[rows]]
    known = _known_elsewhere(comparison)
    known[callees[references.kind[rows] > RefKind.CALL]] = True
    calls = np.flatnonzero((references.kind[rows] <= RefKind.CALL) & (callees != callers))
    calls = calls[np.argsort(callees[calls], kind="stable")]
    callees, callers = callees[calls], callers[calls]
    starts = np.array(sorted(side.program.exceptions.funclets), dtype=np.int64)
    inner = among(table.start[callers], starts)  # handlers
    called = distinct(callees[inner])
    called = called[~known[called]]
    low, high = callees.searchsorted(called), callees.searchsorted(called, side="right")
    found = set()
    for root, first, last in zip(called.tolist(), low.tolist(), high.tolist(), strict=True):
        owners, handling = callers[first:last], inner[first:last]
        outer = set(owners[~handling].tolist())
        belongs = {owner for handler in set(owners[handling].tolist()) for owner in handlers.owners(handler)}
        if len(outer) == 1 and belongs == outer and outer <= functions.keys():
            found.add(root)
    return frozenset(found - {root for root in found if functions[root] is Reason.HANDLER})


def _known_elsewhere(comparison: Comparison) -> npt.NDArray[np.bool_]:
    """By fragment: it begins a function that data points at or that is exported."""
    side = comparison.fixed
    table = side.program.fragments
    held = side.pointers.code[(side.pointers.code >= 0) & (side.pointers.offset == 0)]
    exported = [fragment for fragment, _ in side.program.exported]
    known = np.zeros(len(table), dtype=np.bool_)
    known[table.root[held]] = True
    known[table.root[np.array(exported, dtype=np.int64)]] = True
    return known
