"""What a package of chosen functions leaves out: declared part by part, and counted.

Code that stays refers to the baseline's version of what is left out. That works at the start of a function
or datum alone: inside, old and new differ. So what leads into the middle of a part that is left out is left
out with it, though it is the same in both images.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import distinct, members
from hpbuild.code.model import I64
from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import referenced
from hpbuild.match.functions import FunctionFact, ranges
from hpbuild.match.sides import Side
from hpbuild.plan.model import Exclusion, LeftOut
from hpbuild.plan.selection import Selection
from hpbuild.plan.wholes import Wholes
from hpbuild.values import Interval

Bools = npt.NDArray[np.bool_]
_KINDS = {int(memory): memory.name.lower() for memory in Memory}


def left_out(comparison: Comparison, selection: Selection, carried: Bools) -> list[LeftOut]:
    """Every changed or new function and datum that the package does not deliver, and what leads into the
    middle of these. ``carried`` marks the atoms that chunks hold."""
    roots = _roots(selection)
    inside = _leading_inside(comparison, selection, roots)
    functions = [
        _function(comparison, selection.facts[root], root in inside) for root in sorted(roots | inside)
    ]
    return [*functions, *_data(comparison, carried, roots | inside)]


def _roots(selection: Selection) -> set[int]:
    """Changed and new functions that are not carried."""
    facts = selection.facts
    return set(facts.roots[~facts.identical].tolist()) - selection.functions.keys()


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
    side, table = comparison.fixed, comparison.fixed.program.fragments
    owner, links, wholes = side.program.references.fragment, side.links, Wholes(table)
    free = np.zeros(len(table), dtype=np.bool_)  # neither left out nor carried, nor found
    free[selection.facts.roots] = True
    fresh = np.array(sorted(roots), dtype=np.int64)
    free[fresh] = free[list(selection.functions)] = False
    found: set[int] = set()
    while len(fresh):
        parts = wholes.of(fresh)
        rows = links.rows[members(links.first[parts], links.last[parts])]
        reached = table.root[owner[rows[side.targets.offset[rows] != 0]]]
        fresh = distinct(reached[free[reached]])
        free[fresh] = False
        found |= set(fresh.tolist())
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


def _data(comparison: Comparison, carried: Bools, roots: set[int]) -> Iterator[LeftOut]:
    side, data, other = comparison.fixed, comparison.data, comparison.baseline.atoms
    missing = np.flatnonzero((data.baseline < 0) | ~data.same)
    chosen = missing[is_chosen(side, missing, referenced(side))]
    alike = _tables(comparison, roots) - set(chosen.tolist())
    atoms = np.array(sorted({*chosen.tolist(), *alike}), dtype=np.int64)
    atoms = atoms[~carried[atoms]]
    place = data.baseline[atoms]
    mate = np.where(place >= 0, other.at(place), -1)
    columns = (
        atoms, side.atoms.start[atoms], side.atoms.end[atoms], side.atoms.memory[atoms], place, mate,
        np.append(other.end, 0)[mate],
    )  # fmt: skip
    for atom, start, end, memory, old, there, stop in zip(*(part.tolist() for part in columns), strict=True):
        run, kind = Interval(start, end), _KINDS[memory]
        change = "new" if there < 0 else "same" if atom in alike else "changed"
        words = _words(change, kind, (run,))
        yield LeftOut(
            what=kind,
            change=change,
            place=side.atoms.names.get(atom) or f"{start:#x}",
            cause=words if change != "same" else f"{words}, leads into a function that is left out",
            fixed=(run,),
            baseline=(Interval(old, stop),) if there >= 0 else (),
        )


def _tables(comparison: Comparison, roots: set[int]) -> set[int]:
    """Data that are the same in both images, but lead into the middle of functions that are left out."""
    side, data = comparison.fixed, comparison.data
    code = side.pointers.code
    home = side.program.fragments.root[np.maximum(code, 0)]
    out = (code >= 0) & (side.pointers.offset != 0) & np.isin(home, np.fromiter(roots, dtype=np.int64))
    atoms = distinct(side.atoms.at(side.program.fields.site[out]))
    atoms = atoms[atoms >= 0]
    return set(atoms[(data.baseline[atoms] >= 0) & data.same[atoms]].tolist())


def is_chosen(side: Side, atoms: I64, named: Bools) -> Bools:
    """Which of ``atoms`` are data that somebody refers to: leaving it out is a choice. What nothing names,
    unwind records and loader structures go with what they belong to. ``named`` is ``referenced`` of the
    side."""
    found: Bools = named[atoms] & ~is_unwind(side, atoms)
    return found


def is_unwind(side: Side, atoms: I64) -> Bools:
    """Which of ``atoms`` lie in an unwind record or its language data."""
    start, records = side.atoms.start[atoms], side.program.exceptions
    index = records.starts.searchsorted(start, side="right") - 1
    ends = np.append(records.starts + records.sizes, 0)
    found: Bools = (index >= 0) & (start < ends[index])
    return found


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
    side, table, facts = comparison.fixed, comparison.fixed.program.fragments, selection.facts
    wholes, out, seen = Wholes(table), _roots(selection), np.zeros(len(table), dtype=np.bool_)
    stops = np.zeros(len(table), dtype=np.bool_)
    stops[list(out)] = True
    fresh = np.array(list(selection.functions), dtype=np.int64)
    seen[fresh] = True
    while len(fresh):
        parts = wholes.of(fresh[~stops[fresh]])
        code = side.targets.code[members(side.first[parts], side.last[parts])]
        goals = table.root[code[code >= 0]]
        fresh = distinct(goals[~seen[goals]])
        seen[fresh] = True
    old = facts.roots[facts.partner >= 0]
    return set(old[seen[old] & stops[old]].tolist())
