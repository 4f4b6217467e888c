"""From language data to handlers: through tables of read-only data, from one to the next.

All starts go in step, as columns. An image may have as long a chain of tables, and as many starts that lead
to one large table, as it likes: where that is more than any compiler makes, each start goes alone, with a
list of work, when it is asked for.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass

Bools = npt.NDArray[np.bool_]
Led = tuple[frozenset[int], frozenset[int]]
"""Roots of handlers, and the atoms through which something leads there."""
_STEPS = 32
"""Tables behind each other up to which all starts go in step."""
_MOST = 1 << 22
"""Fields, each counted for every start that leads there, up to which there is room for those of all steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """By row of the data fields: the root of the handler that it names, -1 for none, and the atom that it
    points at, -1 for none. By atom: its rows, from ``first`` to ``last``, and whether it is one of the
    ``tables`` that are followed; the last of ``tables`` is that of -1."""

    roots: I64
    pointed: I64
    first: I64
    last: I64
    tables: Bools


def together(ways: Ways, low: I64, high: I64) -> list[Led] | None:
    """What the rows from ``low`` to ``high`` lead to, for each start; None where one has a longer way than
    ``_STEPS``, or all together lead to more than ``_MOST``."""
    count = len(low)
    start, holder = np.arange(count), np.full(count, -1, dtype=np.int64)
    handlers, holding, edges = [], [], []
    seen, room = np.zeros(0, dtype=np.int64), _MOST
    for _ in range(_STEPS):
        sizes = high - low
        room -= int(sizes.sum())
        if room < 0:
            return None
        rows = members(low, high)
        start, holder = np.repeat(start, sizes), np.repeat(holder, sizes)
        named = ways.roots[rows] >= 0
        handlers.append(start[named] << 32 | ways.roots[rows[named]])
        holding.append((start << 32 | holder)[named & (holder >= 0)])
        leads = ways.tables[ways.pointed[rows]]
        start, holder, atom = start[leads], holder[leads], ways.pointed[rows[leads]]
        behind = holder >= 0
        edges.append(np.stack([(start << 32 | holder)[behind], (start << 32 | atom)[behind]]))
        fresh = distinct(start << 32 | atom)
        fresh = fresh[~among(fresh, seen)]
        if not len(fresh):
            leading = _leading(distinct(np.concatenate(holding)), np.concatenate(edges, axis=1))
            both = _by_start(distinct(np.concatenate(handlers)), count), _by_start(leading, count)
            return list(zip(*both, strict=True))
        seen = np.sort(np.concatenate([seen, fresh]))
        start, holder = fresh >> 32, fresh & 0xFFFFFFFF
        low, high = ways.first[holder], ways.last[holder]
    return None


def _leading(holding: I64, edges: npt.NDArray[np.int64]) -> I64:
    """What is ``holding`` a handler, and what leads there along ``edges`` (from, to): ascending."""
    found = fresh = holding
    while len(fresh):
        fresh = distinct(edges[0][among(edges[1], fresh)])
        fresh = fresh[~among(fresh, found)]
        found = np.sort(np.concatenate([found, fresh]))
    return found


def _by_start(keys: I64, count: int) -> Iterator[frozenset[int]]:
    """The lower halves of ``keys``, which ascend, for each number of the upper ones."""
    bounds = np.searchsorted(keys, np.arange(count + 1) << 32).tolist()
    values = (keys & 0xFFFFFFFF).tolist()
    return (frozenset(values[low:high]) for low, high in pairwise(bounds))


def alone(ways: Ways, low: int, high: int) -> Led:
    """What the rows from ``low`` to ``high`` lead to, of one start."""
    roots, pointed, tables = ways.roots.data, ways.pointed.data, ways.tables.data
    handlers = set(roots[low:high].tolist())
    holders: dict[int, set[int]] = {}
    pending = [(atom, -1) for atom in pointed[low:high].tolist()]
    leading = []
    while pending:
        atom, holder = pending.pop()
        if not tables[atom]:
            continue
        if atom not in holders:
            holders[atom] = set()
            begin, end = int(ways.first[atom]), int(ways.last[atom])
            named = {root for root in roots[begin:end].tolist() if root >= 0}
            handlers |= named
            leading += [atom] if named else []
            pending += [(one, atom) for one in pointed[begin:end].tolist()]
        if holder >= 0:
            holders[atom].add(holder)
    through = set[int]()
    while leading:
        atom = leading.pop()
        if atom not in through:
            through.add(atom)
            leading.extend(holders[atom])
    return frozenset(handlers - {-1}), frozenset(through)
