"""What is left of functions that exist several times: as many as both sides have, whichever agree best."""

import numpy as np

from hpbuild.code.model import I64
from hpbuild.match.atoms import Memory
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level, Pairing
from hpbuild.match.sides import Side

MAX_CANDIDATES = 4096
"""Most combinations of one form that are looked at."""


def pair_leftovers(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Pair free fragments of one form where nothing that they refer to is known to be something else, those
    with most in common first; the number of pairs made."""
    ours = _free_by_form(fixed, pairing.fixed)
    theirs = _free_by_form(baseline, pairing.baseline)
    made = 0
    for form in sorted(ours.keys() & theirs.keys()):
        left, right = ours[form], theirs[form]
        if len(left) * len(right) > MAX_CANDIDATES:
            continue
        rows = [(_common(fixed, baseline, pairing, a, b), a, b) for a in left for b in right]
        for score, a, b in sorted(rows, key=lambda row: (-row[0], row[1], row[2])):
            if score >= 0 and not named_apart(fixed, baseline, a, b):
                made += pairing.add_one(a, b, Level.ORDER)
    return made


def _free_by_form(side: Side, partner: I64) -> dict[int, list[int]]:
    free = np.flatnonzero((partner < 0) & (side.forms != 0))
    found: dict[int, list[int]] = {}
    for fragment, form in zip(free.tolist(), side.forms[free].tolist(), strict=True):
        found.setdefault(form, []).append(fragment)
    return found


def _common(fixed: Side, baseline: Side, pairing: Pairing, a: int, b: int) -> int:
    """How many references of two fragments of one form agree; -1 when one names code or an import that is
    known to be another."""
    ours, theirs = slice(fixed.first[a], fixed.last[a]), slice(baseline.first[b], baseline.last[b])
    left, right = fixed.targets.code[ours], baseline.targets.code[theirs]
    code = (left >= 0) & (right >= 0)
    partner = np.where(code, pairing.fixed[left], -1)
    rival = np.where(code, pairing.baseline[right], -1)
    if np.any(((left >= 0) != (right >= 0)) | (code & (partner != right) & ((partner >= 0) | (rival >= 0)))):
        return -1
    if np.any(fixed.targets.other[ours] != baseline.targets.other[theirs]):
        return -1
    atom, mate = fixed.targets.atom[ours], baseline.targets.atom[theirs]
    data = (atom >= 0) & (mate >= 0)
    atom, mate = atom[data], mate[data]
    equal = fixed.atoms.digest[atom] == baseline.atoms.digest[mate]
    equal &= fixed.atoms.memory[atom] == Memory.RODATA
    return int(np.count_nonzero(code & (partner == right)) + np.count_nonzero(equal))
