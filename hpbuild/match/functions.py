"""Functions: the fragments that belong together, and whether all of them are identical."""

from dataclasses import dataclass

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.model import I64, Program
from hpbuild.match.agreement import Agreement
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side
from hpbuild.values import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionFact:
    """A function of the fixed image by its fragments; ``partner`` is the root of its counterpart or -1.

    ``identical`` holds for a function that need not be carried: all of it agrees, but for line numbers
    when ``line_only``."""

    root: int
    fragments: tuple[int, ...]
    partner: int
    identical: bool
    line_only: bool = False


def function_facts(
    fixed: Side, baseline: Side, pairing: Pairing, agreement: Agreement, lines: frozenset[int]
) -> tuple[FunctionFact, ...]:
    """All functions of the fixed image; a function is identical when all its fragments are, and pair with
    fragments of one baseline function. ``lines`` are fragments in which line numbers differ."""
    members = groups(fixed.program)
    roots = np.fromiter(members, dtype=np.int64, count=len(members))
    if not len(roots):
        return ()
    partner = pairing.fixed[roots]
    mates = (
        np.where(partner >= 0, baseline.program.fragments.root[partner], -1)
        if len(pairing.baseline)
        else partner
    )
    same = _all_identical(fixed, baseline, pairing, agreement, roots, mates)
    moved = np.zeros(len(fixed.forms), dtype=np.bool_)
    for line in lines:
        moved[[line, fixed.program.fragments.root[line]]] = True
    return tuple(
        FunctionFact(root=root, fragments=parts, partner=mate, identical=equal, line_only=line)
        for (root, parts), mate, equal, line in zip(
            members.items(), mates.tolist(), same.tolist(), (same & moved[roots]).tolist(), strict=True
        )
    )


def _all_identical(
    fixed: Side, baseline: Side, pairing: Pairing, agreement: Agreement, roots: I64, mates: I64
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """By root: all fragments of the function are identical, and belong to one function of the baseline."""
    root, home = fixed.program.fragments.root, baseline.program.fragments.root
    same = np.zeros(len(root), dtype=np.bool_)
    same[roots] = agreement.identical[roots]
    mate = np.full(len(root), -1, dtype=np.int64)
    mate[roots] = mates
    parts = np.flatnonzero(~fixed.program.fragments.opaque)
    equal = agreement.identical[parts].copy()
    whole = parts[equal]
    equal[equal] = home[pairing.fixed[whole]] == mate[root[whole]]
    same[root[parts[~equal]]] = False
    return same[roots]


def groups(program: Program) -> dict[int, tuple[int, ...]]:
    """Root fragment -> all its code fragments, root first, in address order."""
    opaque, root = program.fragments.opaque, program.fragments.root
    code = np.flatnonzero(~opaque)
    code = code[~opaque[root[code]]]
    roots: list[int] = distinct(root[code]).tolist()
    found: dict[int, tuple[int, ...]] = dict(zip(roots, zip(roots, strict=True), strict=True))
    parts = code[root[code] != code]
    parts = parts[np.argsort(root[parts], kind="stable")]
    owners = root[parts]
    first = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]])) if len(parts) else parts
    members: list[int] = parts.tolist()
    bounds = [*first.tolist(), len(members)]
    for number, owner in enumerate(owners[first].tolist()):
        found[owner] = (owner, *members[bounds[number] : bounds[number + 1]])
    return found


def ranges(program: Program, fragments: tuple[int, ...]) -> tuple[Interval, ...]:
    """Address ranges of fragments."""
    table = program.fragments
    return tuple(Interval(int(table.start[index]), int(table.end[index])) for index in fragments)
