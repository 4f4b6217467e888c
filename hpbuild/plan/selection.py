"""Which functions and data the package must carry: the closure over references.

Starts from the changed functions and changed constants. New functions and data come along when something
carried uses them; a changed constant takes along every function that refers to it.
"""

from bisect import bisect_right
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import referenced, reserved_class
from hpbuild.match.functions import FunctionFact
from hpbuild.plan.arrays import arrays
from hpbuild.plan.finally_blocks import finally_blocks
from hpbuild.plan.handlers import Handlers
from hpbuild.plan.model import Reason
from hpbuild.plan.objects import Objects, Users, users
from hpbuild.plan.only import Limit, Via, idle, not_closed, starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """``functions``: root -> reason; ``objects``: first atom -> (atoms, reason); ``object_of``: atom ->
    first atom of its carried object; ``limit``: the listed functions, None when all changes are carried."""

    facts: dict[int, FunctionFact]
    functions: dict[int, Reason]
    objects: dict[int, tuple[tuple[int, ...], Reason]]
    object_of: dict[int, int]
    findings: tuple[Finding, ...]
    limit: Limit | None = None


class _Closure:
    """The work list. Not shared: lives only inside ``select``."""

    def __init__(
        self, comparison: Comparison, facts: dict[int, FunctionFact], who: Users, limit: Limit | None
    ) -> None:
        self.comparison = comparison
        self.limit = limit
        self.via = Via("code", 0)
        self.side = comparison.fixed
        self.facts = facts
        self.users = who
        objects = Objects(comparison.fixed, who)
        self.arrays = arrays(comparison, objects)
        self.objects_of = objects.limited(self.arrays.joined)
        self.handlers = Handlers(comparison.fixed)
        self.functions: dict[int, Reason] = {}
        self.objects: dict[int, tuple[tuple[int, ...], Reason]] = {}
        self.object_of: dict[int, int] = {}
        self.findings: dict[tuple[str, str], Finding] = {}
        self.pending: list[tuple[str, int]] = []
        self.told: set[int] = set()

    def refuse(self, finding: Finding) -> None:
        self.findings.setdefault((finding.code.id, finding.place), finding)

    def carry_function(self, root: int, reason: Reason) -> None:
        if root in self.functions:
            return
        program, fact = self.side.program, self.facts[root]
        if int(program.fragments.start[root]) in program.exceptions.funclets:
            reason = Reason.HANDLER
        elif not fact.identical:
            reason = Reason.ADDED if fact.partner < 0 else Reason.CHANGED
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
        if atom in self.object_of:
            return
        members = tuple(member for member in self.objects_of.of(atom) if member not in self.object_of)
        first = self.objects_of.body(members)
        if self.comparison.data.baseline[first] < 0 and not self._has_old(members):
            reason = Reason.ADDED
        elif self._differs(members, first):
            reason = Reason.CHANGED
        self.objects[members[0]] = (members, reason)
        for member in members:
            self.object_of[member] = members[0]
        self.pending.append(("object", members[0]))

    def run(self) -> None:
        while self.pending:
            kind, key = self.pending.pop()
            if kind == "function":
                self._function(key)
            elif kind == "holder":
                self._take_users(key)
            else:
                self._object(key)

    def _function(self, root: int) -> None:
        unwind = self.side.program.fragments.unwind
        for fragment in self.facts[root].fragments:
            for row in self._telling(int(self.side.first[fragment]), int(self.side.last[fragment])):
                self.via = Via("code", row)
                self._code(int(self.side.targets.code[row]))
                self._atom(int(self.side.targets.atom[row]), root)
            if unwind[fragment]:
                self._exceptions(int(unwind[fragment]))

    def _telling(self, first: int, last: int) -> range | list[int]:
        """The rows of references in ``range(first, last)`` that may lead to something that is not carried
        yet. With a limit all of them: a refusal names the last row that was looked at."""
        if self.limit:
            return range(first, last)
        rows: list[int] = np.flatnonzero(self._loud[first:last]).tolist()
        return [first + row for row in rows]

    @cached_property
    def _loud(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """By row of the references: it names changed or new code, or data that is not simply the baseline's;
        or data that points behind the entry of a function, which may be the row's own."""
        table, targets, pointers = self.side.program.fragments, self.side.targets, self.side.pointers
        changed = np.zeros(len(table) + 1, dtype=np.bool_)  # the last is that of -1
        changed[[root for root, fact in self.facts.items() if not fact.identical]] = True
        code, data = targets.code, self.comparison.data
        inner = pointers.code >= 0
        held = pointers.code[inner]
        inner[inner] = (pointers.offset[inner] > 0) | (table.root[held] != held)
        count = np.concatenate([[0], np.cumsum(inner)])
        atoms = (data.baseline < 0) | ~data.same
        atoms |= count[self.side.atoms.last_field] > count[self.side.atoms.first_field]
        atoms[list(self.arrays.changed)] = True
        loud: np.ndarray[tuple[int], np.dtype[np.bool_]]
        loud = changed[np.append(table.root, -1)[code]] | np.append(atoms, False)[targets.atom]
        return loud

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
        for atom in members:
            self._fields(atom)
            if reason is Reason.CHANGED:
                self._take_users(atom)

    def _take_users(self, atom: int) -> None:
        """Whoever names a changed atom must be carried too."""
        if atom in self.told:
            return
        self.told.add(atom)
        for root in sorted(self.users.functions.get(atom, frozenset())):
            self.via = Via("constant", atom)
            if root in self.facts:
                self.carry_function(root, Reason.REFERRER)
        for holder in self.users.atoms.get(atom, frozenset()):
            self._holder(holder, atom)

    def _has_old(self, members: tuple[int, ...]) -> bool:
        """Some part of a constant is there in the baseline: who names that must be carried too."""
        old = self.comparison.data.baseline >= 0
        return any(bool(old[one]) for one in self._named(members))

    def _differs(self, members: tuple[int, ...], first: int) -> bool:
        """A constant is not the one that the baseline has, though parts of it may be; or ``first`` is not."""
        data = self.comparison.data
        kept = [data.baseline[one] >= 0 and data.same[one] for one in self._named(members)]
        return not (data.same[first] and all(kept))

    def _named(self, members: tuple[int, ...]) -> list[int]:
        """The parts of a constant that code or data names; none of a variable."""
        who, memory = self.users, self.side.atoms.memory
        return [
            one
            for one in members
            if memory[one] == Memory.RODATA and (one in who.functions or one in who.atoms)
        ]

    def _holder(self, holder: int, atom: int) -> None:
        """Data that points at changed data must be carried too; a writable pointer cannot be."""
        if self.side.atoms.memory[holder] != Memory.RODATA:
            place = f"data at {int(self.side.atoms.start[holder]):#x}"
            self.refuse(
                Finding(
                    codes.STALE_POINTER,
                    place,
                    f"points at changed data at {int(self.side.atoms.start[atom]):#x}",
                )
            )
        elif not self._is_exception_data(holder):
            self.carry_object(holder, Reason.CHANGED)
            self.pending.append(("holder", holder))

    def _is_exception_data(self, atom: int) -> bool:
        start = int(self.side.atoms.start[atom])
        records = self.side.program.exceptions.records
        index = bisect_right(records, (start, 1 << 32)) - 1
        return index >= 0 and start < sum(records[index])

    def _fields(self, atom: int) -> None:
        self._rows(range(int(self.side.atoms.first_field[atom]), int(self.side.atoms.last_field[atom])))

    def _rows(self, rows: range) -> None:
        for row in rows:
            self.via = Via("data", row)
            self._code(int(self.side.pointers.code[row]))
            self._atom(int(self.side.pointers.atom[row]), -1)

    def _code(self, fragment: int) -> None:
        if fragment < 0:
            return
        root = int(self.side.program.fragments.root[fragment])
        fact = self.facts.get(root)
        if fact is not None and not fact.identical:
            self.carry_function(root, Reason.ADDED if fact.partner < 0 else Reason.CHANGED)

    def _atom(self, atom: int, root: int) -> None:
        if atom < 0 or atom in self.object_of:
            return
        if self._is_exception_data(atom):  # a chained record's parent: it comes along with its function
            return
        data = self.comparison.data
        if data.baseline[atom] >= 0 and data.same[atom] and atom not in self.arrays.changed:
            if root >= 0 and self._enters(atom, root):
                self.carry_object(atom, Reason.REFERRER)
            return
        if self.side.atoms.memory[atom] == Memory.RODATA:
            self.carry_object(atom, Reason.ADDED if data.baseline[atom] < 0 else Reason.CHANGED)
        elif data.baseline[atom] < 0:
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
        if not self._surely_new(atom):
            place = f"variable at {int(self.side.atoms.start[atom]):#x}"
            self.refuse(
                Finding(
                    codes.AMBIGUOUS_VARIABLE, place, "the baseline has variables without a counterpart too"
                )
            )
        self.carry_object(atom, Reason.ADDED)

    def _surely_new(self, atom: int) -> bool:
        baseline = self.comparison.baseline
        name = self.side.atoms.names.get(atom)
        if name and baseline.program.symbols.source != "none":
            return name not in self._old_names
        return not self._orphans

    @cached_property
    def _old_names(self) -> frozenset[str]:
        return frozenset(self.comparison.baseline.atoms.names.values())

    @cached_property
    def _orphans(self) -> bool:
        """The baseline has named variables without a counterpart."""
        baseline, data = self.comparison.baseline, self.comparison.data
        kept = np.zeros(len(baseline.atoms), dtype=np.bool_)
        places = baseline.atoms.at(data.baseline[data.baseline >= 0])
        kept[places[places >= 0]] = True
        return bool(np.any(~kept & referenced(baseline) & (baseline.atoms.memory != Memory.RODATA)))


def select(comparison: Comparison, limit: Limit | None = None) -> Selection:
    """Decide what is carried, and collect the refusals that follow from data. With ``limit`` only the listed
    functions and what they need, and refusals that concern them."""
    facts = {fact.root: fact for fact in comparison.functions}
    closure = _Closure(comparison, facts, users(comparison.fixed), limit)
    if limit is None:
        _start_everything(comparison, closure)
    else:
        for fact in starts(comparison, limit):
            closure.carry_function(fact.root, Reason.REFERRER if fact.identical else Reason.CHANGED)
    closure.run()
    for root in finally_blocks(comparison, closure.functions, closure.handlers):
        closure.functions[root] = Reason.HANDLER
    for finding in _exported_data(comparison, None if limit is None else closure.object_of):
        closure.refuse(finding)
    if limit is not None:
        for finding in idle(comparison, limit, closure.functions):
            closure.refuse(finding)
    return Selection(
        limit=limit,
        facts=facts,
        functions=dict(sorted(closure.functions.items())),
        objects=dict(sorted(closure.objects.items())),
        object_of=closure.object_of,
        findings=tuple(closure.findings[key] for key in sorted(closure.findings)),
    )


def _start_everything(comparison: Comparison, closure: _Closure) -> None:
    """Every changed function and constant; a changed variable is refused."""
    for fact in comparison.functions:
        if not fact.identical and fact.partner >= 0:
            closure.carry_function(fact.root, Reason.CHANGED)
    for atom in _changed_data(comparison):
        if comparison.fixed.atoms.memory[atom] == Memory.RODATA:
            if not closure._is_exception_data(atom):
                closure.carry_object(atom, Reason.CHANGED)
        else:
            closure.refuse(changed_initialiser(comparison, atom))
    for atom in sorted(closure.arrays.changed):
        if not closure._is_exception_data(atom):
            closure.carry_object(atom, Reason.CHANGED)


def _changed_data(comparison: Comparison) -> Iterator[int]:
    data = comparison.data
    named = referenced(comparison.fixed)
    for atom in np.flatnonzero((data.baseline >= 0) & ~data.same & named).tolist():
        if not reserved_class(comparison.fixed, atom, named):
            yield atom


def _exported_data(comparison: Comparison, carried: Container[int] | None) -> Iterator[Finding]:
    """Data that both images export under one name, but not with one content. With ``carried`` (atoms) what
    stays out is left aside, if the baseline's can be told."""
    atoms, data = comparison.fixed.atoms, comparison.data
    theirs = {name for _, name in comparison.baseline.program.exported_data}
    for rva, name in comparison.fixed.program.exported_data:
        atom = atoms.one(rva)
        if name not in theirs or atom < 0 or (data.baseline[atom] >= 0 and data.same[atom]):
            continue
        if carried is None or atom in carried or data.baseline[atom] < 0:
            yield Finding(codes.EXPORTED_DATA, name, f"data at {rva:#x}")


def changed_initialiser(comparison: Comparison, atom: int) -> Finding:
    """The refusal for a writable atom whose initial content differs."""
    atoms = comparison.fixed.atoms
    start, end = int(atoms.start[atom]), int(atoms.end[atom])
    name = atoms.names.get(atom, "")
    place = f"variable {name or 'at'} {start:#x}"
    other = int(comparison.data.baseline[atom])
    return Finding(codes.CHANGED_INITIALISER, place, f"{end - start} bytes, in the baseline at {other:#x}")
