"""Exception handlers and their functions: neither is carried without the other.

A handler runs on the frame of its function and is found through that function's exception data alone. So a
changed handler needs new exception data, which needs a new function to belong to; and a new function takes
its handlers along, because they return into it.
"""

import numpy as np

from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side


class Handlers:
    """Answers which handlers a function's exception data names, and whose data names a handler."""

    __slots__ = ("_leads", "_owners", "_side", "_sizes", "_starts")

    def __init__(self, side: Side) -> None:
        self._side = side
        self._sizes = dict(side.program.exceptions.records)
        self._starts = side.program.exceptions.funclets
        self._leads: dict[int, frozenset[int]] = {}
        self._owners: dict[int, set[int]] | None = None

    def rows(self, record: int) -> range:
        """Rows of the data fields inside the unwind record at RVA ``record``, with its language data."""
        sites = self._side.program.fields.site
        low, high = np.searchsorted(sites, (record, record + self._sizes.get(record, 0))).tolist()
        return range(low, high)

    def below(self, record: int) -> tuple[frozenset[int], frozenset[int]]:
        """For the unwind record at ``record``: roots of the handlers that its language data leads to, and the
        atoms outside of the record through which it leads there."""
        handlers: set[int] = set()
        atoms: set[int] = set()
        for row in self.rows(record):
            handlers |= self._code(row)
            self._descend(int(self._side.pointers.atom[row]), handlers, atoms)
        return frozenset(handlers), frozenset(atoms)

    def _descend(self, atom: int, handlers: set[int], atoms: set[int]) -> None:
        if atom < 0 or atom in atoms or not self._leads_to(atom):
            return
        atoms.add(atom)
        handlers |= self._leads_to(atom)
        for row in self._atom_rows(atom):
            self._descend(int(self._side.pointers.atom[row]), handlers, atoms)

    def _leads_to(self, atom: int) -> frozenset[int]:
        """Handlers that an atom of read-only data leads to through any number of fields."""
        known = self._leads.get(atom)
        if known is not None:
            return known
        self._leads[atom] = frozenset()  # a cycle adds nothing
        if self._side.atoms.memory[atom] != Memory.RODATA or int(self._side.atoms.start[atom]) in self._sizes:
            return frozenset()
        found: set[int] = set()
        for row in self._atom_rows(atom):
            found |= self._code(row)
            target = int(self._side.pointers.atom[row])
            if target >= 0:
                found |= self._leads_to(target)
        self._leads[atom] = frozenset(found)
        return self._leads[atom]

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
        rows = np.flatnonzero(fragments.unwind > 0)
        for record, root in zip(fragments.unwind[rows].tolist(), fragments.root[rows].tolist(), strict=True):
            for handler in self.below(record)[0]:
                owners.setdefault(handler, set()).add(root)
        return owners
