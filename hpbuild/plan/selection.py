"""Which functions and data the package must carry: the closure over references.

Starts from the changed functions and changed constants. New functions and data come along when something
carried uses them; a changed constant takes along every function that refers to it.
"""

from collections.abc import Container, Iterator

import numpy as np

from hpbuild.code.model import I64
from hpbuild.codes import plan as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import referenced
from hpbuild.match.functions import FunctionFacts
from hpbuild.plan.closure import Closure
from hpbuild.plan.counterparts import changed_initialiser
from hpbuild.plan.finally_blocks import finally_blocks
from hpbuild.plan.model import Reason
from hpbuild.plan.objects import Objects, users
from hpbuild.plan.only import Limit, idle, starts

_RODATA = int(Memory.RODATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What of a selection another process is told: ``functions`` and ``objects`` as there; ``limited`` when
    some were listed."""

    functions: dict[int, Reason]
    objects: dict[int, tuple[tuple[int, ...], Reason]]
    limited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """``functions``: root -> reason, in columns too: their ``roots``, ascending, and their ``partners`` in
    the baseline, -1 for none; ``objects``: first atom -> (atoms, reason), in columns too: their ``first`` and
    ``last`` atoms; ``object_of``: atom -> first atom of its carried object; ``shapes``: which atoms form one
    with another; ``limit``: the listed functions, None when all changes are carried."""

    facts: FunctionFacts
    functions: dict[int, Reason]
    roots: I64
    partners: I64
    objects: dict[int, tuple[tuple[int, ...], Reason]]
    object_of: dict[int, int]
    first: I64
    last: I64
    findings: tuple[Finding, ...]
    shapes: Objects
    limit: Limit | None = None

    @property
    def chosen(self) -> Chosen:
        """What is carried."""
        return Chosen(functions=self.functions, objects=self.objects, limited=self.limit is not None)


def select(comparison: Comparison, limit: Limit | None = None) -> Selection:
    """Decide what is carried, and collect the refusals that follow from data. With ``limit`` only the listed
    functions and what they need, and refusals that concern them."""
    facts = comparison.facts
    closure = Closure(comparison, facts, users(comparison.fixed), limit)
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
    functions, objects = dict(sorted(closure.functions.items())), dict(sorted(closure.objects.items()))
    roots = np.fromiter(functions, np.int64, len(functions))
    return Selection(
        limit=limit,
        facts=facts,
        functions=functions,
        roots=roots,
        partners=facts.partner[facts.roots.searchsorted(roots)],
        objects=objects,
        first=np.fromiter(objects, np.int64, len(objects)),
        last=np.fromiter((item[0][-1] for item in objects.values()), np.int64, len(objects)),
        object_of=closure.object_of,
        shapes=closure.objects_of,
        findings=tuple(closure.findings[key] for key in sorted(closure.findings)),
    )


def _start_everything(comparison: Comparison, closure: Closure) -> None:
    """Every changed function and constant; a changed variable is refused."""
    facts, memory = comparison.facts, comparison.fixed.atoms.memory.data
    for fact in facts.differing:
        if fact.partner >= 0 and not fact.identical:
            closure.carry_function(fact.root, Reason.CHANGED)
    for atom in _changed_data(comparison):
        if memory[atom] == _RODATA:
            if not closure.is_exception_data(atom):
                closure.carry_object(atom, Reason.CHANGED)
        else:
            closure.refuse(changed_initialiser(comparison, atom))
    for atom in sorted(closure.arrays.changed):
        if not closure.is_exception_data(atom):
            closure.carry_object(atom, Reason.CHANGED)


def _changed_data(comparison: Comparison) -> Iterator[int]:
    """Atoms of changed data that something names: a loader structure is what nothing does."""
    data = comparison.data
    named = referenced(comparison.fixed)
    yield from np.flatnonzero((data.baseline >= 0) & ~data.same & named).tolist()


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
