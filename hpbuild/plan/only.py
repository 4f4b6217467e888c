"""A package of chosen functions: which may be carried, what that needs, and what stays out.

A carried function may refer to nothing that changed and stays out: whether it relies on the new behaviour
cannot be seen in the binaries. New functions and new data come along when something carried uses them, and a
changed constant comes along when all who refer to it are carried too. Functions between, that are the same in
both images, are not followed: they go on as they do now.
"""

from collections.abc import Container, Iterator

import numpy as np

from hpbuild.code.decode import RefKind
from hpbuild.codes import plan as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.functions import FunctionFact


@dataclass(frozen=True, slots=True)
class Limit:
    """The functions that a package is limited to: ``names`` as they were listed, ascending; ``roots`` maps
    each one's root fragment in the fixed image to its name in the list; ``gone`` are listed names of
    functions that only the baseline has."""

    names: tuple[str, ...]
    roots: dict[int, str]
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Via:
    """Where a need comes from: a row of the references of a carried function ('code'), a row of the data
    fields ('data'), a changed constant ('constant', its atom), or an exception handler ('handler', its root
    fragment)."""

    kind: str
    index: int


def not_closed(comparison: Comparison, root: int, via: Via) -> Finding:
    """The refusal for a function that must be carried too, but is not listed."""
    program = comparison.fixed.program
    name, start = program.name_of(root), int(program.fragments.start[root])
    return Finding(codes.NOT_CLOSED, name, f"{_need(comparison, via)}; it is at {start:#x}")


def _need(comparison: Comparison, via: Via) -> str:
    side = comparison.fixed
    program, atoms = side.program, side.atoms
    if via.kind == "code":
        site = int(program.references.site[via.index])
        kind = _VERBS[RefKind(int(program.references.kind[via.index]))]
        owner = program.name_of(int(program.fragments.root[program.references.fragment[via.index]]))
        return f"{owner} {kind} it at {site:#x}"
    if via.kind == "data":
        site = int(program.fields.site[via.index])
        return f"{_datum(comparison, atoms.one(site))}, which is carried, points at it at {site:#x}"
    if via.kind == "constant":
        return f"it refers to {_datum(comparison, via.index)}, whose new content is carried"
    return f"its exception data names {program.name_of(via.index)}, which is carried"


_VERBS = {
    RefKind.BRANCH: "jumps to",
    RefKind.CALL: "calls",
    RefKind.LEA: "takes the address of",
    RefKind.MEMORY: "reads from",
    RefKind.ABSOLUTE: "takes the address of",
    RefKind.IMAGE_BASE: "reads from",
}


def _datum(comparison: Comparison, atom: int) -> str:
    atoms = comparison.fixed.atoms
    return atoms.names.get(atom) or f"the data at {int(atoms.start[atom]):#x}"


def starts(comparison: Comparison, limit: Limit) -> Iterator[FunctionFact]:
    """The listed functions that have something to deliver: their own change, or a changed constant that they
    refer to."""
    side, data = comparison.fixed, comparison.data
    stale = (data.baseline >= 0) & ~data.same & (side.atoms.memory == Memory.RODATA)
    for root in sorted(limit.roots):
        fact = comparison.facts.get(root)
        if fact is None or fact.partner < 0:
            continue
        rows = np.concatenate([np.arange(side.first[part], side.last[part]) for part in fact.fragments])
        atoms = side.targets.atom[rows]
        if not fact.identical or bool(np.any(stale[atoms[atoms >= 0]])):
            yield fact


def idle(comparison: Comparison, limit: Limit, carried: Container[int]) -> list[Finding]:
    """A refusal for each listed function that the package would not carry."""
    facts = comparison.facts
    findings = [
        Finding(codes.NOTHING_SELECTED, name, "only the baseline has it: it is gone in the fixed image")
        for name in limit.gone
    ]
    for root, name in limit.roots.items():
        if root in carried:
            continue
        fact = facts.get(root)
        findings.append(Finding(codes.NOTHING_SELECTED, name, _why_idle(fact)))
    return findings


def _why_idle(fact: FunctionFact | None) -> str:
    if fact is not None and fact.partner < 0:
        return "it is new, and no listed function uses it"
    if fact is not None and fact.line_only:
        return "nothing but line numbers differ in it"
    return "it is the same in both images"
