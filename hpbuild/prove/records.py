"""Unwind records, read here once more from bytes, because the patch image is read where it was placed.

Source: Microsoft Learn, "x64 exception handling" (UNWIND_INFO).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpbuild.prove.references import Numbers
from hpbuild.prove.space import Space

_HANDLER, _CHAINED = 0x3, 0x4
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
    head = space.slice(rva, 4).tobytes() if rva >= space.start else b""
    if len(head) < 4:
        return None
    flags, count = head[0] >> 3, head[2]
    tail = rva + 4 + 2 * (count + count % 2)
    words = space.slice(tail, 12).tobytes()
    unwind_codes = space.slice(rva + 4, 2 * count).tobytes()
    need = 12 if flags & _CHAINED else 4 if flags & _HANDLER else 0
    if len(words) < need or len(unwind_codes) < 2 * count:
        return None
    word = [int.from_bytes(words[at : at + 4], "little") for at in range(0, need, 4)]
    return Record(
        head=head,
        codes=unwind_codes,
        handler=word[0] if need == 4 else 0,
        data=tail + 4 if need == 4 else 0,
        chained=(word[0], word[1], word[2]) if need == 12 else None,
        size=tail + need - rva,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The same as columns. ``sound`` is False for records that leave the space or come within a few bytes of
    its end: only ``read_record`` tells which. ``head`` are the first 4 bytes as a number, ``size`` counts
    the codes' bytes without padding; ``handler`` and ``data`` are RVAs or 0; ``chained`` says that there is
    a row, ``begin``, ``end`` and ``parent``. What is not sound has no meaning."""

    rva: Numbers
    sound: Flags
    head: Numbers
    size: Numbers
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
    words = [space.unsigned(tail + at, 4) for at in (0, 4, 8)]
    return Records(
        rva=rva,
        sound=sound,
        head=head,
        size=2 * count,
        handler=np.where(handled, words[0], 0),
        data=np.where(handled, tail + 4, 0),
        chained=chained,
        begin=words[0],
        end=words[1],
        parent=words[2],
    )


def same_codes(spaces: tuple[Space, Space], records: tuple[Records, Records]) -> Flags:
    """By row: have the sound records of two spaces the same first bytes and the same unwind codes?"""
    ours, theirs = records
    result: Flags = ours.sound & theirs.sound & (ours.head == theirs.head)
    # The heads are the same, so the codes have one size; all rows with a further slot are compared at once.
    rows = np.flatnonzero(result & (ours.size > 0))
    for slot in range(0, 512, 2):
        rows = rows[ours.size[rows] > slot]
        if not len(rows):
            break
        here = spaces[0].unsigned(ours.rva[rows] + 4 + slot, 2)
        there = spaces[1].unsigned(theirs.rva[rows] + 4 + slot, 2)
        result[rows[here != there]] = False
    return result
