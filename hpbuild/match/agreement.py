"""Testimony: every pair of equal forms says which addresses correspond, and all of it must agree.

A reference agrees when both its ends lie in paired code at the same offset, in data that corresponds
(``hpbuild.match.data_pairs``), or at the same named thing of the loader.
"""

from functools import partial

import numpy as np

from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.match.both import both
from hpbuild.match.data_pairs import DataClosure, DataPairs
from hpbuild.match.judging import judge, of_one_kind
from hpbuild.match.pairing import Pairing
from hpbuild.match.places import Places, locate
from hpbuild.match.sides import Side

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """``identical`` by fixed fragment; ``first_bad`` the first disagreeing row of the fixed references (-1:
    none, -2: the unwind record, -3: data inside the function) for pairs of equal form; ``data`` what
    identical fragments testify."""

    identical: Bool
    first_bad: I64
    data: DataPairs


def expand(first: I64, last: I64, owners: I64) -> tuple[I64, I64]:
    """Rows ``first[o]..last[o]`` of every owner, concatenated: (owner of each row, row)."""
    begin = first[owners]
    counts = last[owners] - begin
    row = np.repeat(begin - (np.cumsum(counts) - counts), counts)
    row += np.arange(len(row))
    return np.repeat(owners, counts), row


def in_step(fixed: Side, baseline: Side, pairing: Pairing, owners: I64) -> tuple[I64, I64, I64]:
    """The references of paired fragments of equal form: (owner of each row, row, row of the baseline)."""
    row, other, ends = _rows_in_step(fixed, baseline, pairing, owners)
    return np.repeat(owners, np.diff(ends, prepend=0)), row, other


def _rows_in_step(fixed: Side, baseline: Side, pairing: Pairing, owners: I64) -> tuple[I64, I64, I64]:
    """The rows of ``in_step``, and where those of each owner end."""
    first = fixed.first[owners]
    counts = fixed.last[owners] - first
    ends = np.cumsum(counts)
    row = np.repeat(first - ends + counts, counts)
    row += np.arange(len(row))
    other = np.repeat(baseline.first[pairing.fixed[owners]] - first, counts)
    other += row
    return row, other, ends


def named_alike(fixed: Side, baseline: Side, pairing: Pairing, alike: Bool, rows: I64) -> tuple[I64, I64]:
    """Those of ``rows`` of the fixed references that fragments which are ``alike`` have to the start of
    something, and that are so in the baseline too; and the baseline's rows."""
    owner = fixed.program.references.fragment[rows]
    kept = np.flatnonzero(alike[owner] & (fixed.targets.offset[rows] == 0))
    rows, owner = rows[kept], owner[kept]
    if not len(rows):
        return rows, rows
    if len(rows) < len(fixed.first):
        others = rows + (baseline.first[pairing.fixed[owner]] - fixed.first[owner])
    else:
        # Where a fragment has no partner the distance means nothing, and is not asked for.
        others = rows + (baseline.first[pairing.fixed] - fixed.first)[owner]
    start = np.flatnonzero(baseline.targets.offset[others] == 0)
    return (rows, others) if len(start) == len(rows) else (rows[start], others[start])


def same_forms(fixed: Side, baseline: Side, pairing: Pairing) -> I64:
    """The paired fragments of the fixed image whose partners have the same form."""
    kept: I64 = np.flatnonzero(of_same_form(fixed, baseline, pairing))
    return kept


def of_same_form(fixed: Side, baseline: Side, pairing: Pairing) -> Bool:
    """By fragment of the fixed image: it has a partner, of the same form."""
    # Data has the form 0; so has, behind the last, the partner of what has none, -1.
    alike: Bool = fixed.forms == np.append(baseline.forms, 0)[pairing.fixed]
    alike &= fixed.forms != 0
    return alike


