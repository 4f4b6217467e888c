"""All unwind records of an image with their language data, and what follows from them for its code."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among, distinct
from hpbuild.code.exceptions import Record, read_record
from hpbuild.code.model import I64, Exceptions, FieldForm, Fragments
from hpbuild.code.stack_cookies import handler_forms
from hpbuild.dataclass import dataclass
from hpbuild.pe.access import values_at
from hpbuild.pe.image import Image
from hpbuild.pe.unwind import RuntimeFunctions

_TRAILER = 12
"""Most bytes of stack-cookie data that can follow the language data of another handler."""
_HANDLED, _CHAINED = 3, 4
"""Flags of a record with a handler, and of one that is chained to another row."""
_CHAINED_ROW = 12
_CHAINED_FORMS = (FieldForm.ADDR32NB, FieldForm.END32NB, FieldForm.ADDR32NB)
"""Begin, end and unwind record of the row."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Unwind records as read: RVAs (ascending) and sizes, those of unknown form; all their fields, rows
    (site, target, form, origin) as in DataFields; addresses of funclets."""

    rvas: I64
    sizes: I64
    unknown: frozenset[int]
    rows: I64
    funclets: I64

    def code(self) -> I64:
        """Every RVA that a field of a record holds: handlers, filters, labels, and some of data."""
        found: I64 = self.rows[self.rows[:, 2] == FieldForm.ADDR32NB, 1]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heads:
    """What the heads of records tell, a row each, ascending by RVA: ``size`` without language data; which are
    chained to a row, which have a handler (never both), and which describe split-off code."""

    rva: I64
    size: I64
    chained: Mask
    handled: Mask
    split_off: Mask

    def __getitem__(self, chosen: Mask) -> "_Heads":
        return _Heads(
            rva=self.rva[chosen],
            size=self.size[chosen],
            chained=self.chained[chosen],
            handled=self.handled[chosen],
            split_off=self.split_off[chosen],
        )


def read_records(image: Image, table: RuntimeFunctions) -> Records:
    """Every unwind record of the exception directory with its language data."""
    every = distinct(table.unwind[table.unwind != 0].astype(np.int64))
    heads = _heads(image, every)
    handled = heads.rva[heads.handled].tolist()
    forms = handler_forms(image, handled)
    known = {rva: record for rva in handled if (record := read_record(image, rva, forms)) is not None}
    readable = ~heads.handled
    readable[heads.handled] = [rva in known for rva in handled]
    heads = heads[readable]
    heads.size[heads.handled] = [record.size for record in known.values()]
    split_off = table.begin[among(table.unwind, heads.rva[heads.split_off])]
    named = np.array([site for record in known.values() for site in record.funclets], dtype=np.int64)
    rows = _rows(image, heads, known)
    labels = [
        (site, target, int(FieldForm.ADDR32NB), 0)
        for record in known.values()
        if not record.known and not record.doubtful
        for site, target in _labels(image, table, record, heads.rva)
    ]
    return Records(
        rvas=heads.rva,
        sizes=heads.size,
        unknown=frozenset(
            {rva for rva, record in known.items() if not record.known}.union(
                every[~among(every, heads.rva)].tolist()
            )
        ),
        rows=np.concatenate([rows, np.array(labels, dtype=np.int64).reshape(-1, 4)]),
        funclets=np.concatenate([split_off.astype(np.int64), values_at(image, named).astype(np.int64)]),
    )


def _heads(image: Image, rvas: I64) -> _Heads:
    """Those of the records at ``rvas`` that lie in the image."""
    rva = rvas[rvas + 4 <= image.size_of_image]
    head, codes = image.memory[rva], image.memory[rva + 2].astype(np.int64)
    chained = head >> 3 & _CHAINED != 0
    heads = _Heads(
        rva=rva,
        size=4 + 2 * (codes + codes % 2) + chained * _CHAINED_ROW,
        chained=chained,
        handled=~chained & (head >> 3 & _HANDLED != 0),
        # Codes but no prolog, chained to none: a part split off another function (GNU's ``.cold``), entered
        # by a jump with that function's frame in place. Version 1 only: 2 keeps epilogs among the codes.
        split_off=(head & 0x27 == 1) & (image.memory[rva + 1] == 0) & (codes > 0),
    )
    return heads[~chained | (rva + heads.size <= image.size_of_image)]


def _rows(image: Image, heads: _Heads, records: dict[int, Record]) -> I64:
    """Fields of all records in the order of the records: those of chained ones are three RVAs."""
    place = np.flatnonzero(heads.chained)
    sites = (heads.rva[place] + heads.size[place] - _CHAINED_ROW)[:, None] + np.arange(0, _CHAINED_ROW, 4)
    chained = np.zeros((sites.size, 4), dtype=np.int64)
    chained[:, 0] = sites.reshape(-1)
    chained[:, 1] = values_at(image, chained[:, 0])
    chained[:, 2] = np.tile(_CHAINED_FORMS, len(sites))
    fields = chain.from_iterable(record.fields for record in records.values())
    others = np.fromiter(chain.from_iterable(fields), dtype=np.int64).reshape(-1, 4)
    counts = np.array([len(record.fields) for record in records.values()], dtype=np.int64)
    owner = np.concatenate([np.repeat(place, 3), np.repeat(np.flatnonzero(heads.handled), counts)])
    rows: I64 = np.concatenate([chained, others])[np.argsort(owner, kind="stable")]
    return rows


def _labels(image: Image, table: RuntimeFunctions, record: Record, rvas: I64) -> Iterator[tuple[int, int]]:
    """(site, target) of the words of language data in a form that nobody knows which lie in the code that the
    record describes: handlers in assembly are given labels of their function. ``rvas`` are all records."""
    own = np.flatnonzero(table.unwind == record.rva)
    spans = list(zip(table.begin[own].tolist(), table.end[own].tolist(), strict=True))
    following = int(np.searchsorted(rvas, record.rva, side="right"))
    stop = int(rvas[following]) if following < len(rvas) else image.size_of_image
    site = record.rva + record.size
    while site + 4 <= stop:
        target = image.u32(site)
        if not any(begin < target <= end for begin, end in spans):
            break
        yield site, target
        site += 4


def unwind_records(records: Records, fragments: Fragments) -> Exceptions:
    """The records with what lies between them, and the code that runs on another frame.

    Each has the few bytes up to the next one: data of the stack-cookie handler that wraps another handler
    follows that handler's own. None reaches into the next: a handler without any data looks like one whose
    data is the next record's head.
    """
    start, size = records.rvas, records.sizes.copy()
    room = np.diff(start)
    size[:-1] = np.where(room <= size[:-1] + _TRAILER, room, size[:-1])
    return Exceptions(
        records=tuple(zip(start.tolist(), size.tolist(), strict=True)),
        unknown=records.unknown,
        funclets=frozenset(records.funclets[among(records.funclets, fragments.start)].tolist()),
    )
