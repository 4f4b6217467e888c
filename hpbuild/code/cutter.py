"""Plain runs of gaps cut by columns.

Plain is a run of filler and functions without a jump through a register (which may read a table), without
zeros where filler may be, and without an instruction that has no rule in ``opcodes``. What is told here of
them is what ``gaps.split_run`` finds.
"""

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import I64
from hpbuild.code.opcodes import Shape, by_shape
from hpbuild.code.sweep import Sweep
from hpbuild.dataclass import dataclass

PADDING, CODE, OPAQUE = 0, 1, 2
"""What a part of a gap is."""
_ROUNDS = 64
"""Returns and jumps of a stage that are looked at; what has more of them is not told."""
_NONE, _INT3 = -1, 0xCC
_LONG_JUMP = 5
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Told:
    """The parts of plain runs, ascending: columns of start, end and kind, and of the first row and the one
    behind the last. ``plain``: which runs those are; ``settled``: for which of these it is certain that
    cuts where code begins change no other border."""

    start: I64
    end: I64
    kind: I64
    first: I64
    behind: I64
    plain: Flags
    settled: Flags


@dataclass(frozen=True, slots=True)
class _Stages:
    """What is looked at on its own: columns of the number of the run, of the first row and the one behind the
    last. Control never passes from one to the next of a run, which begins with filler."""

    run: I64
    first: I64
    last: I64


@dataclass(frozen=True, slots=True)
class _Part:
    """Where functions may end: columns of the runs' numbers, of the first and the last row, and whether that
    is the last of the run."""

    run: I64
    first: I64
    final: I64
    ended: Flags


