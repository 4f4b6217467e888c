"""What paired functions bear witness to: the code that they name at the same place, directly or through data.

Votes only propose pairs and take wrong ones back; whether a pair is identical is decided by the agreement of
all testimony.
"""

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.model import I64
from hpbuild.match.agreement import expand, named_alike, same_forms
from hpbuild.match.atoms import Memory
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level, Pairing
from hpbuild.match.sides import Side
from hpbuild.match.similarity import Shapes, similarity

DEPTH = 4
"""Most steps from a function through data to code: unwind record, function information, map, handler."""
MIN_WITNESS = 0.15
"""Similarity below which code of different forms is not the same function, whoever names it."""

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]
Votes = tuple[I64, I64, I64]
"""Columns: fixed fragment, baseline fragment, number of witnesses."""


def witnesses(fixed: Side, baseline: Side, pairing: Pairing, *, free: bool = False) -> Votes:
    """Every pair of fragments that paired fragments of equal form name at the same place; with ``free`` at
    least those of free fragments, in less time."""
    if not len(fixed.forms) or not len(baseline.forms):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    alike = np.zeros(len(fixed.forms), dtype=np.bool_)
    owners = same_forms(fixed, baseline, pairing)
    alike[owners] = True
    unpaired = pairing.fixed < 0
    row, other = named_alike(fixed, baseline, pairing, alike, _leading(fixed, unpaired if free else None))
    direct = fixed.targets.code[row], baseline.targets.code[other]
    left, right, weights = ([np.zeros(0, dtype=np.int64)] for _ in range(3))
    wanted = _leads_to(fixed, unpaired) if free else np.ones(len(fixed.atoms), dtype=np.bool_)
    row, other = named_alike(fixed, baseline, pairing, alike, fixed.links.tables)
    atoms = _equal(
        fixed,
        baseline,
        wanted,
        np.concatenate([fixed.targets.atom[row], fixed.links.unwind[owners]]),
        np.concatenate([baseline.targets.atom[other], baseline.links.unwind[pairing.fixed[owners]]]),
    )
    seen = np.zeros(0, dtype=np.int64)
    for _ in range(DEPTH):
        keys, counts = _counted(atoms[0] * (len(baseline.atoms) + 1) + atoms[1], atoms[2])
        fresh = ~_among(seen, keys)
        keys, counts = keys[fresh], counts[fresh]
        seen = np.sort(np.concatenate([seen, keys]))
        holder, held = keys // (len(baseline.atoms) + 1), keys % (len(baseline.atoms) + 1)
        number, row = expand(
            fixed.atoms.first_field[holder], fixed.atoms.last_field[holder], np.arange(len(keys))
        )
        other = baseline.atoms.first_field[held[number]] + row - fixed.atoms.first_field[holder[number]]
        start = (fixed.pointers.offset[row] == 0) & (baseline.pointers.offset[other] == 0)
        number, row, other = number[start], row[start], other[start]
        left.append(fixed.pointers.code[row])
        right.append(baseline.pointers.code[other])
        weights.append(counts[number])
        atoms = _equal(
            fixed, baseline, wanted, fixed.pointers.atom[row], baseline.pointers.atom[other], counts[number]
        )
        if not len(atoms[0]):
            break
    columns = np.concatenate(left), np.concatenate(right), np.concatenate(weights)
    return _tally(direct, columns, pairing)


def _leading(side: Side, chosen: Bool | None) -> I64:
    """References to the start of code, or to the chosen fragments."""
    links = side.links
    if chosen is None:
        return links.code
    return links.rows[expand(links.first, links.last, np.flatnonzero(chosen))[1]]


def _leads_to(side: Side, chosen: Bool) -> Bool:
    """By atom: in at most ``DEPTH`` steps it leads to the start of a chosen fragment."""
    links, pointers = side.links, side.pointers
    rows = np.flatnonzero((pointers.offset == 0) & (links.holder >= 0))
    code, atom, holder = pointers.code[rows], pointers.atom[rows], links.holder[rows]
    leads = np.zeros(len(side.atoms), dtype=np.bool_)
    leads[holder[(code >= 0) & chosen[np.maximum(code, 0)]]] = True
    holder, atom = holder[atom >= 0], atom[atom >= 0]
    for _ in range(DEPTH - 1):
        leads[holder[leads[atom]]] = True
    return leads


