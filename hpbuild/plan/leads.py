"""Where the work list has to look: references and pointers that may lead to what is not carried yet."""

from collections.abc import Collection
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hpbuild.match.comparison import Comparison
from hpbuild.plan.arrays import Arrays

Bools = npt.NDArray[np.bool_]


def counted(marked: Bools) -> npt.NDArray[np.int32]:
    """How many are marked in front of each row, and of all."""
    found = np.zeros(len(marked) + 1, dtype=np.int32)
    np.cumsum(marked, out=found[1:])
    return found


class Loud:
    """Marked rows of a table, of which few are. ``before``: how many of them there are in front of each row,
    and of all."""

    __slots__ = ("_before", "_rows", "before")

    def __init__(self, marked: Bools) -> None:
        self._rows = np.flatnonzero(marked).data
        self.before = counted(marked)
        self._before = self.before.data

    def rows(self, first: int, last: int) -> list[int]:
        """Those in ``range(first, last)``, ascending."""
        low, high = self._before[first], self._before[last]
        return self._rows[low:high].tolist() if low < high else []


class Columns:
    """What the work list asks for a number at a time. ``identical`` and ``partner`` are those of functions,
    by their first fragments; ``old`` is where the baseline has an atom, ``same`` whether with its content."""

    __slots__ = (
        "atom_start", "first", "first_field", "identical", "last", "last_field", "memory", "old", "partner",
        "pointer_atom", "pointer_code", "root", "same", "start", "target_atom", "target_code", "unwind",
    )  # fmt: skip

    def __init__(self, comparison: Comparison) -> None:
        side, facts, data = comparison.fixed, comparison.facts, comparison.data
        table, atoms = side.program.fragments, side.atoms
        self.first, self.last = side.first.data, side.last.data
        self.root, self.unwind, self.start = table.root.data, table.unwind.data, table.start.data
        self.target_code, self.target_atom = side.targets.code.data, side.targets.atom.data
        self.pointer_code = side.pointers.code.data
        self.pointer_atom = side.pointers.atom.data
        self.atom_start, self.memory = atoms.start.data, atoms.memory.data
        self.first_field, self.last_field = atoms.first_field.data, atoms.last_field.data
        self.old, self.same = data.baseline.data, data.same.data
        identical, partner = np.zeros(len(table), dtype=np.bool_), np.full(len(table), -1)
        identical[facts.roots], partner[facts.roots] = facts.identical, facts.partner
        self.identical, self.partner = identical.data, partner.data


class Leads:
    """The rows of one comparison's fixed image that lead to what is new or differs, and is not carried yet:
    ``functions`` and ``objects`` (atoms) are, when the first rows are asked for."""

    def __init__(
        self, comparison: Comparison, known: Arrays, functions: Collection[int], objects: Collection[int]
    ) -> None:
        self._side, self._data, self._arrays = comparison.fixed, comparison.data, known
        self._functions, self._objects = functions, objects
        facts = comparison.facts
        # By fragment: it begins a changed or new function; the last is that of -1.
        self.changed = np.zeros(len(self._side.program.fragments) + 1, dtype=np.bool_)
        self.changed[facts.roots[~facts.identical]] = True

    @cached_property
    def _code(self) -> Bools:
        """By fragment: it belongs to a changed or new function; the last is that of -1."""
        fresh = self.changed.copy()
        fresh[np.fromiter(self._functions, np.int64, len(self._functions))] = False
        found: Bools = fresh[np.append(self._side.program.fragments.root, -1)]
        return found

    @cached_property
    def _differing(self) -> Bools:
        """By atom: it is not simply the baseline's; the last is that of -1."""
        atoms: Bools = (self._data.baseline < 0) | ~self._data.same
        atoms[list(self._arrays.changed)] = True
        return self._open(atoms)

    def _open(self, atoms: Bools) -> Bools:
        """``atoms`` without those that are carried; the last is that of -1."""
        atoms[np.fromiter(self._objects, np.int64, len(self._objects))] = False
        return np.append(atoms, False)

    @cached_property
    def references(self) -> Loud:
        """Those that name changed or new code, or data that is not simply the baseline's; or data that points
        behind the entry of a function, which may be the row's own."""
        side, root = self._side, self._side.program.fragments.root
        targets, pointers = side.targets, side.pointers
        inner = pointers.code >= 0
        held = pointers.code[inner]
        inner[inner] = (pointers.offset[inner] > 0) | (root[held] != held)
        count = counted(inner)
        tables = self._open(count[side.atoms.last_field] > count[side.atoms.first_field])
        marked, rows = self._code[targets.code], side.links.data
        marked[rows[(self._differing | tables)[targets.atom[rows]]]] = True
        return Loud(marked)

    def functions(self, records: Collection[int]) -> Bools:
        """By fragment, for the first of each function: such references are in it, or it has one of the
        unwind ``records``."""
        side, before = self._side, self.references.before
        held = np.zeros(len(side.atoms) + 1, dtype=np.bool_)  # the last is that of -1
        held[side.atoms.at(np.fromiter(records, np.int64, len(records)))] = True
        held[-1] = False
        parts = held[side.links.unwind] | (before[side.last] > before[side.first])
        found = np.zeros(len(parts), dtype=np.bool_)
        found[side.program.fragments.root[parts]] = True
        return found

    @cached_property
    def atoms(self) -> Bools:
        """By atom: such pointers are in it."""
        before, atoms = self.pointers.before, self._side.atoms
        found: Bools = before[atoms.last_field] > before[atoms.first_field]
        return found

    @cached_property
    def pointers(self) -> Loud:
        """Those that name changed or new code, or data that is not simply the baseline's."""
        pointers = self._side.pointers
        return Loud(self._code[pointers.code] | self._differing[pointers.atom])