class Cutter:
    """Runs that are cut function by function, all at once. Instructions are told by their row; much int3 is
    two rows, the first of it and all others. Of the runs ``whole`` there are rows for all bytes."""

    def __init__(self, swept: Sweep, named: Flags, whole: Flags) -> None:
        shape = swept.shapes.shape
        self.swept, self.shape, self.named = swept, shape, named
        self.plain, self.settled = whole.copy(), whole.copy()
        self.ends = swept.at + swept.length
        self.zero = np.append(swept.memory[swept.at] == 0, False)
        filler = _FILLER.take(shape)
        self.filler = np.append(filler, False)
        self.other = _following(~filler)
        self.final = _following(_FINAL.take(shape))
        self.rare = _following(shape == Shape.RARE)
        jumps = np.flatnonzero(_NEAR.take(shape))
        owner, target = swept.owners(jumps), swept.branch_targets(jumps)
        inside = self._inside(owner, target)
        self.jumps, self.target = jumps[inside], target[inside]
        many = (shape == Shape.INT3) & (swept.length > 1) & (swept.memory[swept.at] == _INT3)
        self.many = np.flatnonzero(many)
        place = np.searchsorted(swept.at, self.target, side="right") - 1
        self.plain[owner[inside][many[place]]] = False  # which of the int3 that is, no row tells

    def _inside(self, run: I64, address: I64) -> Flags:
        found: Flags = (address >= self.swept.start[run]) & (address < self.swept.stop[run])
        return found

    def cut(self) -> Told:
        """The parts of those runs that are plain."""
        stages, last = self._stages(), self.swept.first[1:]
        cursor = stages.first.copy()
        begun = np.full(len(cursor), _NONE, dtype=np.int64)
        found: list[I64] = [np.zeros((4, 0), dtype=np.int64)]
        left = np.arange(len(cursor))
        for _ in range(_ROUNDS):
            run, at, stop = stages.run[left], cursor[left], stages.last[left]
            between = begun[left] == _NONE
            first = np.where(between, self._code_begin(run, at, stop), begun[left])
            self.plain[run[between & self.zero[at]]] = False
            found.append(_rows(run, at, first, PADDING))
            some = first < stop
            left, run, first, stop = left[some], run[some], first[some], stop[some]
            if not len(left):
                break
            final = np.minimum(self.final[np.maximum(first, cursor[left])], stop - 1)
            sure, ends = self._ends(_Part(run, first, final, final + 1 == last[run]))
            self.plain[run[~sure]] = False
            found.append(_rows(run[ends], first[ends], final[ends] + 1, CODE))
            begun[left], cursor[left] = np.where(ends, _NONE, first), final + 1
            left = left[self.plain[run] & (final + 1 < stop)]
        self.plain[stages.run[left]] = False
        return self._told(np.concatenate(found, axis=1))

    def _stages(self) -> _Stages:
        """Of the runs that are plain so far. Where much int3 is that nothing in front of it leads over,
        functions end in any case."""
        before = np.searchsorted(self.jumps, self.many)
        furthest = np.append(-1, np.maximum.accumulate(self.target))[before]
        cuts = self.many[furthest < self.swept.at[self.many]]
        first = np.sort(np.concatenate([self.swept.first[:-1][self.plain], cuts]))
        run = self.swept.owners(first)
        last = np.minimum(np.append(first[1:], len(self.shape)), self.swept.first[run + 1])
        chosen = self.plain[run]
        return _Stages(run[chosen], first[chosen], last[chosen])

    def _told(self, rows: I64) -> Told:
        """What was found: rows (run, first, behind, kind) of all runs that were looked at."""
        rows = rows[:, self.plain[rows[0]]]
        run, first, behind, kind = rows[:, np.argsort(rows[1], kind="stable")]
        new = np.ones(len(run) + 1, dtype=np.bool_)  # filler that goes on behind a stage is one part
        new[1:-1] = (run[1:] != run[:-1]) | (kind[1:] != PADDING) | (kind[:-1] != PADDING)
        first, behind, kind = first[new[:-1]], behind[new[1:]], kind[new[:-1]]
        start, end = self.swept.at[first], self.ends[behind - 1]
        return Told(start, end, kind, first, behind, self.plain, self.plain & self.settled)

    def _code_begin(self, run: I64, at: I64, stop: I64) -> I64:
        """The first instruction from ``at`` on that is no filler; what is named is none."""
        named = self.named[run] & (at == self.swept.first[run])
        return np.where(named, at, np.minimum(self.other[at], stop))

    def _ends(self, part: _Part) -> tuple[Flags, Flags]:
        """Of which functions it is certain whether they end behind their ``final``, and which do."""
        shape, behind = self.shape[part.final], part.final + 1
        inside = ~self._crossed(part)
        sure = (self.rare[part.first] > part.final) & ~self.zero[part.first]
        sure &= (shape != Shape.JUMP_THROUGH) | (self._operand(part.final) < 0xC0)  # no table
        sure &= part.ended | ~inside | ~self.zero[behind]  # filler, or an instruction
        lone = (part.first == part.final) & self._leaves(part)
        aligned = self.ends[part.final] % 16 == 0
        return sure, part.ended | lone | inside & (self.filler[behind] | aligned)

    def _operand(self, rows: I64) -> npt.NDArray[np.uint8]:
        return self.swept.memory[self.swept.shapes.operand[rows]]

    def _crossed(self, part: _Part) -> Flags:
        """Which functions hold a branch to what is behind their ``final``, in their run."""
        low, high = np.searchsorted(self.jumps, part.first), np.searchsorted(self.jumps, part.final, "right")
        found = np.zeros(len(low), dtype=np.bool_)
        some = low < high
        bounds = np.stack([low[some], high[some]], axis=1).ravel()
        furthest = np.maximum.reduceat(np.append(self.target, _NONE), bounds)[::2] if len(bounds) else low[:0]
        found[some] = furthest >= self.ends[part.final[some]]
        return found

    def _leaves(self, part: _Part) -> Flags:
        """Which ``final`` are jumps of thunks: out of the run, by 32 bits or through a word of memory. Those
        that lead into the run might leave a part of it."""
        rows = part.final
        shape, behind = self.shape[rows], self.ends[rows]
        through = (shape == Shape.JUMP_THROUGH) & (self._operand(rows) & 0xC7 == 5)
        far = through | _JUMP[shape] & (self.swept.length[rows] >= _LONG_JUMP)
        words = self.swept.words(np.where(through, behind - 4, 0))
        inside = self._inside(part.run, np.where(through, behind + words, self.swept.branch_targets(rows)))
        self.settled[part.run[far & inside & (part.first == rows)]] = False
        found: Flags = far & ~inside
        return found


def _rows(run: I64, first: I64, behind: I64, kind: int) -> I64:
    some = first < behind
    run, first, behind = run[some], first[some], behind[some]
    return np.stack([run, first, behind, np.full(len(run), kind)])


def _following(mask: Flags) -> I64:
    """For each place, and the one behind the last, the next one from it on where ``mask`` is true; the number
    of all when there is none."""
    numbers = np.append(np.where(mask, np.arange(len(mask)), len(mask)), len(mask))
    found: I64 = np.minimum.accumulate(numbers[::-1])[::-1]
    return found


_FILLER = by_shape(Shape.NOP, Shape.INT3)
_JUMP = by_shape(Shape.JUMP8, Shape.JUMP32)
_NEAR = by_shape(Shape.BRANCH8, Shape.BRANCH32, Shape.JUMP8, Shape.JUMP32)
_FINAL = by_shape(Shape.JUMP8, Shape.JUMP32, Shape.INT3, Shape.FINAL, Shape.JUMP_THROUGH)
