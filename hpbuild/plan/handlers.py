"""Exception handlers, split-off parts, and their functions: neither is carried without the other.

A handler runs on the frame of its function and is found through that function's exception data alone. So a
changed handler needs new exception data, which needs a new function to belong to; and a new function takes
its handlers along, because they return into it. The same holds for a part that a compiler split off (GNU's
``.cold``): it is entered by jumps, with its function's frame in place, and jumps back. A redirection at its
start would send threads that are inside the old function into the new one.
"""

from bisect import bisect_left
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among, members
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64
from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side
from hpbuild.plan.descent import Led, Ways, alone, together
from hpbuild.plan.leads import counted
from hpbuild.plan.parts import Records

_NOWHERE: Led = frozenset(), frozenset()


class Handlers:
    """Answers which handlers a function's exception data names and which parts were split off it, and whose a
    handler or part is."""

    __slots__ = (
        "_asked", "_begins", "_begun", "_below", "_busy", "_high", "_jumps", "_known", "_low", "_owners",
        "_records", "_side", "_starts", "_ways",
    )  # fmt: skip

    def __init__(self, side: Side, known: Records) -> None:
        self._side = side
        starts, sizes = known.starts, known.sizes
        sites = side.program.fields.site
        self._known, self._begins = starts, starts.data
        self._low, self._high = _bounds(sites, starts, starts + sizes)
        self._starts = side.program.exceptions.funclets
        self._begun = _beginning_at(side.program.fragments.start, self._starts)
        self._owners: dict[int, set[int]] | None = None
        self._below: dict[int, Led] | None = None
        self._asked = False
        self._jumps = self._jumped_to()
        self._records = self._with_parts()
        self._ways = Ways(
            roots=self._led_to(),
            pointed=side.pointers.atom,
            first=side.atoms.first_field,
            last=side.atoms.last_field,
            tables=np.append(self._all_tables(known.begun), False),
        )
        self._busy = counted((self._ways.roots >= 0) | self._ways.tables[side.pointers.atom])

    def rows(self, record: int) -> range:
        """Rows of the data fields inside the unwind record at RVA ``record``, with its language data."""
        index = bisect_left(self._begins, record)
        if index == len(self._begins) or self._begins[index] != record:
            return range(0)
        return range(int(self._low[index]), int(self._high[index]))

    def telling(self, before: npt.NDArray[np.int32]) -> frozenset[int]:
        """The unwind records from which something leads to handlers or split-off parts, or to what
        ``before`` counts: rows of the data fields, for each row those in front of it, and all at last."""
        low, high = self._low, self._high
        found = (before[high] > before[low]) | (self._busy[high] > self._busy[low])
        return frozenset(self._known[found].tolist()).union(self._records)

    def below(self, record: int) -> Led:
        """For the unwind record at ``record``: roots of the handlers that its language data leads to, and the
        atoms outside of the record through which it leads there."""
        if not self._starts:
            return _NOWHERE
        if not self._asked:
            self._asked, self._below = True, self._all_below()
        if self._below is not None:
            return self._below.get(record, _NOWHERE)
        rows = self.rows(record)
        handlers, through = alone(self._ways, rows.start, rows.stop)
        return handlers | self._parts_of(record), through

    def _jumped_to(self) -> dict[int, set[int]]:
        """Root -> roots of the split-off parts that its code jumps to."""
        references, places = self._side.program.references, self._side.targets
        table = self._side.program.fragments
        links, parts = self._side.links, self._begun
        rows = links.rows[members(links.first[parts], links.last[parts])]
        rows = np.sort(rows[(references.kind[rows] == RefKind.BRANCH) & (places.offset[rows] == 0)])
        owners, parts = table.root[references.fragment[rows]], table.root[places.code[rows]]
        found: dict[int, set[int]] = {}
        for owner, part in zip(owners.tolist(), parts.tolist(), strict=True):
            if owner != part:
                found.setdefault(owner, set()).add(part)
        return found

    def _parts_of(self, record: int) -> frozenset[int]:
        """Roots of the split-off parts of the functions with the unwind record at ``record``."""
        return frozenset(part for root in self._records.get(record, ()) for part in self._jumps[root])

    def _with_parts(self) -> dict[int, set[int]]:
        """Unwind record -> roots of the functions with it that have split-off parts."""
        found = dict[int, set[int]]()
        if not self._jumps:
            return found
        table = self._side.program.fragments
        parted = np.zeros(len(table), dtype=np.bool_)
        parted[list(self._jumps)] = True
        rows = np.flatnonzero(parted[table.root])
        for record, root in zip(table.unwind[rows].tolist(), table.root[rows].tolist(), strict=True):
            found.setdefault(record, set()).add(root)
        return found

    def _all_tables(
        self, begun: np.ndarray[tuple[int], np.dtype[np.bool_]]
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """By atom: read-only data outside of unwind records' beginnings."""
        atoms = self._side.atoms
        tables: np.ndarray[tuple[int], np.dtype[np.bool_]] = atoms.memory == Memory.RODATA
        return tables & ~begun

    def _led_to(self) -> I64:
        """By row of the data fields: the root of the handler that it names, -1 for none."""
        pointers, table = self._side.pointers, self._side.program.fragments
        roots = np.full(len(pointers.code), -1, dtype=np.int64)
        begun = np.zeros(len(table.start) + 1, dtype=np.bool_)  # the last is that of -1
        begun[self._begun] = True
        rows = np.flatnonzero(begun[pointers.code])
        rows = rows[pointers.offset[rows] == 0]
        roots[rows] = table.root[pointers.code[rows]]
        return roots

    def owners(self, handler: int) -> frozenset[int]:
        """Roots of the functions whose exception data leads to the handler with root ``handler``."""
        if self._owners is None:
            self._owners = self._all_owners()
        return frozenset(self._owners.get(handler, ()))

    def _all_below(self) -> dict[int, Led] | None:
        """``below`` of each unwind record that leads anywhere; None where there is no room for that."""
        busy = self._leading()
        every = together(self._ways, self._low[busy], self._high[busy])
        if every is None:
            return None
        found = dict(zip(self._known[busy].tolist(), every, strict=True))
        for record in self._records:
            handlers, through = found.get(record, _NOWHERE)
            found[record] = handlers | self._parts_of(record), through
        return found

    def _leading(self) -> I64:
        """The rows of the unwind records whose language data leads anywhere."""
        return np.flatnonzero(self._busy[self._high] > self._busy[self._low])

    def _all_owners(self) -> dict[int, set[int]]:
        fragments = self._side.program.fragments
        owners: dict[int, set[int]] = {}
        for owner, parts in self._jumps.items():
            for part in parts:
                owners.setdefault(part, set()).add(owner)
        records = sorted({*self._known[self._leading()].tolist(), *self._records})
        rows = np.flatnonzero(among(fragments.unwind, np.array(records, dtype=np.int64)))
        for record, root in zip(fragments.unwind[rows].tolist(), fragments.root[rows].tolist(), strict=True):
            for handler in self.below(record)[0]:
                owners.setdefault(handler, set()).add(root)
        return owners


def _bounds(sites: I64, starts: I64, ends: I64) -> tuple[I64, I64]:
    """The rows of ``sites`` that lie in each of the runs from ``starts`` to ``ends``, ascending: the first,
    and the one behind the last. Most runs end where the next begins."""
    low = sites.searchsorted(starts)
    high, apart = np.append(low, 0)[1:], np.ones(len(ends), dtype=np.bool_)
    apart[:-1] = ends[:-1] != starts[1:]
    high[apart] = sites.searchsorted(ends[apart])
    return low, high


def _beginning_at(starts: I64, places: Collection[int]) -> I64:
    """The rows of ``starts``, which ascend, that are among the ``places``: those are few."""
    few = np.array(sorted(places), dtype=np.int64)
    return members(starts.searchsorted(few), starts.searchsorted(few, side="right"))
