"""What instructions are, told from their first bytes for whole columns of them at once.

Needs the borders of the instructions (a decoder's work) and tells for each whether control passes on, and
where its ModRM byte is. What is too rare to have a rule here is RARE: the decoder is asked again. Format:
Intel SDM volume 2, chapter 2 and appendix A (prefixes, opcode maps, VEX, EVEX); AMD APM volume 3 (XOP).
"""

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import picked
from hpbuild.code.model import I64, U8
from hpbuild.dataclass import dataclass


class Shape(IntEnum):
    """The kinds of instructions that the analysis tells apart."""

    PLAIN = 0
    """Control goes on behind it; no memory operand that counts from RIP."""
    MODRM = 1
    """Control goes on behind it; operands by a ModRM byte."""
    NOP = 2
    """No-operation."""
    CALL = 3
    """rel32 call."""
    BRANCH8 = 4
    BRANCH32 = 5
    """Conditional branches."""
    JUMP8 = 6
    JUMP32 = 7
    INT3 = 8
    FINAL = 9
    """Return, undefined instruction: never goes on; no operand that counts from RIP."""
    CALL_THROUGH = 10
    JUMP_THROUGH = 11
    """Through a register or memory, by a ModRM byte."""
    RARE = 12
    """Anything: ask the decoder."""


def by_shape(*shapes: Shape) -> npt.NDArray[np.bool_]:
    """A table that is true at ``shapes``."""
    found = np.zeros(len(Shape), dtype=np.bool_)
    found[list(shapes)] = True
    return found


@dataclass(frozen=True, slots=True)
class Shapes:
    """Columns, a row an instruction: its ``Shape``, the place of the byte behind its opcode (its ModRM byte
    when it has one)."""

    shape: U8
    operand: I64


_VECTOR, _TWO_BYTES, _MOVES, _GROUP, _NOTHING = 13, 14, 15, 16, 17
"""VEX, EVEX, XOP or POP; 0F; C6 and C7; FF; 90: looked at more closely."""


def classify(code: U8, at: I64) -> Shapes:
    """The shapes of the valid instructions of ``code`` at the ascending places ``at``; 16 readable bytes must
    follow the last."""
    place = at + _PREFIX.take(code.take(at))
    first = code.take(place)
    again = np.flatnonzero(_PREFIX.take(first))
    while len(again):
        place[again] += 1
        following = code[place[again]]
        first[again] = following
        again = again[_PREFIX[following]]
    shape = _ONE_BYTE.take(first)
    odd = np.flatnonzero(shape >= _VECTOR)
    if len(odd):
        _look_closer(code, at, odd, shape, place)
    return Shapes(shape, place + 1)


def _look_closer(code: U8, at: I64, odd: I64, shape: U8, place: I64) -> None:
    """Settle the rows ``odd`` of ``shape``; ``place`` (of the opcode) moves to its last byte."""
    kind = shape.take(odd)
    rows = picked(odd, kind == _TWO_BYTES)
    place[rows] += 1
    second = code.take(place.take(rows))
    shape[rows] = _SECOND.take(second)
    place[rows[(second & 0xFD) == 0x38]] += 1
    hints = rows[second == 0x1F]
    shape[hints] = np.where(code[place[hints] + 1] & 0x38, Shape.RARE, Shape.NOP)
    rows = picked(odd, kind == _VECTOR)
    opcode = code[place[rows]]
    pop = (opcode == 0x8F) & (code[place[rows] + 1] & 0x1F < 8)
    place[rows] += np.where(pop, 0, _SKIP[opcode])
    shape[rows] = Shape.MODRM
    rows = picked(odd, kind == _MOVES)
    shape[rows] = np.where(code[place[rows] + 1] == 0xF8, Shape.RARE, Shape.MODRM)  # XBEGIN, XABORT
    rows = picked(odd, kind == _GROUP)
    shape[rows] = _GROUP_5[code[place[rows] + 1] >> 3 & 7]
    rows = picked(odd, kind == _NOTHING)
    before = place[rows] - at[rows]
    none = (before == 0) | (before == 1) & (code[at[rows]] == 0x66)
    shape[rows] = np.where(none, Shape.NOP, Shape.RARE)  # XCHG, PAUSE


