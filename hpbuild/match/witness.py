"""What paired functions bear witness to: the code that they name at the same place, directly or through data.

Votes only propose pairs and take wrong ones back; whether a pair is identical is decided by the agreement of
all testimony.
"""

from functools import partial

import numpy as np

from hpbuild.code.columns import among, distinct
from hpbuild.code.model import I64
from hpbuild.match.agreement import expand, named_alike, of_same_form
from hpbuild.match.both import both
from hpbuild.match.links import telling_atoms
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level, Pairing, once
from hpbuild.match.sides import Side
from hpbuild.match.similarity import Shapes, similarity

DEPTH = 4
"""Most steps from a function through data to code: unwind record, function information, map, handler."""
MIN_WITNESS = 0.15
"""Similarity below which code of different forms is not the same function, whoever names it."""

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]
_RIGHT = 0xFFFFFFFF
"""The bits of a pair in one column that number its second."""
Columns = tuple[I64, I64]
Votes = tuple[I64, I64, I64]
"""Columns: fixed fragment, baseline fragment, number of witnesses."""


def witnesses(fixed: Side, baseline: Side, pairing: Pairing, *, free: bool = False) -> Votes:
    """Every pair of fragments that paired fragments of equal form name at the same place; with ``free`` at
    least those of free fragments, in less time."""
    if not len(fixed.forms) or not len(baseline.forms):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    alike = of_same_form(fixed, baseline, pairing)
    chosen = pairing.fixed < 0 if free else np.ones(len(fixed.forms), dtype=np.bool_)
    given = fixed, baseline, pairing, alike, chosen
    rows = 0 if free else len(alike)
    direct, through = both(partial(_direct, *given), partial(_through, *given), rows)
    return _tally(direct, through, pairing, free=free)


def _direct(fixed: Side, baseline: Side, pairing: Pairing, alike: Bool, chosen: Bool) -> Columns:
    """What the fragments that are ``alike``, which have partners of equal form, name themselves, where that
    is the start of one of the ``chosen`` fragments."""
    row, other = named_alike(fixed, baseline, pairing, alike, _leading(fixed, chosen))
    return fixed.targets.code[row], baseline.targets.code[other]


def _through(fixed: Side, baseline: Side, pairing: Pairing, alike: Bool, chosen: Bool) -> Votes:
    """What those that are ``alike`` name through data of equal content, at least where that is one of the
    ``chosen`` fragments."""
    left, right, weights = ([np.zeros(0, dtype=np.int64)] for _ in range(3))
    tables, unwind = fixed.links.tables, fixed.links.unwind
    wanted = _leads_to(fixed, chosen) & np.append(telling_atoms(fixed.atoms), False)
    tables = tables[np.flatnonzero(wanted[fixed.targets.atom[tables]])]
    owners = np.flatnonzero(wanted[unwind] & alike)
    row, other = named_alike(fixed, baseline, pairing, alike, tables)
    one = np.concatenate([fixed.targets.atom[row], unwind[owners]])
    two = np.concatenate([baseline.targets.atom[other], baseline.links.unwind[pairing.fixed[owners]]])
    atoms = _equal(fixed, baseline, wanted, (one, two, np.ones(len(one), dtype=np.int64)))
    seen = np.zeros(0, dtype=np.int64)
    for _ in range(DEPTH):
        keys, counts = _counted(atoms[0] << 32 | atoms[1], atoms[2])
        fresh = np.flatnonzero(~among(keys, seen))
        keys, counts = keys[fresh], counts[fresh]
        seen = np.sort(np.concatenate([seen, keys]))
        holder, held = keys >> 32, keys & _RIGHT
        begin, end = fixed.atoms.first_field[holder], fixed.atoms.last_field[holder]
        number, row = expand(begin, end, np.arange(len(keys)))
        other = row + (baseline.atoms.first_field[held] - begin)[number]
        start = np.flatnonzero((fixed.pointers.offset[row] | baseline.pointers.offset[other]) == 0)
        row, other, count = row[start], other[start], counts[number[start]]
        left.append(fixed.pointers.code[row])
        right.append(baseline.pointers.code[other])
        weights.append(count)
        atoms = _equal(
            fixed, baseline, wanted, (fixed.pointers.atom[row], baseline.pointers.atom[other], count)
        )
        if not len(atoms[0]):
            break
    return np.concatenate(left), np.concatenate(right), np.concatenate(weights)


