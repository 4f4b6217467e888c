"""Handlers whose language data is numbers: the place of a stack cookie in the frame. Such a number may look
like an address, and no claim may make it one.

Sources: GS_HANDLER_DATA of Visual C++'s gshandler.cpp; Microsoft Learn, "x64 exception handling" (unwind
codes). Read here once more and from the frames alone: a handler takes numbers when in each of its records
the first word could be the place of a cookie in the frame that the record describes.
"""

from collections.abc import Sequence

import numpy as np

from hpbuild.prove.language import name_function_infos, names_function_info, words
from hpbuild.prove.records import Flags, Record, Records, read_record, read_records, take
from hpbuild.prove.references import Numbers, among, distinct
from hpbuild.prove.space import Space

_WRAPPED, _ALIGNED_FRAME = 0x3, 0x4
_EXTRA = {1: 1, 4: 1, 5: 2, 6: 1, 7: 2, 8: 1, 9: 2}
"""Further slots of the unwind codes that have any."""
_EXTRAS = np.array([_EXTRA.get(kind, 0) for kind in range(16)], dtype=np.int64)


def number_handlers(space: Space, records: Sequence[int] | Numbers) -> frozenset[int]:
    """RVAs of the handlers of the unwind ``records`` that take numbers. A record without any data, in front
    of another one, says nothing."""
    starts = distinct(np.array(records, dtype=np.int64))
    found = read_records(space, starts)
    told = take(found, np.flatnonzero(found.sound & (found.handler != 0)))
    told = take(told, np.flatnonzero(~among(told.data, starts)))
    fits = _all_fit(space, told)
    good, bad = set(told.handler[fits].tolist()), set(told.handler[~fits].tolist())
    known = frozenset(starts.tolist())
    for rva in starts[~found.sound].tolist():
        record = read_record(space, rva)
        if record is not None and record.handler and record.data not in known:
            (good if _fits(space, record) else bad).add(record.handler)
    return frozenset(good - bad)


def _fits(space: Space, record: Record) -> bool:
    place, frame = words(space, record.data, 3), frame_size(record)
    if not place or place[0] & _WRAPPED or names_function_info(space, record.data):
        return False
    if place[0] & _ALIGNED_FRAME and not (len(place) == 3 and place[1] <= frame and 0 < place[2] <= frame):
        return False
    return place[0] - (place[0] & _ALIGNED_FRAME) < frame


def _all_fit(space: Space, records: Records) -> Flags:
    """``_fits``, by row."""
    place, align, adjust = (space.unsigned(records.data + at, 4) for at in (0, 4, 8))
    frame = frame_sizes(space, records)
    aligned = (place & _ALIGNED_FRAME) != 0
    within = (align >= 0) & (align <= frame) & (adjust > 0) & (adjust <= frame)
    result: Flags = (place >= 0) & (place & _WRAPPED == 0) & (~aligned | within)
    result &= place - (place & _ALIGNED_FRAME) < frame
    return result & ~name_function_infos(space, records.data)


def frame_sizes(space: Space, records: Records) -> Numbers:
    """``frame_size`` of sound records, by row."""
    count, version = records.size // 2, records.head & 7
    size, at = np.zeros_like(count), np.zeros_like(count)
    rows = np.flatnonzero(count > 0)
    while len(rows):
        slot, first, second = (space.unsigned(records.rva[rows] + 2 * at[rows] + n, 2) for n in (4, 6, 8))
        kind, info = slot >> 8 & 0xF, slot >> 12
        extra = np.where((kind == 1) & (info != 0), 2, _EXTRAS[kind])
        extra[(kind == 6) & (version[rows] == 2)] = 0
        grown = [8 + 0 * info, np.where(info, first + (second << 16), 8 * first), 8 + 8 * info, 40 + 8 * info]
        size[rows] += np.select([kind == 0, kind == 1, kind == 2, kind == 10], grown, 0)
        at[rows] += 1 + extra
        size[rows[at[rows] > count[rows]]] = 0
        rows = rows[at[rows] < count[rows]]
    return size


def frame_size(record: Record) -> int:
    """Bytes that the prolog of ``record`` puts on the stack; 0 when its codes are cut short."""
    slots = [int.from_bytes(record.codes[at : at + 2], "little") for at in range(0, len(record.codes), 2)]
    size, at = 0, 0
    while at < len(slots):
        kind, info = slots[at] >> 8 & 0xF, slots[at] >> 12
        extra = 2 if kind == 1 and info else _EXTRA.get(kind, 0)
        if kind == 6 and record.head[0] & 7 == 2:  # epilogs of version 2: one slot each
            extra = 0
        operand = slots[at + 1 : at + 1 + extra]
        if len(operand) < extra:
            return 0
        if kind == 0:
            size += 8
        elif kind == 1:
            size += operand[0] + (operand[1] << 16) if info else 8 * operand[0]
        elif kind == 2:
            size += 8 + 8 * info
        elif kind == 10:
            size += 40 + 8 * info
        at += 1 + extra
    return size