class Testimony:
    """What all pairs of equal form say of what they name in the same place, before the data is judged. What
    they say is numbered: first the ``rows`` of references, which ``ends`` tells to be whose; then the unwind
    record of each fragment; then the data inside of each ``holder``. ``bad`` are the numbers of what
    disagrees whatever the data is; ``resting`` those that rest on a pair of atoms, each with the number of
    that pair, ``claimed``."""

    __slots__ = (
        "_bad",
        "_claimed",
        "_closure",
        "_ends",
        "_fixed",
        "_holder",
        "_resting",
        "_rows",
        "_same_form",
    )

    def __init__(self, fixed: Side, baseline: Side, pairing: Pairing) -> None:
        self._fixed = fixed
        self._same_form = owners = same_forms(fixed, baseline, pairing)
        middle = len(owners) // 2
        judged = partial(_judge_references, fixed, baseline, pairing)
        one, two = both(partial(judged, owners[:middle]), partial(judged, owners[middle:]), middle)
        before = len(one[0])
        self._rows = np.concatenate([one[0], two[0]])
        self._ends = np.concatenate([one[1], two[1] + before])
        unwind = _judge_unwind(fixed, baseline, owners, pairing.fixed[owners])
        self._holder, inside_f, inside_b = _inside_places(fixed, baseline, pairing, owners)
        every = np.arange(len(self._holder))
        inside = judge(fixed, baseline, pairing, (inside_f, every), (inside_b, every))
        behind = len(self._rows), len(self._rows) + len(owners)
        parts = [(0, one[2]), (before, two[2]), (behind[0], unwind), (behind[1], inside)]
        self._bad = np.concatenate([np.flatnonzero(~part[0]) + begin for begin, part in parts])
        rows = np.concatenate([part[1] + begin for begin, part in parts])
        keys = np.concatenate([part[2] << 32 | part[3] for _, part in parts])
        order = np.argsort(keys)
        ordered = keys[order]
        first = np.ones(len(rows), dtype=np.bool_)
        np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
        self._resting, self._claimed = rows[order], np.cumsum(first) - 1
        begins = np.flatnonzero(first)
        votes = np.diff(np.append(begins, len(rows)))
        self._closure = DataClosure(fixed, baseline, pairing, ordered[begins], votes)

    def agreement(self, more: tuple[I64, I64]) -> Agreement:
        """Which pairs of equal form are identical functions, and what their data correspondences are.

        ``more`` are further pairs of atoms to judge besides those of earlier calls (from neighbours or
        names), columns fixed and baseline."""
        pairs, valid = self._closure.judged(more)
        bad = np.concatenate([self._bad, self._resting[~valid[self._claimed]]])
        owner, row = self._told(np.sort(bad)[::-1])
        identical = np.zeros(len(self._fixed.forms), dtype=np.bool_)
        identical[self._same_form] = True
        identical[owner] = False
        first_bad = np.full(len(identical), -1, dtype=np.int64)
        first_bad[owner] = row
        return Agreement(identical=identical, first_bad=first_bad, data=pairs)

    def _told(self, numbers: I64) -> tuple[I64, I64]:
        """By whom, and of which row of the references (-2, -3 as in ``Agreement``)."""
        references, fragments = len(self._rows), len(self._same_form)
        owner, row = np.empty(len(numbers), dtype=np.int64), np.full(len(numbers), -3)
        inside, code = numbers >= references + fragments, numbers < references
        unwind = ~inside & ~code
        owner[inside] = self._holder[numbers[inside] - references - fragments]
        owner[unwind], row[unwind] = self._same_form[numbers[unwind] - references], -2
        owner[code] = self._same_form[np.searchsorted(self._ends, numbers[code], side="right")]
        row[code] = self._rows[numbers[code]]
        return owner, row


def _judge_references(
    fixed: Side, baseline: Side, pairing: Pairing, owners: I64
) -> tuple[I64, I64, tuple[Bool, I64, I64, I64]]:
    """The rows of the references of paired fragments of equal form, where those of each end, and what
    ``judge`` says of them."""
    rows, other, ends = _rows_in_step(fixed, baseline, pairing, owners)
    return rows, ends, judge(fixed, baseline, pairing, (fixed.targets, rows), (baseline.targets, other))


def _judge_unwind(fixed: Side, baseline: Side, ours: I64, theirs: I64) -> tuple[Bool, I64, I64, I64]:
    """``judge`` for the unwind records of fragments: none on both sides agree."""
    left, right = fixed.links.unwind[ours], baseline.links.unwind[theirs]
    agreed = fixed.program.fragments.unwind[ours] == 0
    agreed &= baseline.program.fragments.unwind[theirs] == 0
    rows = of_one_kind(fixed, baseline, left, right, np.flatnonzero((left | right) >= 0))
    agreed[rows] = True
    return agreed, rows, left[rows], right[rows]


def _inside_places(fixed: Side, baseline: Side, pairing: Pairing, rows: I64) -> tuple[I64, Places, Places]:
    """The data that lies inside the functions of ``rows`` (their jump tables, which code that folds the
    lowest case into its operand does not name): the fragment before it, and the places on both sides."""
    ours, theirs = fixed.program.fragments, baseline.program.fragments
    runs = np.flatnonzero(ours.opaque)
    runs = runs[~ours.opaque[ours.root[runs]]]
    before = np.maximum.accumulate(np.where(ours.opaque, 0, np.arange(len(ours))))[runs]
    holder = np.where(ours.root[before] == ours.root[runs], before, ours.root[runs])
    chosen = np.zeros(len(ours), dtype=np.bool_)
    chosen[rows] = True
    runs, holder = runs[chosen[holder]], holder[chosen[holder]]
    first = np.searchsorted(fixed.atoms.start, ours.start[runs])
    last = np.searchsorted(fixed.atoms.start, ours.end[runs])
    number, atom = expand(first, last, np.arange(len(runs)))
    holder = holder[number]
    start = fixed.atoms.start[atom]
    none = np.zeros(len(atom), dtype=np.int64)
    left = Places(code=none - 1, atom=atom, offset=none, other=none, edge=none)
    place = start - ours.start[holder] + theirs.start[pairing.fixed[holder]]
    return holder, left, locate(baseline.program, baseline.atoms, place)
