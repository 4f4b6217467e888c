"""What a package of chosen functions leaves out: declared part by part, and counted.

Code that stays refers to the baseline's version of what is left out. That works at the start of a function
or datum alone: inside, old and new differ. So what leads into the middle of a part that is left out is left
out with it, though it is the same in both images.
"""

from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator

import numpy as np

from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import is_filler, referenced, reserved_class
from hpbuild.match.functions import FunctionFact, ranges
from hpbuild.match.sides import Side
from hpbuild.plan.model import Exclusion, LeftOut
from hpbuild.plan.selection import Selection
from hpbuild.values import Interval


def left_out(comparison: Comparison, selection: Selection, carried: Container[int]) -> list[LeftOut]:
    """Every changed or new function and datum that the package does not deliver, and what leads into the
    middle of these. ``carried`` are the atoms that chunks hold."""
    roots = _roots(selection)
    inside = _leading_inside(comparison, selection, roots)
    functions = [
        _function(comparison, fact, fact.root in inside)
        for fact in selection.facts.values()
        if fact.root in roots or fact.root in inside
    ]
    return [*functions, *_data(comparison, carried, roots | inside)]


def _roots(selection: Selection) -> set[int]:
    """Changed and new functions that are not carried."""
    return {
        fact.root
        for fact in selection.facts.differing
        if not fact.identical and fact.root not in selection.functions
    }


def tangled(comparison: Comparison, selection: Selection) -> list[Finding]:
    """A refusal for each carried function that refers to something equal in both images which leads into the
    middle of a function that is left out: it belongs with that one."""
    side, facts = comparison.fixed, selection.facts
    roots = _roots(selection)
    inside = _leading_inside(comparison, selection, roots)
    tables = _tables(comparison, roots | inside)
    home, findings = side.program.fragments.root, []
    for root in selection.functions:
        for part in facts[root].fragments:
            for row in range(int(side.first[part]), int(side.last[part])):
                code, atom = int(side.targets.code[row]), int(side.targets.atom[row])
                if (code >= 0 and int(home[code]) in inside) or atom in tables:
                    target = int(side.program.references.target[row])
                    cause = f"it refers to {target:#x}, which leads into the middle of what is left out"
                    findings.append(Finding(codes.NOT_CLOSED, side.program.name_of(root), cause))
    return findings


def _leading_inside(comparison: Comparison, selection: Selection, roots: set[int]) -> set[int]:
    """Functions that are the same in both images, but lead into the middle of one of ``roots``, or of another
    such function."""
    side, facts = comparison.fixed, selection.facts
    home, references = side.program.fragments.root, side.program.references
    rows = np.flatnonzero((side.targets.code >= 0) & (side.targets.offset != 0))
    owners, goals = home[references.fragment[rows]], home[side.targets.code[rows]]
    found: set[int] = set()
    fresh = set(roots)
    while fresh:
        reached = owners[np.isin(goals, np.fromiter(fresh, dtype=np.int64))].tolist()
        fresh = {
            root
            for root in reached
            if root in facts and root not in roots and root not in found and root not in selection.functions
        }
        found |= fresh
    return found


def _function(comparison: Comparison, fact: FunctionFact, same: bool) -> LeftOut:
    program, other = comparison.fixed.program, comparison.baseline.program
    known = fact.partner >= 0
    partners = [int(comparison.pairing.fixed[part]) if known else -1 for part in fact.fragments]
    pairs = sorted(zip(fact.fragments, partners, strict=True), key=lambda pair: pair[1] < 0)
    fixed = ranges(program, tuple(part for part, _ in pairs))
    change = "same" if same else "changed" if known else "new"
    words = _words(change, "function", fixed)
    return LeftOut(
        what="function",
        change=change,
        place=program.name_of(fact.root),
        cause=f"{words}, leads into one that is left out" if same else words,
        fixed=fixed,
        baseline=ranges(other, tuple(partner for _, partner in pairs if partner >= 0)),
    )


