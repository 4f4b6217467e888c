"""Pairs for functions that changed beyond likeness: the same functions use them, and they use the same.

A function that a fix made three times as long shares too little code with its old version to be recognised
by it. Where it is called from did not change.
"""

from collections import defaultdict
from typing import Final

import numpy as np

from hpbuild.code.model import I64
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level, Pairing
from hpbuild.match.sides import Side

MIN_SHARED: Final = 2
"""Targets that both must name, at least; and half of the targets of the one that names fewer."""


def pair_by_callers(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Pair free functions whose callers are paired with each other one for one, when nobody else has the same
    callers and both name the same things. The number of pairs made."""
    left = np.flatnonzero((pairing.fixed < 0) & (fixed.forms != 0))
    right = np.flatnonzero((pairing.baseline < 0) & (baseline.forms != 0))
    if not len(left) or not len(right):
        return 0
    ours = _by_callers(fixed, left, pairing.fixed)
    theirs = _by_callers(baseline, right, np.arange(len(baseline.forms)))
    made = 0
    for callers in sorted(ours.keys() & theirs.keys(), key=sorted):
        if len(ours[callers]) != 1 or len(theirs[callers]) != 1:
            continue
        (a,), (b,) = ours[callers], theirs[callers]
        if named_apart(fixed, baseline, a, b):
            continue
        one, two = _named(fixed, a, pairing.fixed), _named(baseline, b, np.arange(len(baseline.forms)))
        shared = len(one & two)
        if shared >= MIN_SHARED and 2 * shared >= min(len(one), len(two)):
            made += pairing.add_one(a, b, Level.CALLERS)
    return made


def _by_callers(side: Side, free: I64, names: I64) -> dict[frozenset[int], list[int]]:
    """Free fragments by the set of fragments that refer to their start, by their ``names``. Leaves out
    those that nobody refers to, or a fragment without a name (-1)."""
    wanted = np.zeros(len(side.forms), dtype=np.bool_)
    wanted[free] = True
    code = side.targets.code
    rows = np.flatnonzero((code >= 0) & (side.targets.offset == 0))
    rows = rows[wanted[code[rows]]]
    callers: dict[int, set[int]] = defaultdict(set)
    owners = side.program.references.fragment[rows]
    for target, owner in zip(code[rows].tolist(), owners.tolist(), strict=True):
        if owner != target:
            callers[target].add(int(names[owner]))
    found: dict[frozenset[int], list[int]] = defaultdict(list)
    for target in sorted(callers):
        if -1 not in callers[target]:
            found[frozenset(callers[target])].append(target)
    return found


def _named(side: Side, fragment: int, names: I64) -> set[tuple[str, int]]:
    """What a fragment refers to, in terms that both sides share: paired code, imports, constants."""
    rows = slice(int(side.first[fragment]), int(side.last[fragment]))
    places = side.targets
    code = [("code", int(names[each])) for each in places.code[rows].tolist() if each >= 0]
    other = [("other", each) for each in places.other[rows].tolist() if each]
    atoms = [("text", int(side.atoms.digest[each])) for each in places.atom[rows].tolist() if each >= 0]
    return {each for each in [*code, *other, *atoms] if each != ("code", -1)}
