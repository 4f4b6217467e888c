"""What callers say of pairs that rest on little else.

A function that a fix made three times as long shares too little code with its old version to be recognised by
it; where it is called from did not change. And two functions that lie at the same place between neighbours,
and look somewhat alike, are not one function when nobody who calls the one called the other.
"""

from collections import defaultdict
from typing import Final

import numpy as np

from hpbuild.code.columns import among, distinct
from hpbuild.code.model import I64
from hpbuild.match.agreement import expand
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level, Pairing
from hpbuild.match.sides import Side
from hpbuild.match.similarity import Shapes, similarity

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
    callers = {
        target: {int(names[owner]) for owner in owners}
        for target, owners in _callers(side, free).items()
        if owners
    }
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


_UNSURE: Final = (Level.LAYOUT, Level.SIMILARITY, Level.ORDER)


ALIKE: Final = 0.5
"""Similarity from which two functions at the same place need no word of their callers."""
MIN_COMMON: Final = 0.75
"""Share of the callers of either that must call both, below that similarity."""


def drop_denied(fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes]) -> int:
    """Undo pairs made by place, likeness or order that the paired callers deny: none of those of either calls
    both, or too few where the two are hardly alike. To redirect that one would change another function. Where
    only one of the two has paired callers these say nothing (a call may be new, or gone), unless data names
    one of the two alone. Seen from the other side the same pairs are undone. The number undone."""
    unsure = pairing.made_by(_UNSURE)
    unsure = unsure[fixed.forms[unsure] != 0]
    if not len(unsure):
        return 0
    partners = pairing.fixed[unsure]
    ours = _caller_keys(fixed, unsure, pairing.fixed)
    theirs = _caller_keys(
        baseline, partners, np.where(pairing.baseline >= 0, np.arange(len(baseline.forms)), -1)
    )
    shared = ours[among(ours, theirs)]
    one, two, common = (np.bincount(keys >> 32, minlength=len(unsure)) for keys in (ours, theirs, shared))
    either = one + two - common
    data = _named_by_data(fixed)[unsure] != _named_by_data(baseline)[partners]
    denied = (common == 0) & (((one > 0) & (two > 0)) | ((either > 0) & data))
    few = (common > 0) & (common < MIN_COMMON * either) & (fixed.forms[unsure] != baseline.forms[partners])
    for number in np.flatnonzero(few).tolist():
        likeness = similarity(shapes[0].of(int(unsure[number])), shapes[1].of(int(partners[number])))
        denied[number] = likeness < ALIKE
    pairing.drop(unsure[denied])
    return int(np.count_nonzero(denied))


def _caller_keys(side: Side, wanted: I64, names: I64) -> I64:
    """For each number of a wanted fragment the ``names`` of the others that refer to its start, but for -1:
    (number, name) in one column, ascending and distinct."""
    number, at = expand(side.links.first[wanted], side.links.last[wanted], np.arange(len(wanted)))
    rows = side.links.rows[at]
    owner = side.program.references.fragment[rows]
    name = names[owner]
    kept = (side.targets.offset[rows] == 0) & (owner != wanted[number]) & (name >= 0)
    return distinct(number[kept] << 32 | name[kept])


def _named_by_data(side: Side) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """By fragment: an address in data leads to its start."""
    named = np.zeros(len(side.forms), dtype=np.bool_)
    rows = np.flatnonzero((side.pointers.code >= 0) & (side.pointers.offset == 0))
    named[side.pointers.code[rows]] = True
    return named


def _callers(side: Side, wanted: I64) -> dict[int, set[int]]:
    """For each wanted fragment the other fragments that refer to its start."""
    number, at = expand(side.links.first, side.links.last, wanted)
    rows = side.links.rows[at]
    start = side.targets.offset[rows] == 0
    found: dict[int, set[int]] = {each: set() for each in wanted.tolist()}
    owners = side.program.references.fragment[rows[start]]
    for target, owner in zip(number[start].tolist(), owners.tolist(), strict=True):
        if owner != target:
            found[target].add(owner)
    return found
