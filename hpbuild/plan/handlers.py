"""Exception handlers, split-off parts, and their functions: neither is carried without the other.

A handler runs on the frame of its function and is found through that function's exception data alone. So a
changed handler needs new exception data, which needs a new function to belong to; and a new function takes
its handlers along, because they return into it. The same holds for a part that a compiler split off (GNU's
``.cold``): it is entered by jumps, with its function's frame in place, and jumps back. A redirection at its
start would send threads that are inside the old function into the new one.
"""

import numpy as np

from hpbuild.code.columns import among
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64
from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side
from hpbuild.plan.parts import record_starts


class Handlers:
    """Answers which handlers a function's exception data names and which parts were split off it, and whose a
    handler or part is."""

    __slots__ = ("_busy", "_jumps", "_owners", "_records", "_roots", "_side", "_sizes", "_starts", "_tables")

    def __init__(self, side: Side) -> None:
        self._side = side
        self._sizes = dict(side.program.exceptions.records)
        self._starts = side.program.exceptions.funclets
        self._owners: dict[int, set[int]] | None = None
        self._jumps = self._jumped_to()
        self._records = self._with_parts()
        self._roots = self._led_to()
        self._tables = np.append(self._all_tables(), False)  # the last is that of -1
        leads = (self._roots >= 0) | self._tables[side.pointers.atom]
        self._busy: I64 = np.concatenate([[0], np.cumsum(leads)])

    def rows(self, record: int) -> range:
        """Rows of the data fields inside the unwind record at RVA ``record``, with its language data."""
        sites = self._side.program.fields.site
        low, high = sites.searchsorted((record, record + self._sizes.get(record, 0))).tolist()
        return range(low, high)

    def below(self, record: int) -> tuple[frozenset[int], frozenset[int]]:
        """For the unwind record at ``record``: roots of the handlers that its language data leads to, and the
        atoms outside of the record through which it leads there."""
        if not self._starts:
            return frozenset(), frozenset()
        rows = self.rows(record)
        handlers = self._code(rows) | self._parts_of(record)
        if self._busy[rows.start] == self._busy[rows.stop]:
            return frozenset(handlers), frozenset()
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
        rows = np.flatnonzero((references.kind == RefKind.BRANCH) & (places.code >= 0) & (places.offset == 0))
        rows = rows[np.isin(references.target[rows], sorted(self._starts))]
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
        rows = np.flatnonzero(np.isin(table.root, sorted(self._jumps)))
        for record, root in zip(table.unwind[rows].tolist(), table.root[rows].tolist(), strict=True):
            found.setdefault(record, set()).add(root)
        return found

    def _reached(self, rows: range) -> dict[int, set[int]]:
        """Atoms of read-only data that fields lead to from ``rows``, each with the atoms that point at it.
        A list of work, not a recursion: the depth is the image's to choose."""
        holders: dict[int, set[int]] = {}
        pointed = self._side.pointers.atom
        pending = [(atom, -1) for atom in pointed[rows.start : rows.stop].tolist()]
        while pending:
            atom, holder = pending.pop()
            if not self._tables[atom]:
                continue
            if atom not in holders:
                holders[atom] = set()
                below = self._atom_rows(atom)
                pending += [(one, atom) for one in pointed[below.start : below.stop].tolist()]
            if holder >= 0:
                holders[atom].add(holder)
        return holders

    def _all_tables(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """By atom: read-only data outside of unwind records' beginnings."""
        atoms = self._side.atoms
        tables: np.ndarray[tuple[int], np.dtype[np.bool_]] = atoms.memory == Memory.RODATA
        return tables & ~among(atoms.start, record_starts(self._side.program))

    def _atom_rows(self, atom: int) -> range:
        return range(int(self._side.atoms.first_field[atom]), int(self._side.atoms.last_field[atom]))

    def _led_to(self) -> I64:
        """By row of the data fields: the root of the handler that it names, -1 for none."""
        pointers, table = self._side.pointers, self._side.program.fragments
        roots = np.full(len(pointers.code), -1, dtype=np.int64)
        rows = np.flatnonzero((pointers.code >= 0) & (pointers.offset == 0))
        rows = rows[among(table.start[pointers.code[rows]], np.array(sorted(self._starts), dtype=np.int64))]
        roots[rows] = table.root[pointers.code[rows]]
        return roots

    def _code(self, rows: range) -> set[int]:
        found = set(self._roots[rows.start : rows.stop].tolist())
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
        for record, root in zip(fragments.unwind[rows].tolist(), fragments.root[rows].tolist(), strict=True):
            for handler in self.below(record)[0]:
                owners.setdefault(handler, set()).add(root)
        return owners

    def _may_lead(self, records: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which of the unwind records at ``records`` lead anywhere, or have split-off parts."""
        known = np.array(((0, 0), *self._side.program.exceptions.records), dtype=np.int64)
        place = np.minimum(known[:, 0].searchsorted(records), len(known) - 1)
        size = np.where(known[place, 0] == records, known[place, 1], 0)
        site = self._side.program.fields.site
        low, high = site.searchsorted(records), site.searchsorted(records + size)
        parts = np.isin(records, sorted(self._records))
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (self._busy[high] > self._busy[low]) | parts
        return found
