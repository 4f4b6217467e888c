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

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64
from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side
from hpbuild.plan.leads import counted
from hpbuild.plan.parts import Records

_STEPS = 32
"""Tables behind each other that all unwind records are followed through at once."""


class Handlers:
    """Answers which handlers a function's exception data names and which parts were split off it, and whose a
    handler or part is."""

    __slots__ = (
        "_begins", "_begun", "_busy", "_first", "_high", "_jumps", "_known", "_last", "_low", "_owners",
        "_records", "_roots", "_side", "_starts", "_tables",
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
        self._jumps = self._jumped_to()
        self._records = self._with_parts()
        self._roots = self._led_to()
        self._tables = np.append(self._all_tables(known.begun), False)  # the last is that of -1
        leads = (self._roots >= 0) | self._tables[side.pointers.atom]
        self._busy = counted(leads)
        self._first, self._last = side.atoms.first_field.data, side.atoms.last_field.data

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

    def below(self, record: int) -> tuple[frozenset[int], frozenset[int]]:
        """For the unwind record at ``record``: roots of the handlers that its language data leads to, and the
        atoms outside of the record through which it leads there."""
        if not self._starts:
            return frozenset(), frozenset()
        rows, parts = self.rows(record), self._parts_of(record)
        if self._busy[rows.start] == self._busy[rows.stop]:
            return frozenset(parts), frozenset()
        handlers = self._code(rows) | parts
        holders = self._reached(rows)
        leading: set[int] = set()
        pending = []
        for atom in holders:
            found = self._code(self._atom_rows(atom))
            if found:
                handlers |= found
                pending.append(atom)
        while pending:
            atom = pending.pop()
            if atom not in leading:
                leading.add(atom)
                pending.extend(holders[atom])
        return frozenset(handlers), frozenset(leading)

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

    def _parts_of(self, record: int) -> set[int]:
        """Roots of the split-off parts of the functions with the unwind record at ``record``."""
        return {part for root in self._records.get(record, ()) for part in self._jumps[root]}

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

    def _reached(self, rows: range) -> dict[int, set[int]]:
        """Atoms of read-only data that fields lead to from ``rows``, each with the atoms that point at it.
        A list of work, not a recursion: the depth is the image's to choose."""
        holders: dict[int, set[int]] = {}
        pointed, tables = self._side.pointers.atom.data, self._tables.data
        pending = [(atom, -1) for atom in pointed[rows.start : rows.stop].tolist()]
        while pending:
            atom, holder = pending.pop()
            if not tables[atom]:
                continue
            if atom not in holders:
                holders[atom] = set()
                below = self._atom_rows(atom)
                pending += [(one, atom) for one in pointed[below.start : below.stop].tolist()]
            if holder >= 0:
                holders[atom].add(holder)
        return holders

    def _all_tables(
        self, begun: np.ndarray[tuple[int], np.dtype[np.bool_]]
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """By atom: read-only data outside of unwind records' beginnings."""
        atoms = self._side.atoms
        tables: np.ndarray[tuple[int], np.dtype[np.bool_]] = atoms.memory == Memory.RODATA
        return tables & ~begun

    def _atom_rows(self, atom: int) -> range:
        return range(self._first[atom], self._last[atom])

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

    def _code(self, rows: range) -> set[int]:
        found = set(self._roots.data[rows.start : rows.stop].tolist())
        found.discard(-1)
        return found

    def owners(self, handler: int) -> frozenset[int]:
        """Roots of the functions whose exception data leads to the handler with root ``handler``."""
        if self._owners is None:
            self._owners = self._all_owners()
        return frozenset(self._owners.get(handler, ()))

    def _all_owners(self) -> dict[int, set[int]]:
        fragments = self._side.program.fragments
        owners: dict[int, set[int]] = {}
        for owner, parts in self._jumps.items():
            for part in parts:
                owners.setdefault(part, set()).add(owner)
        rows = np.flatnonzero((fragments.unwind > 0) & bool(self._starts))
        rows = rows[self._may_lead(fragments.unwind[rows])]
        led = self._all_below(distinct(fragments.unwind[rows]))
        for record, root in zip(fragments.unwind[rows].tolist(), fragments.root[rows].tolist(), strict=True):
            for handler in led.get(record, ()):
                owners.setdefault(handler, set()).add(root)
        return owners

    def _all_below(self, unwind: I64) -> dict[int, set[int]]:
        """The handlers of ``below`` of each unwind record at ``unwind`` that has any: all go from table to
        table in step."""
        found = {record: self._parts_of(record) for record in unwind.tolist() if record in self._records}
        known = self._known.searchsorted(unwind)
        there = np.append(self._known, -1)[known] == unwind
        unwind, known = unwind[there], known[there]
        atoms, pointed = self._side.atoms, self._side.pointers.atom
        low, high = self._low[known], self._high[known]
        owner, seen = np.arange(len(unwind)), np.zeros(0, dtype=np.int64)
        for _ in range(_STEPS):
            owner, rows = np.repeat(owner, high - low), members(low, high)
            handlers = self._roots[rows]
            for record, root in zip(
                *(part[handlers >= 0].tolist() for part in (unwind[owner], handlers)), strict=True
            ):
                found.setdefault(record, set()).add(root)
            leads = self._tables[pointed[rows]]
            keys = distinct(owner[leads] << 32 | pointed[rows][leads])
            keys = keys[~among(keys, seen)]
            if not len(keys):
                return found
            seen = np.sort(np.concatenate([seen, keys]))
            owner, atom = keys >> 32, keys & 0xFFFFFFFF
            low, high = atoms.first_field[atom], atoms.last_field[atom]
        return {record: set(self.below(record)[0]) for record in {*unwind.tolist(), *found}}

    def _may_lead(self, unwind: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which of the unwind records at ``unwind`` lead anywhere, or have split-off parts."""
        some = self._known[self._busy[self._high] > self._busy[self._low]]
        parts = np.array(sorted(self._records), dtype=np.int64)
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = among(unwind, some) | among(unwind, parts)
        return found


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
