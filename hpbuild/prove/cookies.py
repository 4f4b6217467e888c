"""Handlers whose language data is numbers: the place of a stack cookie in the frame. Such a number may look
like an address, and no claim may make it one.

Sources: GS_HANDLER_DATA of Visual C++'s gshandler.cpp; Microsoft Learn, "x64 exception handling" (unwind
codes). Read here once more and from the frames alone: a handler takes numbers when in each of its records
the first word could be the place of a cookie in the frame that the record describes.
"""

from collections.abc import Iterable

import numpy as np

from hpbuild.prove.language import names_function_info, words
from hpbuild.prove.records import Record, read_record, read_records
from hpbuild.prove.references import distinct
from hpbuild.prove.space import Space

_WRAPPED, _ALIGNED_FRAME = 0x3, 0x4
_EXTRA = {1: 1, 4: 1, 5: 2, 6: 1, 7: 2, 8: 1, 9: 2}
"""Further slots of the unwind codes that have any."""


def number_handlers(space: Space, records: Iterable[int]) -> frozenset[int]:
    """RVAs of the handlers of the unwind ``records`` that take numbers. A record without any data, in front
    of another one, says nothing."""
    starts = distinct(np.array(list(records), dtype=np.int64))
    found = read_records(space, starts)
    told = (found.handler != 0) & ~np.isin(found.data, starts)
    known = frozenset(starts.tolist())
    fitting: dict[int, bool] = {}
    rows = np.flatnonzero(~found.sound | told)
    columns = (starts[rows], found.sound[rows], found.handler[rows])
    for rva, sound, handler in zip(*(column.tolist() for column in columns), strict=True):
        if sound and not fitting.get(handler, True):
            continue
        record = read_record(space, rva)
        if record is not None and record.handler and record.data not in known:
            fitting[record.handler] = fitting.get(record.handler, True) and _fits(space, record)
    return frozenset(handler for handler, fits in fitting.items() if fits)


def _fits(space: Space, record: Record) -> bool:
    place, frame = words(space, record.data, 3), frame_size(record)
    if not place or place[0] & _WRAPPED or names_function_info(space, record.data):
        return False
    if place[0] & _ALIGNED_FRAME and not (len(place) == 3 and place[1] <= frame and 0 < place[2] <= frame):
        return False
    return place[0] - (place[0] & _ALIGNED_FRAME) < frame


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