def _flags(*runs: Iterable[int]) -> npt.NDArray[np.bool_]:
    found = np.zeros(256, dtype=np.bool_)
    for run in runs:
        found[list(run)] = True
    return found


def _map(rows: Iterable[tuple[int, Iterable[int]]]) -> U8:
    found = np.full(256, Shape.RARE, dtype=np.uint8)
    for shape, opcodes in rows:
        found[list(opcodes)] = shape
    return found


_PREFIX = _flags(range(0x40, 0x50), (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3))
_ARITHMETIC = range(0, 0x40, 8)
_ONE_BYTE = _map(
    (
        (Shape.MODRM, (base + column for base in _ARITHMETIC for column in range(4))),
        (Shape.PLAIN, (base + column for base in _ARITHMETIC for column in (4, 5))),
        (Shape.PLAIN, (*range(0x50, 0x60), 0x68, 0x6A, *range(0x91, 0x9A), *range(0xA4, 0xC0), 0xC9)),
        (Shape.PLAIN, (*range(0x6C, 0x70), *range(0x9B, 0xA0), 0xD7, *range(0xEC, 0xF0))),
        (Shape.PLAIN, (0xF4, 0xF5, *range(0xF8, 0xFE))),
        (Shape.MODRM, (0x63, 0x69, 0x6B, 0x80, 0x81, *range(0x83, 0x8F), 0xC0, 0xC1)),
        (Shape.MODRM, (*range(0xD0, 0xD4), *range(0xD8, 0xE0), 0xF6, 0xF7, 0xFE)),
        (Shape.BRANCH8, (*range(0x70, 0x80), *range(0xE0, 0xE4))),
        (Shape.CALL, (0xE8,)),
        (Shape.JUMP32, (0xE9,)),
        (Shape.JUMP8, (0xEB,)),
        (Shape.INT3, (0xCC,)),
        (Shape.FINAL, (0xC2, 0xC3)),
        (_TWO_BYTES, (0x0F,)),
        (_VECTOR, (0x62, 0x8F, 0xC4, 0xC5)),
        (_MOVES, (0xC6, 0xC7)),
        (_GROUP, (0xFF,)),
        (_NOTHING, (0x90,)),
    )
)
_SECOND = _map(
    (
        (Shape.MODRM, (*range(0x10, 0x18), *range(0x28, 0x30), 0x38, 0x3A, *range(0x40, 0x77))),
        (Shape.MODRM, (*range(0x7C, 0x80), *range(0x90, 0xA0), 0xA3, 0xA4, 0xA5, *range(0xAB, 0xAE))),
        (Shape.MODRM, (0xAF, 0xB0, 0xB1, 0xB3, 0xB6, 0xB7, *range(0xBA, 0xC7), *range(0xD0, 0xFF))),
        (Shape.PLAIN, (0xA2, *range(0xC8, 0xD0))),
        (Shape.BRANCH32, range(0x80, 0x90)),
        (Shape.FINAL, (0x0B,)),
    )
)
_GROUP_5 = np.array(
    (
        Shape.MODRM,
        Shape.MODRM,
        Shape.CALL_THROUGH,
        Shape.RARE,
        Shape.JUMP_THROUGH,
        Shape.RARE,
        Shape.MODRM,
        Shape.RARE,
    ),
    dtype=np.uint8,
)
_SKIP = np.zeros(256, dtype=np.int64)
_SKIP[[0xC5, 0xC4, 0x8F, 0x62]] = (2, 3, 3, 4)
"""From the first byte of VEX, XOP and EVEX to the opcode."""
