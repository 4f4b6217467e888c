"""Exception handlers, split-off parts, and their functions: neither is carried without the other.

A handler runs on the frame of its function and is found through that function's exception data alone. So a
changed handler needs new exception data, which needs a new function to belong to; and a new function takes
its handlers along, because they return into it. The same holds for a part that a compiler split off (GNU's
``.cold``): it is entered by jumps, with its function's frame in place, and jumps back. A redirection at its
start would send threads that are inside the old function into the new one.
"""

import numpy as np

from hpbuild.code.decode import RefKind
from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side


class Handlers:
    """Answers which handlers a function's exception data names and which parts were split off it, and whose a
    handler or part is."""

    __slots__ = ("_jumps", "_owners", "_records", "_side", "_sizes", "_starts")

    def __init__(self, side: Side) -> None:
        self._side = side
        self._sizes = dict(side.program.exceptions.records)
        self._starts = side.program.exceptions.funclets
        self._owners: dict[int, set[int]] | None = None
        self._jumps = self._jumped_to()
        self._records: dict[int, set[int]] | None = None

    def rows(self, record: int) -> range:
        """Rows of the data fields inside the unwind record at RVA ``record``, with its language data."""
        sites = self._side.program.fields.site
        low, high = np.searchsorted(sites, (record, record + self._sizes.get(record, 0))).tolist()
        return range(low, high)

    def below(self, record: int) -> tuple[frozenset[int], frozenset[int]]:
        """For the unwind record at ``record``: roots of the handlers that its language data leads to, and the
        atoms outside of the record through which it leads there."""
        if not self._starts:
            return frozenset(), frozenset()
        rows = self.rows(record)
        handlers = {root for row in rows for root in self._code(row)} | self._parts_of(record)
        holders = self._reached(rows)
        leading: set[int] = set()
        pending = []
        for atom in holders:
            found = {root for row in self._atom_rows(atom) for root in self._code(row)}
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
        if not self._jumps:
            return set()
        if self._records is None:
            self._records = {}
            table = self._side.program.fragments
            for root in self._jumps:
                for index in np.flatnonzero(table.root == root).tolist():
                    self._records.setdefault(int(table.unwind[index]), set()).add(root)
        return {part for root in self._records.get(record, ()) for part in self._jumps[root]}

    def _reached(self, rows: range) -> dict[int, set[int]]:
        """Atoms of read-only data that fields lead to from ``rows``, each with the atoms that point at it.
        A list of work, not a recursion: the depth is the image's to choose."""
        holders: dict[int, set[int]] = {}
        pending = [(int(self._side.pointers.atom[row]), -1) for row in rows]
        while pending:
            atom, holder = pending.pop()
            if atom < 0 or not self._is_table(atom):
                continue
            if atom not in holders:
                holders[atom] = set()
                pending += [(int(self._side.pointers.atom[row]), atom) for row in self._atom_rows(atom)]
            if holder >= 0:
                holders[atom].add(holder)
        return holders

    def _is_table(self, atom: int) -> bool:
        atoms = self._side.atoms
        return bool(atoms.memory[atom] == Memory.RODATA) and int(atoms.start[atom]) not in self._sizes

    def _atom_rows(self, atom: int) -> range:
        return range(int(self._side.atoms.first_field[atom]), int(self._side.atoms.last_field[atom]))

    def _code(self, row: int) -> set[int]:
        fragment = int(self._side.pointers.code[row])
        fragments = self._side.program.fragments
        if (
            fragment < 0
            or self._side.pointers.offset[row]
            or int(fragments.start[fragment]) not in self._starts
        ):
            return set()
        return {int(fragments.root[fragment])}

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
        rows = np.flatnonzero(fragments.unwind > 0)
        for record, root in zip(fragments.unwind[rows].tolist(), fragments.root[rows].tolist(), strict=True):
            for handler in self.below(record)[0]:
                owners.setdefault(handler, set()).add(root)
        return owners
