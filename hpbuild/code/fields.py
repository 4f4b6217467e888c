"""Fields in data that name addresses: what the image relocates, and what only their structures tell."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import distinct
from hpbuild.code.decode import RefKind
from hpbuild.code.exceptions import read_record
from hpbuild.code.layout import Layout
from hpbuild.code.model import I64, DataFields, Exceptions, FieldForm, Fragments, References
from hpbuild.code.rtti import locator_sites, throw_sites
from hpbuild.code.stack_cookies import handler_forms
from hpbuild.code.tables import address_tables, relative_entries, relative_tables, rva_entries
from hpbuild.pe.image import Image
from hpbuild.pe.unwind import RuntimeFunctions

FieldRow = tuple[int, int, int, int]
"""(site, target, form, origin) as in DataFields."""

_TRAILER = 12
"""Most bytes of stack-cookie data that can follow the language data of another handler."""


@dataclass(frozen=True, slots=True)
class Records:
    """Unwind records as read: sizes by RVA, those of unknown form, all fields, addresses of funclets."""

    sizes: dict[int, int]
    unknown: frozenset[int]
    rows: list[FieldRow]
    funclets: frozenset[int]

    def code(self) -> set[int]:
        """Every RVA that a field of a record holds: handlers, filters, labels, and some of data."""
        return {target for _, target, form, _ in self.rows if form == FieldForm.ADDR32NB}


def read_records(image: Image, table: RuntimeFunctions) -> Records:
    """Every unwind record of the exception directory with its language data."""
    sizes: dict[int, int] = {}
    unknown: set[int] = set()
    rows: list[FieldRow] = []
    funclets: set[int] = set()
    odd: dict[int, list[tuple[int, int]]] = {}
    owners = _owners(table)
    forms = handler_forms(image, owners)
    for unwind, spans in owners.items():
        record = read_record(image, unwind, forms)
        if record is None:
            unknown.add(unwind)
            continue
        sizes[unwind] = record.size
        rows.extend((site, target, int(form), origin) for site, target, form, origin in record.fields)
        funclets.update(image.u32(site) for site in record.funclets)
        if _begins_in_a_frame(image, unwind):
            funclets.update(begin for begin, _ in spans)
        if not record.known:
            unknown.add(unwind)
            if not record.doubtful:
                odd[unwind] = spans
    for site, target in _labels(image, sizes, odd):
        rows.append((site, target, int(FieldForm.ADDR32NB), 0))
    return Records(sizes, frozenset(unknown), rows, frozenset(funclets))


def _owners(table: RuntimeFunctions) -> dict[int, list[tuple[int, int]]]:
    """Unwind record -> the runs of code that have it, by RVA of the record."""
    found: dict[int, list[tuple[int, int]]] = {}
    order = np.argsort(table.unwind, kind="stable")
    columns = (table.unwind[order].tolist(), table.begin[order].tolist(), table.end[order].tolist())
    for unwind, begin, end in zip(*columns, strict=True):
        if unwind:
            found.setdefault(unwind, []).append((begin, end))
    return found


def _labels(
    image: Image, sizes: dict[int, int], odd: dict[int, list[tuple[int, int]]]
) -> Iterator[tuple[int, int]]:
    """(site, target) of the words of language data in a form that nobody knows which lie in the code that the
    record describes: handlers in assembly are given labels of their function."""
    ordered = sorted(sizes)
    for unwind, spans in odd.items():
        following = bisect_left(ordered, unwind + 1)
        stop = ordered[following] if following < len(ordered) else image.size_of_image
        site = unwind + sizes[unwind]
        while site + 4 <= stop:
            target = image.u32(site)
            if not any(begin < target <= end for begin, end in spans):
                break
            yield site, target
            site += 4


def _begins_in_a_frame(image: Image, unwind: int) -> bool:
    """The record has unwind codes but no prolog, and is chained to none: its code is a part split off another
    function (GNU's ``.cold``), entered by a jump with that function's frame in place. Version 1 only: version
    2 keeps epilogs among the codes."""
    head, prolog, codes = image.read(unwind, 3)
    return head & 0x27 == 1 and not prolog and codes > 0


def unwind_records(records: Records, fragments: Fragments) -> tuple[Exceptions, list[FieldRow]]:
    """The records with what lies between them, the code that runs on another frame, and all fields."""
    known = Exceptions(
        records=tuple(_with_trailers(records.sizes)),
        unknown=records.unknown,
        funclets=records.funclets & set(fragments.start.tolist()),
    )
    return known, records.rows


def _with_trailers(records: dict[int, int]) -> list[tuple[int, int]]:
    """Records ascending, each with the few bytes up to the next one: data of the stack-cookie handler that
    wraps another handler follows that handler's own. None reaches into the next: a handler without any
    data looks like one whose data is the next record's head."""
    ordered = sorted(records.items())
    following = [start for start, _ in [*ordered[1:], (0, 0)][: len(ordered)]]
    return [
        (start, after - start if start < after <= start + size + _TRAILER else size)
        for (start, size), after in zip(ordered, following, strict=True)
    ]


def data_fields(
    image: Image,
    layout: Layout,
    fragments: Fragments,
    references: References,
    sites: I64,
    pointers: I64,
    unwind: list[FieldRow],
) -> DataFields:
    """Base relocations outside of code, jump tables, relative tables, unwind records, type information."""
    rows = {row[0]: row for row in unwind}
    taken = np.unique(references.target[references.kind == RefKind.LEA])
    for site, target in chain(locator_sites(image), throw_sites(image, taken)):
        rows[site] = (site, target, int(FieldForm.ADDR32NB), 0)
    known = np.array([at for row in rows.values() for at in row[:2]], dtype=np.int64)
    own_tables = np.array(sorted(layout.tables), dtype=np.int64)
    direct = references.target[~_below_tables(fragments, references)]
    anchors = distinct(
        np.concatenate([direct, pointers, known, sites, fragments.start, fragments.unwind, own_tables])
    )
    anchors_list: list[int] = anchors.tolist()
    bounds = _bounds(fragments)
    reads = (references.kind == RefKind.IMAGE_BASE) & (references.access == 4)
    image_base_sites: list[int] = references.site[reads].tolist()
    named_by = dict(zip(image_base_sites, references.target[reads].tolist(), strict=True))
    for table, (root, width) in layout.tables.items():
        if width == 4:
            stop = _next(anchors, anchors_list, table, image)
            targets = rva_entries(image, table, stop, bounds.get(root, []))
            rows.update(
                {table + 4 * n: (table + 4 * n, t, int(FieldForm.ADDR32NB), 0) for n, t in enumerate(targets)}
            )
    for start, end, opaque in zip(
        fragments.start.tolist(), fragments.end.tolist(), fragments.opaque.tolist(), strict=True
    ):
        if opaque:
            continue
        code = image.read(start, end - start)
        named = {site: named_by[site] for site in _between(image_base_sites, start, end)}
        tables = dict.fromkeys(relative_tables(code, start), FieldForm.TABLE32)
        tables.update(dict.fromkeys(address_tables(code, start, named), FieldForm.ADDR32NB) if named else {})
        for table, form in sorted(tables.items()):
            if form is FieldForm.ADDR32NB and _in_text(image, table):  # bounded by its function, above
                continue
            origin = table if form is FieldForm.TABLE32 else 0
            stop = _next(anchors, anchors_list, table, image)
            for n, target in enumerate(relative_entries(image, table, stop, origin)):
                rows[table + 4 * n] = (table + 4 * n, target, int(form), origin)
    rows.update({s: (s, t, _ADDR64, 0) for s, t in zip(sites.tolist(), pointers.tolist(), strict=True)})
    table_rows = np.array(_disjoint([rows[site] for site in sorted(rows)]), dtype=np.int64).reshape(-1, 4)
    table_rows = table_rows[~in_code(fragments, table_rows[:, 0])]
    return DataFields(
        site=table_rows[:, 0].copy(),
        target=table_rows[:, 1].copy(),
        form=table_rows[:, 2].astype(np.uint8),
        origin=table_rows[:, 3].copy(),
    )


def _in_text(image: Image, rva: int) -> bool:
    section = image.section_at(rva)
    return section is not None and section.executable


def _below_tables(fragments: Fragments, references: References) -> npt.NDArray[np.bool_]:
    """References behind the image base that lead into an executable section: where the table begins is known,
    the operand may name a place before it, even inside the table before."""
    found: npt.NDArray[np.bool_] = references.kind == RefKind.IMAGE_BASE
    if len(fragments):
        place = np.searchsorted(fragments.start, references.target, side="right") - 1
        found &= (place >= 0) & (references.target < fragments.end[np.maximum(place, 0)])
    return found


def _between(ordered: list[int], start: int, end: int) -> list[int]:
    """The members of an ascending list in ``[start, end)``."""
    return ordered[bisect_left(ordered, start) : bisect_left(ordered, end)]


_ADDR64 = int(FieldForm.ADDR64)


def _disjoint(rows: list[FieldRow]) -> list[FieldRow]:
    """``rows`` (ascending) without those that overlap another one; base relocations are never in doubt."""
    kept: list[FieldRow] = []
    for row in rows:
        sure = row[2] == _ADDR64
        while sure and kept and kept[-1][2] != _ADDR64 and kept[-1][0] + 4 > row[0]:
            kept.pop()
        if sure or not kept or kept[-1][0] + (8 if kept[-1][2] == _ADDR64 else 4) <= row[0]:
            kept.append(row)
    return kept


def in_code(fragments: Fragments, sites: I64) -> npt.NDArray[np.bool_]:
    """Which of ``sites`` lie in instructions."""
    if not len(fragments):
        return np.zeros(len(sites), dtype=np.bool_)
    owner = np.searchsorted(fragments.start, sites, side="right") - 1
    inside: npt.NDArray[np.bool_] = (owner >= 0) & (sites < fragments.end[owner]) & ~fragments.opaque[owner]
    return inside


def _bounds(fragments: Fragments) -> dict[int, list[tuple[int, int]]]:
    """Ranges of every function by the start of its root fragment."""
    found: dict[int, list[tuple[int, int]]] = {}
    roots = fragments.start[fragments.root] if len(fragments) else fragments.start
    code = ~fragments.opaque
    for root, start, end in zip(
        roots[code].tolist(), fragments.start[code].tolist(), fragments.end[code].tolist(), strict=True
    ):
        found.setdefault(root, []).append((start, end))
    return found


def _next(anchors: I64, listed: list[int], address: int, image: Image) -> int:
    """The next known address behind ``address``, at most the end of its section."""
    section = image.section_at(address)
    limit = section.rva + section.virtual_size if section else address
    index = int(np.searchsorted(anchors, address, side="right"))
    return min(listed[index], limit) if index < len(listed) else limit
