"""Signs of a changed structure where no PDB tells of types: functions that only look for fields elsewhere."""

from collections import Counter

import numpy as np
import numpy.typing as npt

from hpbuild.code.displacements import displacement_changes
from hpbuild.codes import builds as codes
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.match.sides import Side
from hpbuild.plan.model import Reason
from hpbuild.plan.selection import Selection

MIN_FUNCTIONS = 3
"""Functions that must show the same distance; one or two may use another field for a reason of their own."""


def moved_fields(comparison: Comparison, selection: Selection) -> list[Finding]:
    """A warning when several carried functions differ from their old versions in nothing but displacements
    from pointers, and share a distance."""
    counts: Counter[int] = Counter()
    named: dict[int, str] = {}
    worth = (selection.partners >= 0) & _differing(comparison)[selection.roots]
    for root in selection.roots[worth].tolist():
        if selection.functions[root] is not Reason.CHANGED:
            continue
        distances = {new - old for old, new in _changes(comparison, selection.facts[root].fragments)}
        for distance in sorted(distances):
            counts[distance] += 1
            named.setdefault(distance, comparison.fixed.program.name_of(root))
    return [
        Finding(
            codes.FIELDS_MOVED,
            named[distance],
            f"{count} functions differ only in where they reach, {distance:+d} bytes from before",
        )
        for distance, count in sorted(counts.items())
        if count >= MIN_FUNCTIONS
    ]


def _differing(comparison: Comparison) -> npt.NDArray[np.bool_]:
    """By fragment, for the first of each function: some part of it has a counterpart of another form."""
    fixed, mates = comparison.fixed, comparison.pairing.fixed
    paired = np.flatnonzero(mates >= 0)
    parts = paired[fixed.forms[paired] != comparison.baseline.forms[mates[paired]]]
    found = np.zeros(len(mates), dtype=np.bool_)
    found[fixed.program.fragments.root[parts]] = True
    return found


def _changes(comparison: Comparison, fragments: tuple[int, ...]) -> set[tuple[int, int]]:
    """All displacements in which the fragments differ, empty when one of them differs otherwise."""
    found: set[tuple[int, int]] = set()
    for fragment in fragments:
        partner = int(comparison.pairing.fixed[fragment])
        if partner < 0:
            return set()
        if comparison.fixed.forms[fragment] == comparison.baseline.forms[partner]:
            continue
        changes = displacement_changes(_code(comparison.fixed, fragment), _code(comparison.baseline, partner))
        if not changes:
            return set()
        found |= changes
    return found


def _code(side: Side, fragment: int) -> tuple[bytes, int]:
    start, end = int(side.program.fragments.start[fragment]), int(side.program.fragments.end[fragment])
    return side.program.image.read(start, end - start), start
