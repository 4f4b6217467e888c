"""Where the work list has to look: references and pointers that may lead to what is not carried yet."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from hpbuild.match.comparison import Comparison
from hpbuild.match.functions import FunctionFacts
from hpbuild.match.sides import Side
from hpbuild.plan.arrays import Arrays

Bools = npt.NDArray[np.bool_]


class Loud:
    """Marked rows of a table, of which few are."""

    __slots__ = ("_before", "_rows")

    def __init__(self, marked: Bools) -> None:
        self._rows = np.flatnonzero(marked).data
        self._before = np.append(0, np.cumsum(marked)).data

    def rows(self, first: int, last: int) -> list[int]:
        """Those in ``range(first, last)``, ascending."""
        low, high = self._before[first], self._before[last]
        return self._rows[low:high].tolist() if low < high else []


class Columns:
    """What the work list asks for a number at a time."""

    __slots__ = (
        "atom_start", "first", "first_field", "last", "last_field", "pointer_atom", "pointer_code", "root",
        "target_atom", "target_code", "unwind",
    )  # fmt: skip

    def __init__(self, side: Side) -> None:
        table, atoms = side.program.fragments, side.atoms
        self.first, self.last = side.first.data, side.last.data
        self.root, self.unwind = table.root.data, table.unwind.data
        self.target_code, self.target_atom = side.targets.code.data, side.targets.atom.data
        self.pointer_code = side.pointers.code.data
        self.pointer_atom = side.pointers.atom.data
        self.atom_start = atoms.start.data
        self.first_field, self.last_field = atoms.first_field.data, atoms.last_field.data


class Leads:
    """The rows of one comparison's fixed image that lead to what is new or differs."""

    def __init__(self, comparison: Comparison, facts: FunctionFacts, known: Arrays) -> None:
        self._comparison = comparison
        self._facts = facts
        self._arrays = known

    @cached_property
    def changed(self) -> Bools:
        """By fragment: it begins a changed or new function; the last is that of -1."""
        changed = np.zeros(len(self._comparison.fixed.program.fragments) + 1, dtype=np.bool_)
        changed[self._facts.roots[~self._facts.identical]] = True
        return changed

    @cached_property
    def _differing(self) -> Bools:
        """By atom: it is not simply the baseline's."""
        data = self._comparison.data
        atoms: Bools = (data.baseline < 0) | ~data.same
        atoms[list(self._arrays.changed)] = True
        return atoms

    @cached_property
    def references(self) -> Loud:
        """Those that name changed or new code, or data that is not simply the baseline's; or data that points
        behind the entry of a function, which may be the row's own."""
        side = self._comparison.fixed
        table, targets, pointers = side.program.fragments, side.targets, side.pointers
        inner = pointers.code >= 0
        held = pointers.code[inner]
        inner[inner] = (pointers.offset[inner] > 0) | (table.root[held] != held)
        count = np.concatenate([[0], np.cumsum(inner)])
        atoms = self._differing | (count[side.atoms.last_field] > count[side.atoms.first_field])
        code = self.changed[np.append(table.root, -1)]
        return Loud(code[targets.code] | np.append(atoms, False)[targets.atom])

    @cached_property
    def pointers(self) -> Loud:
        """Those that name changed or new code, or data that is not simply the baseline's."""
        side = self._comparison.fixed
        pointers, code = side.pointers, self.changed[np.append(side.program.fragments.root, -1)]
        return Loud(code[pointers.code] | np.append(self._differing, False)[pointers.atom])
