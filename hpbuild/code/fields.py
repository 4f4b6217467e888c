"""Fields in data that name addresses: what the image relocates, and what only their structures tell."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import members, picked
from hpbuild.code.decode import RefKind
from hpbuild.code.field_columns import filled_fields, last_of_each
from hpbuild.code.layout import Layout
from hpbuild.code.model import I64, U32, DataFields, FieldForm, Fragments, References
from hpbuild.code.rtti import locator_sites, throw_sites
from hpbuild.code.sections import section_numbers
from hpbuild.code.table_readers import read_tables
from hpbuild.code.tables import relative_entries, rva_counts
from hpbuild.pe.access import values_at
from hpbuild.pe.image import Image

_RELOCATED = 8
"""Bytes of a field that the image relocates; all others have 4."""
_NOBODY = -1
_NOWHERE = 0xFFFFFFFF


def data_fields(
    image: Image,
    layout: Layout,
    fragments: Fragments,
    references: References,
    sites: I64,
    pointers: I64,
    unwind: DataFields,
) -> DataFields:
    """Base relocations outside of code, jump tables, relative tables, unwind records, type information.
    ``unwind`` are the fields of the unwind records. Of two fields at one address that of the later source
    counts; base relocations, which are never in doubt, come last."""
    taken = picked(references.target, references.kind == RefKind.LEA)
    types = np.array([*locator_sites(image), *throw_sites(image, taken)], dtype=np.int64).reshape(-1, 2)
    known = last_of_each([unwind, filled_fields(types[:, 0], types[:, 1], FieldForm.ADDR32NB)])
    anchors = _anchors(
        [known.site, known.target, sites, pointers, fragments.start, fragments.unwind],
        _direct(fragments, references),
        layout,
    )
    tables = [
        _own_tables(image, layout, fragments, anchors),
        *_other_tables(image, fragments, references, anchors),
    ]
    found = last_of_each([known, *tables, filled_fields(sites, pointers, FieldForm.ADDR64)])
    kept = np.flatnonzero(_apart(found) & ~in_code(fragments, found.site))
    return DataFields(
        site=found.site[kept],
        target=found.target[kept],
        form=found.form[kept],
        origin=found.origin[kept],
    )


def _anchors(known: list[I64], direct: U32, layout: Layout) -> U32:
    """All known addresses, ascending: no table reaches over one. What is no address is a very high one then:
    no image has 2 GiB."""
    tables = np.fromiter(layout.tables, dtype=np.int64, count=len(layout.tables))
    anchors: U32 = np.concatenate([*known, direct, tables], dtype=np.uint32, casting="unsafe")
    anchors.sort()
    return anchors


def _own_tables(image: Image, layout: Layout, fragments: Fragments, anchors: U32) -> DataFields:
    """The entries of the tables that code reads behind the image base to jump: those that lead into the code
    of the function that reads them."""
    own = [(table, root) for table, (root, width) in layout.tables.items() if width == 4]
    table, root = np.array(own, dtype=np.int64).reshape(-1, 2).T
    reader = np.where(fragments.opaque, _NOBODY, fragments.start[fragments.root])

    def belongs(number: I64, entry: I64) -> npt.NDArray[np.bool_]:
        owner = np.searchsorted(fragments.start, entry, side="right") - 1
        found: npt.NDArray[np.bool_] = (reader[owner] == root[number]) & (entry < fragments.end[owner])
        return found & (owner >= 0)

    if not len(own) or not len(fragments):
        return filled_fields(table[:0], table[:0], FieldForm.ADDR32NB)
    count = rva_counts(image, table, _following(anchors, table, image), belongs)
    sites = 4 * members(np.zeros_like(count), count) + np.repeat(table, count)
    return filled_fields(sites, values_at(image, sites).astype(np.int64), FieldForm.ADDR32NB)


def _following(anchors: U32, rvas: I64, image: Image) -> I64:
    """``_next`` of each of ``rvas``."""
    ends = np.array([*(section.range.end for section in image.sections), 0], dtype=np.int64)
    number = section_numbers(image, rvas)
    index = np.searchsorted(anchors, rvas.astype(np.uint32), side="right")
    found, some = ends[number], index < len(anchors)
    found[some] = np.minimum(anchors[index[some]], found[some])
    return np.where(number < 0, rvas, found)


def _other_tables(
    image: Image, fragments: Fragments, references: References, anchors: U32
) -> Iterable[DataFields]:
    """The entries of each table whose entries code makes addresses."""
    for table, form in read_tables(image, fragments, references):
        origin = table if form is FieldForm.TABLE32 else 0
        targets = relative_entries(image, table, _next(anchors, table, image), origin)
        if targets:  # an address outside of any image has none, and may need more than 63 bits
            yield _entries(table, targets, form, origin)


def _entries(table: int, targets: list[int], form: FieldForm, origin: int) -> DataFields:
    sites = np.arange(table, table + 4 * len(targets), 4, dtype=np.int64)
    return filled_fields(sites, np.array(targets, dtype=np.int64), form, origin)


def _direct(fragments: Fragments, references: References) -> U32:
    """What the references name; a very high address in place of what those behind the image base name in an
    executable section: where the table begins is known, the operand may name a place before it, even inside
    the table before."""
    found = references.target.astype(np.uint32)
    based = np.flatnonzero(references.kind == RefKind.IMAGE_BASE)
    if len(fragments):
        target = references.target[based]
        place = np.searchsorted(fragments.start, target, side="right") - 1
        based = based[(place >= 0) & (target < fragments.end[np.maximum(place, 0)])]
    found[based] = _NOWHERE
    return found


def _apart(fields: DataFields) -> npt.NDArray[np.bool_]:
    """Which of the ``fields`` overlap no other one; base relocations are never in doubt."""
    site, kept = fields.site, np.ones(len(fields), dtype=np.bool_)
    if not len(fields):
        return kept
    ends = site + np.where(fields.form == FieldForm.ADDR64, _RELOCATED, 4)
    touched = np.zeros(len(fields) + 1, dtype=np.bool_)
    touched[1:-1] = site[1:] < np.maximum.accumulate(ends)[:-1]  # overlaps one before
    for first in np.flatnonzero(touched[1:] & ~touched[:-1]).tolist():
        stop = first + 1 + int(np.argmin(touched[first + 1 :]))
        columns = (range(first, stop), site[first:stop].tolist(), ends[first:stop].tolist())
        kept[first:stop] = False
        kept[_survivors(list(zip(*columns, strict=True)))] = True
    return kept


def _survivors(rows: list[tuple[int, int, int]]) -> list[int]:
    """Numbers of those rows (number, start, end; ascending) that stay: of two relocated fields both, of a
    relocated one and another the relocated one, of two others the first."""
    kept: list[tuple[int, int, int]] = []
    for row in rows:
        sure = row[2] - row[1] == _RELOCATED
        while sure and kept and kept[-1][2] - kept[-1][1] != _RELOCATED and kept[-1][2] > row[1]:
            kept.pop()
        if sure or not kept or kept[-1][2] <= row[1]:
            kept.append(row)
    return [number for number, _, _ in kept]


def in_code(fragments: Fragments, sites: I64) -> npt.NDArray[np.bool_]:
    """Which of ``sites`` lie in instructions."""
    if not len(fragments):
        return np.zeros(len(sites), dtype=np.bool_)
    owner = np.searchsorted(fragments.start, sites, side="right") - 1
    inside: npt.NDArray[np.bool_] = (owner >= 0) & (sites < fragments.end[owner]) & ~fragments.opaque[owner]
    return inside


def _next(anchors: U32, address: int, image: Image) -> int:
    """The next known address behind ``address``, at most the end of its section."""
    section = image.section_at(address)
    if section is None:
        return address
    index = int(np.searchsorted(anchors, np.uint32(address), side="right"))
    return min(int(anchors[index]) if index < len(anchors) else section.range.end, section.range.end)
