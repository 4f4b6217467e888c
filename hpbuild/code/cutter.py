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
"""Returns and jumps of a run that are looked at; what has more of them is not told."""
_NONE = -1
_LONG_JUMP = 5
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Part:
    """Where runs are: columns of the runs' numbers, of the first and last instruction of a function, and of
    the first one behind it."""

    run: I64
    first: I64
    final: I64
    behind: I64


@dataclass(frozen=True, slots=True)
class Margins:
    """Bytes of int3 of each run that are not decoded: in front of the others (of no run that is named), and
    behind, where some were left."""

    before: I64
    behind: I64


class Cutter:
    """Runs that are cut function by function, all at once. Instructions are told by their number. ``starts``
    are the addresses of the bytes in ``swept``."""

    def __init__(self, swept: Sweep, starts: I64, named: Flags, margins: Margins | None = None) -> None:
        self.margins = margins or Margins(np.zeros_like(starts), np.zeros_like(starts))
        shape = swept.shapes.shape
        self.swept, self.shape, self.named = swept, shape, named
        self.at = np.append(swept.at, swept.place[-1])
        self.move = starts - swept.place[:-1]
        self.zero = swept.code[self.at] == 0
        self.other = _following(~_FILLER[shape])
        self.final = _following(_FINAL[shape])
        self.rare = _following(shape == Shape.RARE)
        self.jumps = np.flatnonzero(_NEAR[shape])
        self.jumper = np.searchsorted(swept.first, self.jumps, side="right") - 1
        self.target = swept.branch_targets(self.jumps)
        inside = self._inside(self.jumper, self.target)
        self.jumps, self.jumper, self.target = self.jumps[inside], self.jumper[inside], self.target[inside]

    def _inside(self, run: I64, place: I64) -> Flags:
        low = self.swept.place[run] - self.margins.before[run]
        found: Flags = (place >= low) & (place < self.swept.place[run + 1] + self.margins.behind[run])
        return found

    def cut(self, whole: Flags) -> tuple[I64, Flags]:
        """Rows (start, end, kind) of the runs ``whole`` that are plain; and which those are."""
        cursor, last = self.swept.first[:-1].copy(), self.swept.first[1:]
        begun = np.full(len(cursor), _NONE, dtype=np.int64)
        found: list[I64] = [np.zeros((4, 0), dtype=np.int64)]
        plain = whole.copy()
        run = np.flatnonzero(whole & (cursor < last))
        for _ in range(_ROUNDS):
            first = np.where(begun[run] == _NONE, self._code_begin(run, cursor[run], last[run]), begun[run])
            plain[run[(begun[run] == _NONE) & self.zero[cursor[run]]]] = False
            found.append(self._rows(run, cursor[run], first, PADDING))
            some = first < last[run]
            run, first = run[some], first[some]
            if not len(run):
                break
            final = np.minimum(self.final[np.maximum(first, cursor[run])], last[run] - 1)
            part = _Part(run, first, final, final + 1)
            sure, ends = self._ends(part, last[run])
            plain[run[~sure]] = False
            found.append(self._rows(run[ends], first[ends], part.behind[ends], CODE))
            begun[run], cursor[run] = np.where(ends, _NONE, first), part.behind
            run = run[plain[run] & (part.behind < last[run])]
        plain[run] = False
        rows = np.concatenate(found, axis=1)
        rows = self._widened(rows[:, np.argsort(rows[1], kind="stable")], plain)
        return rows[1:, plain[rows[0]]], plain

    def _widened(self, rows: I64, plain: Flags) -> I64:
        """``rows`` (run, start, end, kind; ascending) with the margins. A run that does not end with filler
        might go on in that."""
        run, last = rows[0], np.ones(rows.shape[1], dtype=np.bool_)
        last[:-1] = run[1:] != run[:-1]
        first = np.append(True, last[:-1])[: len(last)]
        filler = rows[3] == PADDING
        rows[2] += np.where(last, self.margins.behind[run], 0)
        plain[run[last & ~filler & (self.margins.behind[run] > 0)]] = False
        led = first & (self.margins.before[run] > 0)
        rows[1] -= np.where(led & filler, self.margins.before[run], 0)
        alone = rows[:, led & ~filler].copy()
        alone[2], alone[3] = alone[1], PADDING
        alone[1] -= self.margins.before[alone[0]]
        return np.concatenate([rows, alone], axis=1)

    def _code_begin(self, run: I64, at: I64, last: I64) -> I64:
        """The first instruction from ``at`` on that is no filler; what is named is none."""
        named = self.named[run] & (at == self.swept.first[run])
        return np.where(named, at, np.minimum(self.other[at], last))

    def _rows(self, run: I64, first: I64, behind: I64, kind: int) -> I64:
        some = first < behind
        run, first, behind = run[some], first[some], behind[some]
        move = self.move[run]
        return np.stack([run, self.at[first] + move, self.at[behind] + move, np.full(len(run), kind)])

    def _ends(self, part: _Part, last: I64) -> tuple[Flags, Flags]:
        """Of which functions it is certain whether they end behind their ``final``, and which do."""
        shape, ended = self.shape[part.final], part.behind == last
        filled = _FILLER[self.shape[np.minimum(part.behind, len(self.shape) - 1)]]
        aligned = (self.at[part.behind] + self.move[part.run]) % 16 == 0
        inside = ~self._crossed(part)
        sure = (self.rare[part.first] > part.final) & ~self.zero[part.first]
        sure &= (shape != Shape.JUMP_THROUGH) | (self._operand(part.final) < 0xC0)  # no table
        sure &= ended | ~inside | ~self.zero[part.behind]  # filler, or an instruction
        lone = (part.first == part.final) & self._leaves(part)
        return sure, ended | lone | inside & (filled | aligned)

    def _operand(self, rows: I64) -> npt.NDArray[np.uint8]:
        return self.swept.code[self.swept.shapes.operand[rows]]

    def _crossed(self, part: _Part) -> Flags:
        """Which functions hold a branch to what is behind their ``final``, in their run."""
        low = np.full(len(self.named), len(self.at), dtype=np.int64)
        high, place = np.zeros_like(low), np.zeros_like(low)
        low[part.run], high[part.run], place[part.run] = part.first, part.final, self.at[part.behind]
        run = self.jumper
        over = (self.jumps >= low[run]) & (self.jumps <= high[run]) & (self.target >= place[run])
        crossed = np.zeros(len(self.named), dtype=np.bool_)
        crossed[run[over]] = True
        found: Flags = crossed[part.run]
        return found

    def _leaves(self, part: _Part) -> Flags:
        """Which ``final`` are jumps of thunks: out of the run, by 32 bits or through a word of memory."""
        rows = part.final
        shape, behind = self.shape[rows], self.at[part.behind]
        through = (shape == Shape.JUMP_THROUGH) & (self._operand(rows) & 0xC7 == 5)
        near = _JUMP[shape] & (self.swept.length[rows] >= _LONG_JUMP)
        target = np.where(
            through,
            behind + self.swept.words(np.where(through, behind - 4, 0)),
            self.swept.branch_targets(rows),
        )
        found: Flags = (through | near) & ~self._inside(part.run, target)
        return found


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
