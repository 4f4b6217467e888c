"""Which functions and data the package must carry: the closure over references.

Starts from the changed functions and changed constants. New functions and data come along when something
carried uses them; a changed constant takes along every function that refers to it.
"""

from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hpbuild.codes import plan as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import referenced, reserved_class
from hpbuild.match.functions import FunctionFacts
from hpbuild.match.sides import Side
from hpbuild.plan.arrays import arrays
from hpbuild.plan.finally_blocks import finally_blocks
from hpbuild.plan.handlers import Handlers
from hpbuild.plan.model import Reason
from hpbuild.plan.objects import Objects, Users, users
from hpbuild.plan.only import Limit, Via, idle, not_closed, starts

_RODATA = int(Memory.RODATA)
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """``functions``: root -> reason; ``objects``: first atom -> (atoms, reason); ``object_of``: atom ->
    first atom of its carried object; ``shapes``: which atoms form one with another; ``limit``: the listed
    functions, None when all changes are carried."""

    facts: FunctionFacts
    functions: dict[int, Reason]
    objects: dict[int, tuple[tuple[int, ...], Reason]]
    object_of: dict[int, int]
    findings: tuple[Finding, ...]
    shapes: Objects
    limit: Limit | None = None


class _Loud:
    """Marked rows of a table, of which few are."""

    __slots__ = ("_count", "_marked")

    def __init__(self, marked: Bools) -> None:
        self._marked = marked
        self._count = np.append(0, np.cumsum(marked)).data

    def rows(self, first: int, last: int) -> list[int]:
        """Those in ``range(first, last)``."""
        if self._count[first] == self._count[last]:
            return []
        rows: list[int] = (np.flatnonzero(self._marked[first:last]) + first).tolist()
        return rows


class _Columns:
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


class _Closure:
    """The work list. Not shared: lives only inside ``select``."""

    def __init__(self, comparison: Comparison, facts: FunctionFacts, who: Users, limit: Limit | None) -> None:
        self.comparison = comparison
        self.limit = limit
        self.via = Via("code", 0)
        self.side = comparison.fixed
        self._columns = _Columns(self.side)
        self.facts = facts
        self.users = who
        objects = Objects(comparison.fixed, who)
        self.arrays = arrays(comparison, objects)
        self.objects_of = objects.limited(self.arrays.joined)
        self.handlers = Handlers(comparison.fixed, objects.records)
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
        columns = self._columns
        for fragment in self.facts[root].fragments:
            for row in self._telling(self._references, columns.first[fragment], columns.last[fragment]):
                if self.limit:
                    self.via = Via("code", row)
                self._code(columns.target_code[row])
                self._atom(columns.target_atom[row], root)
            if columns.unwind[fragment]:
                self._exceptions(columns.unwind[fragment])

    def _telling(self, loud: "_Loud", first: int, last: int) -> Iterable[int]:
        """The rows in ``range(first, last)`` that may lead to something that is not carried yet. With a limit
        all of them: a refusal names the last row that was looked at."""
        return range(first, last) if self.limit else loud.rows(first, last)

    @cached_property
    def _changed(self) -> Bools:
        """By fragment: it begins a changed or new function; the last is that of -1."""
        changed = np.zeros(len(self.side.program.fragments) + 1, dtype=np.bool_)
        changed[self.facts.roots[~self.facts.identical]] = True
        return changed

    @cached_property
    def _differing(self) -> Bools:
        """By atom: it is not simply the baseline's."""
        data = self.comparison.data
        atoms: Bools = (data.baseline < 0) | ~data.same
        atoms[list(self.arrays.changed)] = True
        return atoms

    @cached_property
    def _references(self) -> "_Loud":
        """Those that name changed or new code, or data that is not simply the baseline's; or data that points
        behind the entry of a function, which may be the row's own."""
        table, targets, pointers = self.side.program.fragments, self.side.targets, self.side.pointers
        inner = pointers.code >= 0
        held = pointers.code[inner]
        inner[inner] = (pointers.offset[inner] > 0) | (table.root[held] != held)
        count = np.concatenate([[0], np.cumsum(inner)])
        atoms = self._differing | (count[self.side.atoms.last_field] > count[self.side.atoms.first_field])
        code = self._changed[np.append(table.root, -1)]
        return _Loud(code[targets.code] | np.append(atoms, False)[targets.atom])

    @cached_property
    def _pointers(self) -> "_Loud":
        """Those that name changed or new code, or data that is not simply the baseline's."""
        pointers, code = self.side.pointers, self._changed[np.append(self.side.program.fragments.root, -1)]
        return _Loud(code[pointers.code] | np.append(self._differing, False)[pointers.atom])

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
        for root in sorted(self.users.functions.of(atom)):
            self.via = Via("constant", atom)
            if root in self.facts:
                self.carry_function(root, Reason.REFERRER)
        for holder in self.users.atoms.of(atom):
            self._holder(holder, atom)

    def _has_old(self, members: tuple[int, ...]) -> bool:
        """Some part of a constant is there in the baseline: who names that must be carried too."""
        old = self.comparison.data.baseline
        return any(old[one] >= 0 for one in self._named(members))

    def _differs(self, members: tuple[int, ...], first: int) -> bool:
        """A constant is not the one that the baseline has, though parts of it may be; or ``first`` is not."""
        data = self.comparison.data
        kept = [data.baseline[one] >= 0 and data.same[one] for one in self._named(members)]
        return not (data.same[first] and all(kept))

    def _named(self, members: tuple[int, ...]) -> list[int]:
        """The parts of a constant that code or data names; none of a variable."""
        who, memory = self.users, self.side.atoms.memory
        return [
            one for one in members if memory[one] == _RODATA and (one in who.functions or one in who.atoms)
        ]

    def _holder(self, holder: int, atom: int) -> None:
        """Data that points at changed data must be carried too; a writable pointer cannot be."""
        if self.side.atoms.memory[holder] != _RODATA:
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
        start = self._columns.atom_start[atom]
        records = self.side.program.exceptions.records
        index = bisect_right(records, (start, 1 << 32)) - 1
        return index >= 0 and start < sum(records[index])

    def _fields(self, atom: int) -> None:
        columns = self._columns
        self._rows(range(columns.first_field[atom], columns.last_field[atom]))

    def _rows(self, rows: range) -> None:
        columns = self._columns
        for row in self._telling(self._pointers, rows.start, rows.stop):
            if self.limit:
                self.via = Via("data", row)
            self._code(columns.pointer_code[row])
            self._atom(columns.pointer_atom[row], -1)

    def _code(self, fragment: int) -> None:
        if fragment < 0:
            return
        root = self._columns.root[fragment]
        if root not in self.functions and self._changed[root]:
            self.carry_function(root, Reason.ADDED if self.facts[root].partner < 0 else Reason.CHANGED)

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
        if self.side.atoms.memory[atom] == _RODATA:
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
    facts = comparison.facts
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
        shapes=closure.objects_of,
        findings=tuple(closure.findings[key] for key in sorted(closure.findings)),
    )


def _start_everything(comparison: Comparison, closure: _Closure) -> None:
    """Every changed function and constant; a changed variable is refused."""
    facts = comparison.facts
    for root in facts.roots[~facts.identical & (facts.partner >= 0)].tolist():
        closure.carry_function(root, Reason.CHANGED)
    for atom in _changed_data(comparison):
        if comparison.fixed.atoms.memory[atom] == _RODATA:
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