def _data(comparison: Comparison, carried: Container[int], roots: set[int]) -> Iterator[LeftOut]:
    side, data, other = comparison.fixed, comparison.data, comparison.baseline.atoms
    named, tables = referenced(side), _tables(comparison, roots)
    missing = np.flatnonzero((data.baseline < 0) | ~data.same).tolist()
    chosen = {atom for atom in missing if chosen_class(comparison, atom, named)}
    for atom in sorted(chosen | tables):
        if atom in carried:
            continue
        run = Interval(int(side.atoms.start[atom]), int(side.atoms.end[atom]))
        place = int(data.baseline[atom])
        mate = other.one(place) if place >= 0 else -1
        kind = Memory(int(side.atoms.memory[atom])).name.lower()
        change = "new" if mate < 0 else "changed" if atom in chosen else "same"
        words = _words(change, kind, (run,))
        yield LeftOut(
            what=kind,
            change=change,
            place=side.atoms.names.get(atom) or f"{run.start:#x}",
            cause=words if change != "same" else f"{words}, leads into a function that is left out",
            fixed=(run,),
            baseline=(Interval(place, int(other.end[mate])),) if mate >= 0 else (),
        )


def _tables(comparison: Comparison, roots: set[int]) -> set[int]:
    """Data that are the same in both images, but lead into the middle of functions that are left out."""
    side, data = comparison.fixed, comparison.data
    code = side.pointers.code
    home = side.program.fragments.root[np.maximum(code, 0)]
    out = (code >= 0) & (side.pointers.offset != 0) & np.isin(home, np.fromiter(roots, dtype=np.int64))
    atoms = np.unique(side.atoms.at(side.program.fields.site[out]))
    atoms = atoms[atoms >= 0]
    return set(atoms[(data.baseline[atoms] >= 0) & data.same[atoms]].tolist())


def chosen_class(
    comparison: Comparison, atom: int, named: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> bool:
    """True for data that somebody refers to: leaving it out is a choice. What nothing names, unwind records
    and loader structures go with what they belong to. ``named`` is ``referenced`` of the fixed side."""
    side = comparison.fixed
    if not named[atom] or reserved_class(side, atom, named) or is_filler(side, atom, named):
        return False
    return not is_unwind(side, atom)


def is_unwind(side: Side, atom: int) -> bool:
    """The atom lies in an unwind record or its language data."""
    start = int(side.atoms.start[atom])
    records = side.program.exceptions.records
    index = bisect_right(records, (start, 1 << 32)) - 1
    return index >= 0 and start < sum(records[index])


def _words(change: str, what: str, fixed: tuple[Interval, ...]) -> str:
    return f"{change} {what} at {fixed[0].start:#x}, {sum(map(len, fixed))} bytes"


def told(
    comparison: Comparison, selection: Selection, exclusions: Iterable[Exclusion | LeftOut]
) -> list[Finding]:
    """The warning that counts what is left out, and says how much of it carried code may reach."""
    left = [item for item in exclusions if isinstance(item, LeftOut)]
    if not left:
        return []
    functions = sum(item.what == "function" for item in left)
    cause = f"{functions} functions and {len(left) - functions} data stay as they are in the baseline"
    behind = _behind(comparison, selection)
    if behind:
        first = comparison.fixed.program.name_of(min(behind))
        cause += f"; carried code reaches {len(behind)} of the functions through unchanged ones, as {first}"
    return [Finding(codes.LEFT_OUT, left[0].place, cause)]


def _behind(comparison: Comparison, selection: Selection) -> set[int]:
    """Changed functions that are left out, to which jumps, calls and addresses in code lead from carried
    functions through functions that are the same in both images."""
    side = comparison.fixed
    home = side.program.fragments.root
    rows = np.flatnonzero(side.targets.code >= 0)
    owners, goals = home[side.program.references.fragment[rows]], home[side.targets.code[rows]]
    out = _roots(selection)
    seen, fresh = set(selection.functions), set(selection.functions)
    while fresh:
        reached = set(goals[np.isin(owners, np.fromiter(fresh - out, dtype=np.int64))].tolist())
        fresh = reached - seen
        seen |= fresh
    return {root for root in seen & out if selection.facts[root].partner >= 0}
