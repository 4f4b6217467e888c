"""Runs of the fixed image against the same runs elsewhere: bytes outside the references must be equal, and
every reference must land on the counterpart of its target. Used for code and data, baseline and patch."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from hpbuild.dataclass import dataclass
from hpbuild.errors import Code
from hpbuild.prove.checks import Recorder
from hpbuild.prove.claims import Rows
from hpbuild.prove.correspond import Correspondence, Flags
from hpbuild.prove.references import Form, Numbers, References, Use, ascending, distinct
from hpbuild.prove.space import Space

_AT_ONCE = 1 << 20
"""Bytes of two spaces that are compared at a time."""
_WIDEST = 8
"""Most bytes of a field."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of the fixed image, sorted by start: ``shift`` is the distance to the counterpart; ``name`` gives
    the words for a run by its index."""

    start: Numbers
    end: Numbers
    shift: Numbers
    name: Callable[[int], str]

    @classmethod
    def of(cls, rows: list[tuple[int, int, int, str]]) -> "Runs":
        """Runs from (start, end, counterpart's start, name)."""
        rows = sorted(rows)
        table = np.array([row[:3] for row in rows], dtype=np.int64).reshape(-1, 3)
        names = [row[3] for row in rows]
        return cls(table[:, 0].copy(), table[:, 1].copy(), table[:, 2] - table[:, 0], names.__getitem__)

    @classmethod
    def claimed(cls, rows: Rows, what: str) -> "Runs":
        """Runs from rows of the claims."""
        table = rows.astype(np.int64)
        start = table[:, 0].copy()
        return cls(start, table[:, 1].copy(), table[:, 2] - start, lambda row: f"{what} {int(start[row]):#x}")

    def __len__(self) -> int:
        return len(self.start)

    def holding(self, site: Numbers, width: Numbers | int) -> Numbers:
        """Index of the run that holds all bytes of each field, or -1."""
        if not len(self):
            return np.full(len(site), -1, dtype=np.int64)
        rows = np.searchsorted(self.start, site, side="right") - 1
        return np.where((rows >= 0) & (site + width <= self.end[rows]), rows, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is compared with the fixed image, and which codes the differences have."""

    fixed: Space
    other: Space
    judge: Correspondence
    carried: bool
    differs: Code
    refers: Code
    relocated: Code


def pointers(runs: Runs, relocated: Numbers) -> References:
    """The 8-byte fields with a base relocation in ``runs``; a field that leaves its run is left out (and so
    fails as a difference of base relocations)."""
    row = runs.holding(relocated, 8)
    site, row = relocated[row >= 0], row[row >= 0]
    ones = np.ones(len(site), dtype=np.int64)
    return References(
        site=site, width=8 * ones, anchor=0 * ones, form=ones * Form.ABSOLUTE, use=ones * Use.ADDRESS, row=row
    )


def claimed_fields(runs: Runs, fields: Rows, within: Rows | None = None) -> References:
    """The claimed fields in ``runs``; with ``within`` only those that lie in one of these runs."""
    table = fields.astype(np.int64)
    row = runs.holding(table[:, 0], 4)
    keep = row >= 0
    if within is not None:
        inner = Runs.claimed(np.column_stack((within, within[:, 0])), "")
        keep &= inner.holding(table[:, 0], 4) >= 0
    table, row = table[keep], row[keep]
    form = np.array([0, Form.RVA, Form.TABLE, Form.END], dtype=np.int64)[table[:, 2]]
    use = np.full(len(row), int(Use.UNWIND), dtype=np.int64)
    return References(site=table[:, 0], width=table[:, 1], anchor=table[:, 3], form=form, use=use, row=row)


def compare(
    recorder: Recorder, side: Side, runs: Runs, references: References, lines: Numbers | None = None
) -> Numbers:
    """Record every difference of ``runs``; ``references.row`` indexes the runs. Returns the addresses that
    the references name in the other space. ``lines`` are 4-byte fields that may differ (line numbers)."""
    there = _compare_references(recorder, side, runs, references)
    _compare_bytes(recorder, side, runs, references, lines if lines is not None else references.site[:0])
    _compare_relocations(recorder, side, runs)
    return there


def _compare_references(recorder: Recorder, side: Side, runs: Runs, references: References) -> Numbers:
    if not len(references):
        return references.site
    shift, origins = runs.shift[references.row], references.anchor.copy()
    tables = np.flatnonzero(references.form == Form.TABLE)
    origins[tables] = _origins(side, runs, references, tables)
    here = side.fixed.targets(references, np.zeros_like(shift), references.anchor)
    there = side.other.targets(references, shift, origins)
    right = side.judge.right(here, there, references.use, side.carried)
    right[tables[origins[tables] < 0]] = False
    wrong = np.flatnonzero(~right)
    recorder.failures += max(len(wrong) - 100, 0)
    for index in wrong[:100].tolist():
        site, use = int(references.site[index]), int(references.use[index])
        cause = side.judge.explain(int(here[index]), int(there[index]), use, side.carried)
        recorder.fail(side.refers, runs.name(int(references.row[index])), f"field at {site:#x}: {cause}")
    return there


def _origins(side: Side, runs: Runs, references: References, rows: Numbers) -> Numbers:
    """What the values of tables are relative to in the other space, for some ``rows`` of the references."""
    anchor, row = references.anchor[rows], references.row[rows]
    found, _ = side.judge.counterparts(anchor, references.use[rows], side.carried)
    own = (anchor >= runs.start[row]) & (anchor < runs.end[row])
    return np.where(own, anchor + runs.shift[row], found)


def _compare_bytes(
    recorder: Recorder, side: Side, runs: Runs, references: References, lines: Numbers
) -> None:
    masked = _Masked.of(references, lines)
    fixed, other = side.fixed, side.other
    for row in _unequal(side, runs, masked).tolist():
        start, end, shift = (int(column[row]) for column in (runs.start, runs.end, runs.shift))
        here = fixed.memory[start:end]
        there = other.slice(start + shift, end - start)
        if len(there) != end - start:
            recorder.fail(side.differs, runs.name(row), "the counterpart leaves the image")
            continue
        unequal = (here != there) & ~masked.within(start, end)
        if unequal.any():
            at = int(np.argmax(unequal))
            cause = (
                f"{int(unequal.sum())} bytes differ, first at {start + at:#x}: {int(here[at]):02x} in "
                f"the fixed image, {int(there[at]):02x} at {start + at + shift:#x}"
            )
            recorder.fail(side.differs, runs.name(row), cause)


@dataclass(frozen=True, slots=True)
class _Masked:
    """Fields whose bytes may differ: their RVAs, ascending, and widths."""

    site: Numbers
    width: Numbers

    @classmethod
    def of(cls, references: References, lines: Numbers) -> "_Masked":
        """Those of the references, and 4 bytes at each of ``lines``."""
        site = np.concatenate([references.site, lines])
        width = np.concatenate([references.width, np.full(len(lines), 4, dtype=np.int64)])
        order = ascending(site)
        return cls(site[order], width[order])

    def within(self, low: int, high: int) -> Flags:
        """For each byte ``[low, high)``: does it belong to a field?"""
        first, last = np.searchsorted(self.site, (low - _WIDEST + 1, high)).tolist()
        site, width = self.site[first:last] - low + _WIDEST, self.width[first:last]
        # With room for fields that begin before the first byte or end behind the last.
        masked = np.zeros(high - low + 2 * _WIDEST, dtype=np.bool_)
        for wide in distinct(width).tolist():
            some = site[width == wide]
            for byte in range(wide):
                masked[some + byte] = True
        return masked[_WIDEST:-_WIDEST]


def _unequal(side: Side, runs: Runs, masked: _Masked) -> Numbers:
    """Rows of the runs that may have another counterpart than their own bytes; for all others it is shown
    that they have none. Runs that lie as far apart from each other as their counterparts do are compared at
    once, with what is between them."""
    if not len(runs) or (runs.end[:-1] > runs.start[1:]).any():
        return np.arange(len(runs))
    here, there = side.fixed.memory, side.other.memory
    first = np.flatnonzero(np.append(True, np.diff(runs.shift) != 0))
    last = np.append(first[1:], len(runs)) - 1
    starts, ends, shifts = runs.start[first], runs.end[last], runs.shift[first] - side.other.start
    inside = (starts + shifts >= 0) & (ends + shifts <= len(there)) & (ends <= len(here))
    groups = np.column_stack((starts, ends, shifts))[inside]
    found = [np.arange(low, high + 1) for low, high in np.column_stack((first, last))[~inside].tolist()]
    window, fields = -1, here[:0] != 0
    for low, high, shift in _portions(groups.tolist()):
        unequal = here[low:high] != there[low + shift : high + shift]
        if not unequal.any():
            continue
        if low // _AT_ONCE != window:
            window = low // _AT_ONCE
            fields = masked.within(window * _AT_ONCE, (window + 1) * _AT_ONCE)
        unequal &= ~fields[low - window * _AT_ONCE : high - window * _AT_ONCE]
        row = runs.holding(np.flatnonzero(unequal) + low, 1)
        found.append(row[row >= 0])
    return distinct(np.concatenate(found)) if found else first[:0]


def _portions(groups: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """(start, end, shift) of the groups, cut at multiples of ``_AT_ONCE``."""
    for start, end, shift in groups:
        low = start
        while low < end:
            high = min((low // _AT_ONCE + 1) * _AT_ONCE, end)
            yield low, high, shift
            low = high


def _compare_relocations(recorder: Recorder, side: Side, runs: Runs) -> None:
    """A base relocation in a run exactly where its counterpart has one."""
    first, last = _between(side.fixed.relocated, runs.start, runs.end)
    first_there, last_there = _between(side.other.relocated, runs.start + runs.shift, runs.end + runs.shift)
    unequal = (last - first) != (last_there - first_there)
    here, row = _gather(side.fixed.relocated, first, np.where(unequal, first, last))
    there, _ = _gather(side.other.relocated, first_there, np.where(unequal, first_there, last_there))
    unequal[row[here + runs.shift[row] != there]] = True
    torn = runs.holding(here, 8) != row
    unequal[row[torn]] = True
    for index in np.flatnonzero(unequal).tolist():
        cause = (
            f"{int(last[index] - first[index])} base relocations in the fixed image, "
            f"{int(last_there[index] - first_there[index])} in the counterpart, or at other places"
        )
        recorder.fail(side.relocated, runs.name(index), cause)


def _between(sites: Numbers, start: Numbers, end: Numbers) -> tuple[Numbers, Numbers]:
    return np.searchsorted(sites, start), np.searchsorted(sites, end)


def _gather(sites: Numbers, first: Numbers, last: Numbers) -> tuple[Numbers, Numbers]:
    """The sites of all runs one after the other, and the run of each."""
    counts = last - first
    row = np.repeat(np.arange(len(first)), counts)
    before = np.cumsum(counts) - counts
    index = np.arange(len(row)) - before[row] + first[row]
    return sites[index], row
