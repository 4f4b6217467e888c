"""Many stretches of code at once: each *lane* goes from instruction to instruction, all lanes in step.

A long stretch is cut at places where an instruction seems to begin. That they do is not believed: what was
found behind a cut counts only when the lane before it ended exactly there, having begun at the stretch's
first byte or behind such a cut itself. So the result is that of one walk from the first byte on.
"""

import numpy as np
import numpy.typing as npt

from hpbuild.dataclass import dataclass
from hpbuild.prove.heads import NOTHING, REFUSED, SIZE, UNKNOWN, Heads
from hpbuild.prove.references import Numbers, ascending

_WIDTH = 1 << 14
"""Lanes that go in step: their places in memory fit the processor's cache."""
_NARROW = 12
"""With fewer lanes than this the columns cost more than they save."""
_STRIDE = 1 << 12
"""Bytes between the cuts of a long stretch."""
_WARM = 24
"""Instructions after which a walk that began at any byte is mostly in step with the real ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """Columns: RVAs where a lane begins and stops (``stop``), the end of its stretch (``limit``), and the
    number of the stretch (``row``); by row and begin."""

    begin: Numbers
    stop: Numbers
    limit: Numbers
    row: Numbers

    def __len__(self) -> int:
        return len(self.begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """``at``, ``packed``, ``row``: address, answer and stretch of every wanted instruction, by row and
    address. ``bad``: (RVA, row) of the first byte of a stretch that is no instruction or one that is refused,
    by row. ``counts``: for each stretch all of its instructions up to there."""

    at: Numbers
    packed: npt.NDArray[np.int32]
    row: Numbers
    bad: tuple[tuple[int, int], ...]
    counts: Numbers

    @property
    def instructions(self) -> int:
        """All of them."""
        return int(self.counts.sum())


def walk(heads: Heads, begin: Numbers, end: Numbers, wanted: int, refuse: bool = True) -> Walk:
    """Every instruction of the stretches ``[begin, end)`` that has one of the bits ``wanted``. A refused
    instruction ends its stretch, unless ``refuse`` is False."""
    rows = np.arange(len(begin), dtype=np.int64)
    lanes = _cut(heads, Lanes(begin=begin, stop=end, limit=end, row=rows))
    parts: list[Walk] = []
    while len(lanes):
        steps = _Steps(heads, lanes, wanted, refuse)
        steps.run()
        part, lanes = _believed(lanes, steps, len(begin))
        parts.append(part)
    if not parts:
        return Walk(at=rows[:0], packed=rows[:0].astype(np.int32), row=rows[:0], bad=(), counts=0 * rows)
    at, packed, row = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("at", "packed", "row")
    )
    apart = (begin[1:] >= end[:-1]).all()  # then the addresses give the order of the rows as well
    order = ascending(at) if apart else np.lexsort((at, row))
    return Walk(
        at=at[order],
        packed=packed[order],
        row=row[order],
        bad=tuple(sorted((bad for part in parts for bad in part.bad), key=lambda bad: bad[1])),
        counts=np.sum([part.counts for part in parts], axis=0),
    )


def _cut(heads: Heads, lanes: Lanes) -> Lanes:
    """``lanes`` with the long ones cut where an instruction seems to begin."""
    count = np.maximum((lanes.stop - lanes.begin) // _STRIDE - 1, 0)
    if not count.any():
        return lanes
    owner = np.repeat(np.arange(len(lanes)), count)
    place = np.arange(len(owner)) - (np.cumsum(count) - count)[owner] + 1
    guess = Lanes(
        begin=lanes.begin[owner] + place * _STRIDE,
        stop=lanes.stop[owner],
        limit=lanes.limit[owner],
        row=lanes.row[owner],
    )
    steps = _Steps(heads, guess, 0, False)
    steps.run(_WARM)
    good = ~steps.bad
    begin = np.concatenate([lanes.begin, steps.reached[good]])
    row = np.concatenate([lanes.row, guess.row[good]])
    limit = np.concatenate([lanes.limit, guess.limit[good]])
    order = np.lexsort((begin, row))
    begin, row, limit = begin[order], row[order], limit[order]
    stop = limit.copy()
    inner = np.flatnonzero(row[1:] == row[:-1])
    stop[inner] = begin[inner + 1]
    return Lanes(begin=begin, stop=stop, limit=limit, row=row)


def _believed(lanes: Lanes, steps: "_Steps", stretches: int) -> tuple[Walk, Lanes]:
    """What the walk shows of so many ``stretches``, and what has to be walked once more, from where it was
    not in step with a cut."""
    follows = np.append(lanes.row[1:] == lanes.row[:-1], False)
    met = ~steps.bad & (steps.reached == np.append(lanes.begin[1:], 0))
    broken = follows & ~met
    before = np.cumsum(broken) - broken
    first = np.flatnonzero(np.concatenate(([True], lanes.row[1:] != lanes.row[:-1])))
    size = np.diff(np.append(first, len(lanes)))
    valid = before == np.repeat(before[first], size)
    again = np.flatnonzero(valid & broken & ~steps.bad)
    at, packed, lane = steps.found()
    if not valid.all():
        kept = valid[lane]
        at, packed, lane = at[kept], packed[kept], lane[kept]
    bad = np.flatnonzero(valid & steps.bad)
    return (
        Walk(
            at=at,
            packed=packed,
            row=lanes.row[lane],
            bad=tuple(zip(steps.reached[bad].tolist(), lanes.row[bad].tolist(), strict=True)),
            counts=_counted(lanes.row[valid], steps.count[valid], stretches),
        ),
        Lanes(
            begin=steps.reached[again],
            stop=lanes.limit[again],
            limit=lanes.limit[again],
            row=lanes.row[again],
        ),
    )


def _counted(row: Numbers, counts: Numbers, stretches: int) -> Numbers:
    """By stretch the sum of its lanes' counts."""
    total = np.zeros(stretches, dtype=np.int64)
    np.add.at(total, row, counts)
    return total


