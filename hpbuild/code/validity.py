"""Which of many instructions are none, though the decoder tells a length of each.

Nearly all have an opcode that is an instruction whatever follows it: the first two bytes tell that, by a
table. Only the others are shown to the decoder again. Format: Intel SDM volume 2, chapter 2 and appendix A.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from iced_x86 import Decoder

from hpbuild.code.columns import members
from hpbuild.code.model import I64, U8

READ_AHEAD = 8
"""Bytes that must be readable behind the last instruction."""
_PREFIXES = 3
"""Most prefixes of an instruction that the table tells."""


def doubtful(code: U8, at: I64) -> I64:
    """The rows of those instructions at the places ``at`` of ``code`` of which the table does not tell that
    they are some; ascending."""
    rows = np.flatnonzero(~_CERTAIN.take(_first_two(code, at)))
    rows = rows[~_scalar(code, at.take(rows))]
    found = []
    for number in range(_PREFIXES):
        place = at.take(rows) + number
        prefixed = _PREFIX.take(code.take(place))
        found.append(rows[~prefixed])
        rows, place = rows[prefixed], place[prefixed]
        rows = rows[~_CERTAIN.take(_first_two(code, place + 1))]
    return np.sort(np.concatenate([*found, rows]))


def invalid(code: U8, at: I64, length: U8, rows: I64) -> I64:
    """Those of the ``rows`` that are no instructions, as the decoder says."""
    if not len(rows):
        return rows
    at, length = at[rows], length[rows]
    octets = code[members(at, at + length)].tobytes()
    # One after the other. Of an instruction nothing behind it matters: with the lengths they have elsewhere,
    # those that are some are the same here and there.
    if bytes(map(len, Decoder(64, octets))) == length.tobytes():
        valid = bytes(map(bool, Decoder(64, octets)))
    else:
        ends = np.cumsum(length, dtype=np.int64)
        bounds = zip((ends - length).tolist(), ends.tolist(), strict=True)
        valid = bytes(bool(Decoder(64, octets[begin:end]).decode()) for begin, end in bounds)
    found: I64 = rows[np.frombuffer(valid, dtype=np.uint8) == 0]
    return found


def _scalar(code: U8, at: I64) -> npt.NDArray[np.bool_]:
    """Which of the instructions at these places certainly work on one number of a vector register: F2 or F3,
    perhaps REX, and one of certain opcodes."""
    found: npt.NDArray[np.bool_] = code.take(at) & 0xFE == 0xF2
    place = at[found] + 1
    place += code[place] & 0xF0 == 0x40
    found[found] = (code[place] == 0x0F) & _SCALAR[code[place + 1]]
    return found


def _first_two(code: U8, at: I64) -> npt.NDArray[np.uint16]:
    """The two bytes at each of the places, as a number."""
    found: npt.NDArray[np.uint16] = code[1:].take(at).astype(np.uint16) << np.uint16(8) | code.take(at)
    return found


def _bytes_of(*runs: Iterable[int]) -> list[int]:
    return [octet for run in runs for octet in run]


def _certain() -> npt.NDArray[np.bool_]:
    """By the first two bytes, whether they begin an instruction in any case."""
    found = np.zeros((256, 256), dtype=np.bool_)  # second, first
    first = np.arange(256)
    arithmetic = first[(first < 0x40) & (first & 7 < 6)]
    found[:, arithmetic] = True
    found[:, _bytes_of(range(0x50, 0x60), (0x63,), range(0x68, 0x80), (0x80, 0x81), range(0x83, 0x8C))] = True
    found[:, _bytes_of(range(0x90, 0x9A), range(0x9B, 0xC4), range(0xC8, 0xCE), range(0xD0, 0xD4))] = True
    found[:, _bytes_of(range(0xE0, 0xEA), (0xEB, 0xF6, 0xF7))] = True
    found[:0xC0, 0x8D] = True  # LEA, of memory
    register = np.arange(256) >> 3 & 7
    found[register == 0, 0xC6] = found[register == 0, 0xC7] = True
    found[register < 2, 0xFE] = True
    found[np.isin(register, (0, 1, 2, 4, 6)), 0xFF] = True
    second = (0x0B, 0x10, 0x11, 0x14, 0x15, 0x1F, 0x28, 0x29, 0x2E, 0x2F, *range(0x40, 0x50), 0x51)
    found[_bytes_of(second, range(0x54, 0x60), (0x6E, 0x6F, 0x7E, 0x7F)), 0x0F] = True
    found[_bytes_of(range(0x80, 0xA0), (0xA2, 0xA3, 0xAB, 0xAF, 0xB0, 0xB1, 0xB3, 0xB6, 0xB7)), 0x0F] = True
    found[_bytes_of((0xBB, 0xBC, 0xBD, 0xBE, 0xBF, 0xC0, 0xC1), range(0xC8, 0xD0), (0xEF,)), 0x0F] = True
    always = np.flatnonzero(found.all(axis=0))
    found[np.ix_(always, np.flatnonzero(_PREFIX))] = True
    return found.ravel()


_PREFIX = np.zeros(256, dtype=np.bool_)
_PREFIX[[0x66, *range(0x40, 0x50)]] = True
_CERTAIN = _certain()
_SCALAR = np.zeros(256, dtype=np.bool_)
_SCALAR[[0x10, 0x11, 0x2A, 0x2C, 0x2D, 0x51, 0x58, 0x59, 0x5A, *range(0x5C, 0x60)]] = True
"""By the opcode behind 0F."""