def _leading(side: Side, chosen: Bool) -> I64:
    """References to the start of code, or to the chosen fragments."""
    links = side.links
    if chosen.all():
        return links.code
    return links.rows[expand(links.first, links.last, np.flatnonzero(chosen))[1]]


def _leads_to(side: Side, chosen: Bool) -> Bool:
    """By atom: in at most ``DEPTH`` steps it leads to the start of a chosen fragment. One more, False, stands
    for no atom, -1."""
    links, pointers = side.links, side.pointers
    rows = np.flatnonzero((pointers.offset == 0) & (links.holder >= 0))
    atom, holder = pointers.atom[rows], links.holder[rows]
    leads = np.zeros(len(side.atoms) + 1, dtype=np.bool_)
    # Where there is no code, -1, the one behind the last is asked: nobody.
    leads[holder[np.flatnonzero(np.append(chosen, False)[pointers.code[rows]])]] = True
    for _ in range(DEPTH - 1):
        before = np.count_nonzero(leads)
        leads[holder[np.flatnonzero(leads[atom])]] = True
        if np.count_nonzero(leads) == before:
            break
    return leads


def _equal(fixed: Side, baseline: Side, wanted: Bool, pairs: Votes) -> Votes:
    """The pairs of ``wanted`` atoms and such of equal content, with their counts."""
    left, right, counts = pairs
    rows = np.flatnonzero(wanted[left] & (right >= 0))
    rows = rows[np.flatnonzero(fixed.atoms.digest[left[rows]] == baseline.atoms.digest[right[rows]])]
    return left[rows], right[rows], counts[rows]


def _counted(keys: I64, weights: I64) -> tuple[I64, I64]:
    """Distinct keys, ascending, with the sums of their weights."""
    order = np.argsort(keys)
    ordered = keys[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else keys
    sums = np.add.reduceat(weights[order], first) if len(keys) else weights
    return ordered[first], sums


def _tally(direct: Columns, through: Votes, pairing: Pairing, *, free: bool) -> Votes:
    """All votes for code, each pair once, ascending: one for each row of ``direct``. With ``free`` not those
    for the pairs that there are."""
    count, partners = len(pairing.fixed), np.append(pairing.fixed, -1)
    # Nearly all say what is known already: these need no sorting.
    known = (partners[direct[0]] == direct[1]) & (direct[1] >= 0)
    rows = np.flatnonzero(~known & (direct[1] >= 0))
    others, numbers = [direct[0][rows] << 32 | direct[1][rows]], [np.ones(len(rows), dtype=np.int64)]
    left, right, weights = through
    agreed = (partners[left] == right) & (right >= 0)
    rows = np.flatnonzero(~agreed & ((left | right) >= 0))
    others.append(left[rows] << 32 | right[rows])
    numbers.append(weights[rows])
    fresh, counts = _counted(np.concatenate(others), np.concatenate(numbers))
    if free:
        return fresh >> 32, fresh & _RIGHT, counts
    votes = np.bincount(direct[0][np.flatnonzero(known)], minlength=count)
    rows = np.flatnonzero(agreed)
    votes += np.bincount(left[rows], weights=weights[rows], minlength=count).astype(np.int64)
    told = np.flatnonzero(votes > 0)
    settled = told << 32 | pairing.fixed[told]
    place = np.searchsorted(settled, fresh)
    keys = np.insert(settled, place, fresh)
    return keys >> 32, keys & _RIGHT, np.insert(votes[told], place, counts)


def pair_by_witness(
    fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes], votes: Votes
) -> int:
    """Pair free fragments by the number of their witnesses; the number of pairs made."""
    left, right, count = votes
    free = np.flatnonzero((pairing.fixed[left] < 0) & (pairing.baseline[right] < 0))
    same = fixed.forms[left[free]] == baseline.forms[right[free]]
    made = 0
    if "none" in (fixed.program.symbols.source, baseline.program.symbols.source):
        # Most have no rival and no name: they need not wait for their turn.
        clear = same & once(left[free]) & once(right[free])
        made = pairing.add_distinct(left[free[clear]], right[free[clear]], Level.REFERENCE)
        free, same = free[~clear], same[~clear]
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