def _equal(
    fixed: Side, baseline: Side, wanted: Bool, left: I64, right: I64, counts: I64 | None = None
) -> tuple[I64, I64, I64]:
    """The pairs of ``wanted`` atoms with fields and equal content, with their counts (1 each where none are
    given)."""
    ok = np.flatnonzero((left >= 0) & (right >= 0))
    if len(wanted):
        ok = ok[wanted[left[ok]]]
    a, b = left[ok], right[ok]
    same = fixed.atoms.digest[a] == baseline.atoms.digest[b] if len(ok) else np.zeros(0, dtype=np.bool_)
    same &= (fixed.atoms.memory[a] != Memory.BSS) & (fixed.atoms.last_field[a] > fixed.atoms.first_field[a])
    weight = np.ones(len(ok), dtype=np.int64) if counts is None else counts[ok]
    return a[same], b[same], weight[same]


def _counted(keys: I64, weights: I64) -> tuple[I64, I64]:
    """Distinct keys, ascending, with the sums of their weights."""
    order = np.argsort(keys)
    ordered = keys[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else keys
    sums = np.add.reduceat(weights[order], first) if len(keys) else weights
    return ordered[first], sums


def _among(known: I64, keys: I64) -> Bool:
    if not len(known):
        return np.zeros(len(keys), dtype=np.bool_)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: Bool = known[place] == keys
    return found


def _tally(direct: tuple[I64, I64], through: tuple[I64, I64, I64], pairing: Pairing) -> Votes:
    """All votes, ascending: one for each row of ``direct``, as many as it says for one of those ``through``
    data."""
    width, count = len(pairing.baseline) + 1, len(pairing.fixed)
    # Nearly all say what is known already: these need no sorting.
    known = (pairing.fixed[direct[0]] == direct[1]) & (direct[1] >= 0)
    votes = np.bincount(direct[0][known], minlength=count)
    rest = np.flatnonzero(~known)
    left, right = direct[0][rest], direct[1][rest]
    ok = right >= 0
    others, weights = [left[ok] * width + right[ok]], [np.ones(np.count_nonzero(ok), dtype=np.int64)]
    ok = (through[0] >= 0) & (through[1] >= 0)
    left, right, weight = (column[ok] for column in through)
    known = pairing.fixed[left] == right
    votes += np.bincount(left[known], weights=weight[known], minlength=count).astype(np.int64)
    others.append((left * width + right)[~known])
    weights.append(weight[~known])
    fresh, numbers = _counted(np.concatenate(others), np.concatenate(weights))
    told = np.flatnonzero(votes)
    settled = told * width + pairing.fixed[told]
    place = np.searchsorted(settled, fresh)
    keys, counts = np.insert(settled, place, fresh), np.insert(votes[told], place, numbers)
    return keys // width, keys % width, counts


def pair_by_witness(
    fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes], votes: Votes
) -> int:
    """Pair free fragments by the number of their witnesses; the number of pairs made."""
    left, right, count = votes
    free = np.flatnonzero((pairing.fixed[left] < 0) & (pairing.baseline[right] < 0))
    same = fixed.forms[left[free]] == baseline.forms[right[free]]
    made = 0
    for row in free[np.lexsort((right[free], left[free], -count[free], ~same))].tolist():
        a, b = int(left[row]), int(right[row])
        if pairing.fixed[a] >= 0 or pairing.baseline[b] >= 0:
            continue
        if named_apart(fixed, baseline, a, b):
            continue
        alike = fixed.forms[a] == baseline.forms[b]
        if alike or similarity(shapes[0].of(a), shapes[1].of(b)) >= MIN_WITNESS:
            made += pairing.add_one(a, b, Level.REFERENCE)
    return made


_SURE = (Level.SYMBOL, Level.EXPORT)


def drop_outvoted(fixed: Side, baseline: Side, pairing: Pairing, votes: Votes) -> int:
    """Undo pairs without a name where another pair of equal form has more witnesses than either of the two it
    stands against; the number undone."""
    left, right, count = votes
    current = np.zeros(len(fixed.forms), dtype=np.int64)
    own = pairing.fixed[left] == right
    current[left[own]] = count[own]
    against = np.flatnonzero(~own)
    left, right, count = left[against], right[against], count[against]
    rival = pairing.baseline[right]
    paired = (pairing.fixed[left] >= 0) & (rival >= 0)
    more = (count > current[left]) & (count > current[np.maximum(rival, 0)])
    equal = fixed.forms[left] == baseline.forms[right]
    named = np.isin(pairing.level[left], _SURE) | np.isin(pairing.level[np.maximum(rival, 0)], _SURE)
    wrong = np.flatnonzero(paired & more & equal & ~named)
    bad = distinct(np.concatenate([left[wrong], rival[wrong]]))
    pairing.drop(bad)
    return len(bad)
