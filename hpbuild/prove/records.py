"""Unwind records, read here once more from bytes, because the patch image is read where it was placed.

Source: Microsoft Learn, "x64 exception handling" (UNWIND_INFO).
"""

import struct

import numpy as np
import numpy.typing as npt

from hpbuild.dataclass import dataclass
from hpbuild.prove.references import Numbers
from hpbuild.prove.space import Space

_HANDLER, _CHAINED = 0x3, 0x4
_WORD, _ROW = struct.Struct("<I"), struct.Struct("<III")
_MOST_CODES = 2 * 256
"""Bytes of as many codes as a record may have."""
_WIDE = 8
"""Bytes of codes that are compared at a time."""
_LARGEST = 4 + _MOST_CODES + _ROW.size
"""Most bytes of a record without its language data."""
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """UNWIND_INFO: ``head`` are its first 4 bytes, ``codes`` the codes without padding,
    ``handler`` and ``data`` RVAs or 0, ``chained`` a row or None, ``size`` bytes without language data."""

    head: bytes
    codes: bytes
    handler: int
    data: int
    chained: tuple[int, int, int] | None
    size: int


def read_record(space: Space, rva: int) -> Record | None:
    """The unwind record at ``rva``, None when it leaves the space."""
    raw = space.slice(rva, _LARGEST).tobytes() if rva >= space.start else b""
    if len(raw) < 4:
        return None
    flags, count = raw[0] >> 3, raw[2]
    tail = 4 + 2 * (count + count % 2)
    need = 12 if flags & _CHAINED else 4 if flags & _HANDLER else 0
    if len(raw) < max(tail + need if need else 0, 4 + 2 * count):
        return None
    return Record(
        head=raw[:4],
        codes=raw[4 : 4 + 2 * count],
        handler=_WORD.unpack_from(raw, tail)[0] if need == 4 else 0,
        data=rva + tail + 4 if need == 4 else 0,
        chained=_ROW.unpack_from(raw, tail) if need == 12 else None,
        size=tail + need,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The same as columns. ``sound`` is False for records that leave the space or come within a few bytes of
    its end: only ``read_record`` tells which. ``head`` are the first 4 bytes as a number, ``size`` counts
    the codes' bytes without padding, ``extent`` all but language data; ``handler`` and ``data`` are RVAs
    or 0; ``chained`` says that there is a row, ``begin``, ``end`` and ``parent``. What is not sound has no
    meaning."""

    rva: Numbers
    sound: Flags
    head: Numbers
    size: Numbers
    extent: Numbers
    handler: Numbers
    data: Numbers
    chained: Flags
    begin: Numbers
    end: Numbers
    parent: Numbers


def read_records(space: Space, rva: Numbers) -> Records:
    """The unwind records at the addresses ``rva``."""
    head = space.unsigned(rva, 4)
    count = head >> 16 & 0xFF
    tail = rva + 4 + 2 * (count + count % 2)
    sound = (rva >= space.start) & (head >= 0) & (tail + 12 <= space.end)
    flags = head >> 3 & 0x1F
    chained = flags & _CHAINED != 0
    handled = ~chained & (flags & _HANDLER != 0)
    words = [np.zeros_like(rva) for _ in range(3)]
    for at, word in enumerate(words):
        rows = np.flatnonzero(chained if at else chained | handled)
        word[rows] = space.unsigned(tail[rows] + 4 * at, 4)
    return Records(
        rva=rva,
        sound=sound,
        head=head,
        size=2 * count,
        extent=tail - rva + np.where(chained, 12, np.where(handled, 4, 0)),
        handler=np.where(handled, words[0], 0),
        data=np.where(handled, tail + 4, 0),
        chained=chained,
        begin=words[0],
        end=words[1],
        parent=words[2],
    )


def take(records: Records, rows: Numbers) -> Records:
    """Some of the records."""
    names = Records.__dataclass_fields__
    return Records(**{name: getattr(records, name)[rows] for name in names})


def same_codes(spaces: tuple[Space, Space], records: tuple[Records, Records]) -> Flags:
    """By row: have the sound records of two spaces the same first bytes and the same unwind codes?"""
    ours, theirs = records
    result: Flags = ours.sound & theirs.sound & (ours.head == theirs.head)
    # The heads are the same, so the codes have one size; the next bytes of all rows that have some more are
    # compared at once. What is behind the codes is left aside; it is in the space, as the record is sound.
    rows = np.flatnonzero(result & (ours.size > 0))
    for at in range(0, _MOST_CODES, _WIDE):
        rows = rows[ours.size[rows] > at]
        if not len(rows):
            break
        here = spaces[0].unsigned(ours.rva[rows] + 4 + at, _WIDE)
        there = spaces[1].unsigned(theirs.rva[rows] + 4 + at, _WIDE)
        behind = 8 * np.maximum(_WIDE - (ours.size[rows] - at), 0)
        result[rows[(here ^ there) << behind != 0]] = False
    return result
