"""Functions: the fragments that belong together, and whether all of them are identical."""

from dataclasses import dataclass

import numpy as np

from hpbuild.code.model import Program
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
    partner: list[int] = pairing.fixed.tolist()
    identical: list[bool] = agreement.identical.tolist()
    home: list[int] = baseline.program.fragments.root.tolist()
    facts = []
    for root, members in groups(fixed.program).items():
        mate = home[partner[root]] if partner[root] >= 0 else -1
        same = all(identical[member] and home[partner[member]] == mate for member in members)
        moved = same and not lines.isdisjoint(members)
        facts.append(
            FunctionFact(root=root, fragments=members, partner=mate, identical=same, line_only=moved)
        )
    return tuple(facts)


def groups(program: Program) -> dict[int, tuple[int, ...]]:
    """Root fragment -> all its code fragments, root first, in address order."""
    opaque = program.fragments.opaque
    roots: list[int] = program.fragments.root.tolist()
    found: dict[int, list[int]] = {}
    for index in np.flatnonzero(~opaque).tolist():
        found.setdefault(roots[index], []).append(index)
    return {
        root: (root, *(member for member in members if member != root))
        for root, members in sorted(found.items())
        if not opaque[root]
    }


def ranges(program: Program, fragments: tuple[int, ...]) -> tuple[Interval, ...]:
    """Address ranges of fragments."""
    table = program.fragments
    return tuple(Interval(int(table.start[index]), int(table.end[index])) for index in fragments)