class _Steps:
    """One walk over all lanes. ``reached`` is where a lane ended, ``count`` its instructions, ``bad`` says
    that it ended at something that is no instruction, or at one that is refused."""

    def __init__(self, heads: Heads, lanes: Lanes, wanted: int, refuse: bool) -> None:
        self._heads, self._lanes, self._wanted = heads, lanes, wanted
        self._special = UNKNOWN | (REFUSED if refuse else 0)
        self._refused = REFUSED if refuse else 0
        self._found: list[tuple[Numbers, npt.NDArray[np.int32], Numbers]] = []
        self.reached = lanes.begin.copy()
        self.count = np.zeros(len(lanes), dtype=np.int64)
        self.bad = np.zeros(len(lanes), dtype=np.bool_)

    def run(self, most: int = 1 << 62) -> None:
        """Walk, at most ``most`` instructions in each lane. Lanes of like length go together."""
        order = np.argsort(self._lanes.begin - self._lanes.stop, kind="stable")
        for start in range(0, len(order), _WIDTH):
            self._group(order[start : start + _WIDTH], most)

    def found(self) -> tuple[Numbers, npt.NDArray[np.int32], Numbers]:
        """Address, answer and lane of what was wanted, in no order."""
        if not self._found:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing.astype(np.int32), nothing
        at, packed, lane = (np.concatenate(column) for column in zip(*self._found, strict=True))
        return at, packed, lane

    def _group(self, lane: Numbers, most: int) -> None:
        at, stop, done = self._lanes.begin[lane], self._lanes.stop[lane], 0
        while len(lane) >= _NARROW and done < most:
            packed = self._heads.look(at)
            after = at + (packed & SIZE)
            ending = after >= stop
            special = np.flatnonzero(ending | (packed & self._special != 0))
            if len(special):
                self._settle(special, at, packed, lane)
                after = at + (packed & SIZE)
                ending = after >= stop
            hits = np.flatnonzero(packed & self._wanted)
            if len(hits):
                self._found.append((at.take(hits), packed.take(hits), lane.take(hits)))
            done += 1
            left = ~ending
            if len(special):
                left &= ~self.bad[lane]
            if left.all():
                at = after
                continue
            over = lane[~left]
            self.count[over] += done - 1 + ~self.bad[over]
            self.reached[over] = np.where(self.bad[over], at[~left], after[~left])
            at, stop, lane = after[left], stop[left], lane[left]
        for index, number in enumerate(lane.tolist()):
            self._alone(number, int(at[index]), done, most)

    def _settle(self, special: Numbers, at: Numbers, packed: npt.NDArray[np.int32], lane: Numbers) -> None:
        """Ask for what is not known yet, and once more for what would leave its stretch; mark the lanes
        that end here without an instruction."""
        limit = self._lanes.limit[lane[special]]
        answers = packed[special]
        odd = (answers & self._special != 0) | (at[special] + (answers & SIZE) > limit)
        for index, end in zip(special[odd].tolist(), limit[odd].tolist(), strict=True):
            answer = self._heads.one(int(at[index]), end)
            number = int(lane[index])
            if answer == NOTHING or answer & self._refused:
                self.bad[number] = True
                self.count[number] += answer != NOTHING
                answer = 0
            packed[index] = answer

    def _alone(self, number: int, at: int, done: int, most: int) -> None:
        """The rest of one lane."""
        stop, limit = int(self._lanes.stop[number]), int(self._lanes.limit[number])
        rows: list[tuple[int, int]] = []
        while at < stop and done < most:
            answer = self._heads.one(at, limit)
            if answer == NOTHING or answer & self._refused:
                self.bad[number] = True
                done += answer != NOTHING
                break
            if answer & self._wanted:
                rows.append((at, answer))
            at += answer & SIZE
            done += 1
        self.count[number] += done
        self.reached[number] = at
        if rows:
            table = np.array(rows, dtype=np.int64)
            self._found.append(
                (table[:, 0], table[:, 1].astype(np.int32), np.full(len(rows), number, dtype=np.int64))
            )
