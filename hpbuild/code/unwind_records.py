"""All unwind records of an image with their language data, and what follows from them for its code."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among, distinct
from hpbuild.code.common_handlers import common_handlers
from hpbuild.code.exceptions import Record, read_record
from hpbuild.code.field_columns import filled_fields, joined_fields
from hpbuild.code.model import I64, DataFields, Exceptions, FieldForm, Fragments
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
    """Unwind records as read: RVAs (ascending) and sizes, those of unknown form; all their fields, in the
    order of the records; addresses of funclets."""

    rvas: I64
    sizes: I64
    unknown: frozenset[int]
    fields: DataFields
    funclets: I64

    def code(self) -> I64:
        """Every RVA that a field of a record holds: handlers, filters, labels, and some of data."""
        found: I64 = self.fields.target[self.fields.form == FieldForm.ADDR32NB]
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
    forms = handler_forms(image, heads.rva[heads.handled].tolist())
    handled = np.flatnonzero(heads.handled)
    common = common_handlers(image, heads.rva[handled] + heads.size[handled], forms)
    others = np.delete(handled, common.numbers)
    read = [
        (number, record)
        for number, rva in zip(others.tolist(), heads.rva[others].tolist(), strict=True)
        if (record := read_record(image, rva, forms)) is not None
    ]
    numbers, records = np.array([number for number, _ in read], dtype=np.int64), [one for _, one in read]
    fields = _fields(image, heads, (handled[common.owner], common.site), (numbers, records))
    heads.size[handled[common.numbers]] += common.sizes
    heads.size[numbers] = [record.size for record in records]
    readable = np.ones(len(heads.rva), dtype=np.bool_)
    readable[others], readable[numbers] = False, True
    heads = heads[readable]
    split_off = table.begin[among(table.unwind, heads.rva[heads.split_off])]
    named = np.array([site for record in records for site in record.funclets], dtype=np.int64)
    named = values_at(image, np.concatenate([named, common.funclets])).astype(np.int64)
    labels = [
        label
        for record in records
        if not record.known and not record.doubtful
        for label in _labels(image, table, record, heads.rva)
    ]
    site, target = np.array(labels, dtype=np.int64).reshape(-1, 2).T
    unknown = [record.rva for record in records if not record.known]
    return Records(
        rvas=heads.rva,
        sizes=heads.size,
        unknown=frozenset([*unknown, *every[~among(every, heads.rva)].tolist()]),
        fields=joined_fields([fields, filled_fields(site, target, FieldForm.ADDR32NB)]),
        funclets=np.concatenate([split_off.astype(np.int64), named]),
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


def _fields(
    image: Image, heads: _Heads, common: tuple[I64, I64], others: tuple[I64, Sequence[Record]]
) -> DataFields:
    """Fields of all records in the order of the records: those of chained ones are three RVAs; ``common`` are
    numbers of records with sites of RVAs, ``others`` with what was read of them."""
    chained = np.flatnonzero(heads.chained)
    first = heads.rva[chained] + heads.size[chained] - _CHAINED_ROW
    site = np.concatenate([(first[:, None] + np.arange(0, _CHAINED_ROW, 4)).reshape(-1), common[1]])
    form = np.full(len(site), FieldForm.ADDR32NB, dtype=np.uint8)
    form[: len(_CHAINED_FORMS) * len(chained)] = np.tile(_CHAINED_FORMS, len(chained))
    numbers, records = others
    rows = np.array([row for record in records for row in record.fields], dtype=np.int64).reshape(-1, 4)
    counts = np.array([len(record.fields) for record in records], dtype=np.int64)
    owner = [np.repeat(chained, len(_CHAINED_FORMS)), common[0], np.repeat(numbers, counts)]
    order = np.argsort(np.concatenate(owner), kind="stable")
    simple = values_at(image, site), np.zeros_like(site)
    return DataFields(
        site=np.concatenate([site, rows[:, 0]])[order],
        target=np.concatenate([simple[0], rows[:, 1]])[order],
        form=np.concatenate([form, rows[:, 2].astype(np.uint8)])[order],
        origin=np.concatenate([simple[1], rows[:, 3]])[order],
    )


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
        starts=start,
        sizes=size,
        unknown=records.unknown,
        funclets=frozenset(records.funclets[among(records.funclets, fragments.start)].tolist()),
    )
