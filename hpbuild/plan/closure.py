"""The closure over references: what is carried takes along what it needs, and who relies on it."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import compress

import numpy as np

from hpbuild.code.columns import among
from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.functions import FunctionFacts
from hpbuild.plan.arrays import arrays
from hpbuild.plan.counterparts import Counterparts, changed_initialiser
from hpbuild.plan.handlers import Handlers
from hpbuild.plan.leads import Bools, Columns, Leads, Loud
from hpbuild.plan.model import Reason
from hpbuild.plan.objects import Objects, Users
from hpbuild.plan.only import Limit, Via, not_closed

_RODATA = int(Memory.RODATA)


class Closure:
    """The work list, and what it came to. Not shared: lives only inside ``select``."""

    def __init__(self, comparison: Comparison, facts: FunctionFacts, who: Users, limit: Limit | None) -> None:
        self.comparison = comparison
        self.limit = limit
        self.via = Via("code", 0)
        self.side = comparison.fixed
        self._columns = Columns(comparison)
        self.facts = facts
        self.users = who
        objects = Objects(comparison.fixed, who)
        self.arrays = arrays(comparison, objects)
        self.counterparts = Counterparts(comparison, who)
        self.objects_of = objects.limited(self.arrays.joined)
        self.records = objects.records.starts.data, (objects.records.starts + objects.records.sizes).data
        self.handlers = Handlers(comparison.fixed, objects.records)
        self.functions: dict[int, Reason] = {}
        self.objects: dict[int, tuple[tuple[int, ...], Reason]] = {}
        self.object_of: dict[int, int] = {}
        self.findings: dict[tuple[str, str], Finding] = {}
        self.pending: list[tuple[str, int]] = []
        self.told: set[int] = set()
        self.leads = Leads(comparison, self.arrays, self.functions, self.object_of)

    def refuse(self, finding: Finding) -> None:
        """Collect a refusal; the first of a code and place stands."""
        self.findings.setdefault((finding.code.id, finding.place), finding)

    def carry_function(self, root: int, reason: Reason) -> None:
        """Carry the function with this root fragment; ``reason`` unless the facts know better."""
        if root in self.functions:
            return
        columns = self._columns
        if columns.start[root] in self.side.program.exceptions.funclets:
            reason = Reason.HANDLER
        elif not columns.identical[root]:
            reason = Reason.ADDED if columns.partner[root] < 0 else Reason.CHANGED
        if self.limit and reason in (Reason.CHANGED, Reason.REFERRER) and root not in self.limit.roots:
            # It is followed all the same: the refusals then name all that the list lacks.
            self.refuse(not_closed(self.comparison, root, self.via))
        self.functions[root] = reason
        self.pending.append(("function", root))
        if reason is Reason.HANDLER:
            self.via = Via("handler", root)
            for owner in sorted(self.handlers.owners(root)):
                self.carry_function(owner, Reason.REFERRER)

    def carry_object(self, atom: int, reason: Reason) -> None:
        """Carry the object that the atom belongs to; ``reason`` unless the facts know better."""
        if atom in self.object_of:
            return
        members: tuple[int, ...] = (atom,)
        if self.objects_of.alone(atom):
            first = atom
        else:
            members = tuple(member for member in self.objects_of.of(atom) if member not in self.object_of)
            first = self.objects_of.body(members)
        if self._columns.old[first] < 0 and not self.counterparts.has_old(members):
            reason = Reason.ADDED
        elif self.counterparts.differs(members, first):
            reason = Reason.CHANGED
        self.objects[members[0]] = (members, reason)
        for member in members:
            self.object_of[member] = members[0]
        self.pending.append(("object", members[0]))

    def run(self) -> None:
        """Follow what is carried until nothing new comes along."""
        telling = self.handlers.telling(self.leads.pointers.before)
        functions, objects = self.leads.functions(telling).data, self._worth_following().data
        while self.pending:
            kind, key = self.pending.pop()
            if kind == "function":
                if self.limit or functions[key]:
                    self._function(key, telling)
            elif kind == "holder":
                self._take_users(key)
            elif self.limit or objects[key]:
                self._object(key)

    def _worth_following(self) -> Bools:
        """By atom, for the first of each object: all but those that are carried by now, and lead to nothing
        and have no users that are not."""
        found = np.ones(len(self.side.atoms), dtype=np.bool_)
        atoms = np.fromiter(self.object_of, np.int64, len(self.object_of))
        firsts = np.fromiter(self.object_of.values(), np.int64, len(self.object_of))
        found[firsts] = False
        found[firsts[self.leads.atoms[atoms]]] = True
        changed = [reason is Reason.CHANGED for _, reason in self.objects.values()]
        told = np.fromiter(compress(self.objects, changed), np.int64)
        told = atoms[among(firsts, np.sort(told))]
        staying = np.zeros(len(self.side.program.fragments), dtype=np.bool_)
        staying[self.facts.roots] = True
        staying[list(self.functions)] = False
        heard = np.append(self.users.functions.touching(told, staying), told[self.users.atoms.present[told]])
        first = np.zeros(len(found), dtype=np.int64)
        first[atoms] = firsts
        found[first[heard]] = True
        return found

    def _function(self, root: int, telling: frozenset[int]) -> None:
        """``telling`` are the unwind records that may lead to something; with a limit all may."""
        columns, loud = self._columns, self.leads.references
        for fragment in self.facts[root].fragments:
            for row in self._telling(loud, columns.first[fragment], columns.last[fragment]):
                if self.limit:
                    self.via = Via("code", row)
                self._code(columns.target_code[row])
                self._atom(columns.target_atom[row], root)
            record = columns.unwind[fragment]
            if record and (self.limit or record in telling):
                self._exceptions(record)

    def _telling(self, loud: Loud, first: int, last: int) -> Iterable[int]:
        """The rows in ``range(first, last)`` that may lead to something that is not carried yet. With a limit
        all of them: a refusal names the last row that was looked at."""
        return range(first, last) if self.limit else loud.rows(first, last)

    def _exceptions(self, record: int) -> None:
        """All that the exception data of a carried function names, its handlers included."""
        self._rows(self.handlers.rows(record))
        handlers, atoms = self.handlers.below(record)
        for atom in sorted(atoms):
            self.carry_object(atom, Reason.REFERRER)
        for handler in sorted(handlers):
            self.carry_function(handler, Reason.HANDLER)

    def _object(self, first: int) -> None:
        members, reason = self.objects[first]
        loud = self.leads.atoms
        for atom in members:
            if self.limit or loud[atom]:
                self._fields(atom)
            if reason is Reason.CHANGED:
                self._take_users(atom)

    def _take_users(self, atom: int) -> None:
        """Whoever names a changed atom must be carried too."""
        if atom in self.told:
            return
        self.told.add(atom)
        for root in sorted(self.users.functions.of(atom)):
            if self.limit:
                self.via = Via("constant", atom)
            if root not in self.functions and root in self.facts:
                self.carry_function(root, Reason.REFERRER)
        for holder in self.users.atoms.of(atom):
            self._holder(holder, atom)

    def _holder(self, holder: int, atom: int) -> None:
        """Data that points at changed data must be carried too; a writable pointer cannot be."""
        if self._columns.memory[holder] != _RODATA:
            place = f"data at {int(self.side.atoms.start[holder]):#x}"
            self.refuse(
                Finding(
                    codes.STALE_POINTER,
                    place,
                    f"points at changed data at {int(self.side.atoms.start[atom]):#x}",
                )
            )
        elif not self.is_exception_data(holder):
            self.carry_object(holder, Reason.CHANGED)
            self.pending.append(("holder", holder))

    def is_exception_data(self, atom: int) -> bool:
        """The atom begins in an unwind record or its language data."""
        start, (begins, ends) = self._columns.atom_start[atom], self.records
        index = bisect_right(begins, start) - 1
        return index >= 0 and start < ends[index]

    def _fields(self, atom: int) -> None:
        columns = self._columns
        self._rows(range(columns.first_field[atom], columns.last_field[atom]))

    def _rows(self, rows: range) -> None:
        columns = self._columns
        for row in self._telling(self.leads.pointers, rows.start, rows.stop):
            if self.limit:
                self.via = Via("data", row)
            self._code(columns.pointer_code[row])
            self._atom(columns.pointer_atom[row], -1)

    def _code(self, fragment: int) -> None:
        if fragment < 0:
            return
        root = self._columns.root[fragment]
        if root not in self.functions and self.leads.changed[root]:
            added = self._columns.partner[root] < 0
            self.carry_function(root, Reason.ADDED if added else Reason.CHANGED)

    def _atom(self, atom: int, root: int) -> None:
        if atom < 0 or atom in self.object_of:
            return
        if self.is_exception_data(atom):  # a chained record's parent: it comes along with its function
            return
        new = self._columns.old[atom] < 0
        if not new and self._columns.same[atom] and atom not in self.arrays.changed:
            if root >= 0 and self._enters(atom, root):
                self.carry_object(atom, Reason.REFERRER)
            return
        if self._columns.memory[atom] == _RODATA:
            self.carry_object(atom, Reason.ADDED if new else Reason.CHANGED)
        elif new:
            self._variable(atom)
        else:
            self.refuse(changed_initialiser(self.comparison, atom))

    def _enters(self, atom: int, root: int) -> bool:
        """The atom is a jump table of the function: it points behind the function's entry."""
        low, high = int(self.side.atoms.first_field[atom]), int(self.side.atoms.last_field[atom])
        code, offset = self.side.pointers.code[low:high], self.side.pointers.offset[low:high]
        inside = (code >= 0) & (self.side.program.fragments.root[np.maximum(code, 0)] == root)
        return bool(np.any(inside & ((offset > 0) | (code != root))))

    def _variable(self, atom: int) -> None:
        """A writable atom without a counterpart: new, unless the baseline has one that lost its partner."""
        if not self.counterparts.surely_new(atom):
            place = f"variable at {int(self.side.atoms.start[atom]):#x}"
            self.refuse(
                Finding(
                    codes.AMBIGUOUS_VARIABLE, place, "the baseline has variables without a counterpart too"
                )
            )
        self.carry_object(atom, Reason.ADDED)
