"""Who owns an address of the fixed image, and where its counterparts lie. Built from claims and manifest.

Import slots and loader metadata are taken from the two images themselves, not from the claims.
"""

from collections.abc import Iterable
from enum import IntEnum

import numpy as np

from hpbuild.dataclass import dataclass
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.pe.imports import imports
from hpbuild.pe.metadata import CLASSES, MetadataRuns
from hpbuild.prove.claims import Claims
from hpbuild.prove.references import Numbers, by_rows
from hpbuild.values import Interval

NOWHERE = -1
_SLOT = 8
_NEVER_REFERRED = frozenset(("unwind-information", "relocations", "exception-directory"))
"""Loader tables that no code or data names; they have a step of their own."""


class Owner(IntEnum):
    """What an address of the fixed image belongs to."""

    CODE = 0
    DATA = 1
    FUNCTION = 2
    """Carried function."""
    DATUM = 3
    """Carried datum."""
    METADATA = 4
    LEFT_OUT = 5
    """Declared as left out by choice: the baseline's version stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Sorted runs of the fixed image, columns of int64. ``baseline`` and ``patch`` are the distances to the
    run's counterpart there, meaningless when ``in_baseline``/``in_patch`` is False. ``entry`` is the
    baseline entry of a carried function in the row of its first range, and for what is left out where the
    baseline's version of the range lies, else NOWHERE. ``number`` indexes the claims' rows, the manifest's
    functions, its data or its groups of parts that are left out."""

    start: Numbers
    end: Numbers
    owner: Numbers
    baseline: Numbers
    patch: Numbers
    entry: Numbers
    number: Numbers

    def find(self, addresses: Numbers) -> tuple[Numbers, Numbers]:
        """(row of the last run that begins at or before the address, 1 when it holds the address; 2 when the
        address is exactly its end; 0 otherwise)."""
        rows = np.searchsorted(self.start, addresses, side="right") - 1
        if not len(self.start):
            return rows, np.zeros(len(addresses), dtype=np.int64)
        ends = self.end[rows]
        state = np.where(addresses < ends, 1, np.where(addresses == ends, 2, 0))
        return rows, np.where(rows < 0, 0, state)


@dataclass(frozen=True, slots=True)
class Slots:
    """Import slots of both images: sorted slot RVAs, and the number of the import that each holds."""

    fixed: Numbers
    fixed_key: Numbers
    baseline: Numbers
    baseline_key: Numbers
    names: tuple[str, ...]


def ownership(
    claims: Claims, module: Module, fixed: Image, tables: tuple[MetadataRuns, MetadataRuns], delta: int
) -> Ownership:
    """Runs of the fixed image; ``tables`` are the loader's tables of the fixed image and of the baseline; the
    patch image lies ``delta`` bytes above its nominal place."""
    rows = np.concatenate([_claimed(claims), _table(_carried(module, delta)), _left_out(module)])
    metadata = _table(_metadata(claims, fixed, tables, np.sort(rows[:, 0]), np.sort(rows[:, 1])))
    rows = np.concatenate([rows, metadata])
    order = by_rows(*rows.T)
    start, end, owner, in_baseline, in_patch, entry, number = (
        np.ascontiguousarray(column[order]) for column in rows.T
    )
    return Ownership(
        start=start, end=end, owner=owner, baseline=in_baseline, patch=in_patch, entry=entry, number=number
    )


_Row = tuple[int, int, int, int, int, int, int]


def _table(rows: Iterable[_Row]) -> Numbers:
    return np.array(list(rows), dtype=np.int64).reshape(-1, 7)


def _claimed(claims: Claims) -> Numbers:
    parts = []
    for owner, claimed in ((Owner.CODE, claims.code), (Owner.DATA, claims.data)):
        rows = claimed.astype(np.int64)
        part = np.zeros((len(rows), 7), dtype=np.int64)
        part[:, :2], part[:, 2], part[:, 3] = rows[:, :2], owner, rows[:, 2] - rows[:, 0]
        part[:, 5], part[:, 6] = NOWHERE, np.arange(len(rows))
        parts.append(part)
    return np.concatenate(parts)


def _carried(module: Module, delta: int) -> Iterable[_Row]:
    for number, function in enumerate(module.functions):
        entry = int(function.baseline[0].start) if function.baseline else NOWHERE
        for fixed, patch in zip(function.fixed, function.patch, strict=False):
            shift = patch.start + delta - fixed.start
            yield fixed.start, fixed.end, Owner.FUNCTION, 0, shift, entry, number
            entry = NOWHERE
    for number, datum in enumerate(module.data):
        shift = datum.patch.start + delta - datum.fixed.start
        yield datum.fixed.start, datum.fixed.end, Owner.DATUM, 0, shift, NOWHERE, number


def _left_out(module: Module) -> Numbers:
    """What is left out has a counterpart at the start of its ranges alone: inside, old and new differ."""
    tables = [np.zeros((0, 7), dtype=np.int64)]
    for number, item in enumerate(module.left_out):
        borders = np.array(item.fixed, dtype=np.int64).reshape(item.count, item.ranges, 2)
        table = np.zeros((item.count, item.ranges, 7), dtype=np.int64)
        table[..., :2], table[..., 2], table[..., 5] = borders, Owner.LEFT_OUT, NOWHERE
        table[..., 6] = number
        kept = np.array(item.baseline, dtype=np.int64).reshape(item.count, item.kept, 2)
        table[:, : item.kept, 5] = kept[..., 0]
        tables.append(table.reshape(-1, 7))
    return np.concatenate(tables)


def _metadata(
    claims: Claims,
    fixed: Image,
    tables: tuple[MetadataRuns, MetadataRuns],
    starts: Numbers,
    ends: Numbers,
) -> Iterable[_Row]:
    """The claimed metadata, cut at the borders of the loader tables; the n-th table of a class corresponds
    to the n-th of the same class. What begins at ``starts`` and ends at ``ends`` (both sorted) never becomes
    metadata."""
    there = _numbered(tables[1])
    here = sorted(_numbered(tables[0]).items(), key=lambda item: item[1])
    claimed = claims.metadata.astype(np.int64)
    reached = 0
    for key, extent in here:
        if key not in there:
            continue
        first = int(np.searchsorted(claimed[:, 1], extent.start, side="right"))
        last = int(np.searchsorted(claimed[:, 0], extent.end))
        for start, end in [(0, fixed.size_of_headers), *claimed[first:last].tolist()]:
            low, high = max(start, extent.start, reached), min(end, extent.end)
            # Disjoint runs: as many begin before ``high`` as end at or before ``low``, or one is in between.
            if low < high and np.searchsorted(starts, high) == np.searchsorted(ends, low, side="right"):
                yield low, high, Owner.METADATA, there[key].start - extent.start, 0, NOWHERE, 0
                reached = high


def _numbered(runs: MetadataRuns) -> dict[tuple[str, int], Interval]:
    """The loader's tables that code or data may name, by class and number within the class."""
    found: dict[tuple[str, int], Interval] = {}
    for kind, name in enumerate(CLASSES):
        rows = np.flatnonzero(runs.kinds == kind) if name not in _NEVER_REFERRED else ()
        for place, row in enumerate(rows):
            found[name, place] = Interval(int(runs.starts[row]), int(runs.ends[row]))
    return found


def import_slots(fixed: Image, baseline: Image) -> Slots:
    """The import slots of both images, numbered by what they import."""
    keys: dict[tuple[str, str, int | None, bool], int] = {}
    columns: list[Numbers] = []
    for image in (fixed, baseline):
        rows = [
            (
                int(item.slot),
                keys.setdefault((item.dll.lower(), item.name, item.ordinal, item.delay), len(keys)),
            )
            for item in imports(image)
        ]
        table = np.array(sorted(rows), dtype=np.int64).reshape(-1, 2)
        columns += [np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])]
    names = tuple(f"{library}!{name or ordinal}" for library, name, ordinal, _ in keys)
    return Slots(columns[0], columns[1], columns[2], columns[3], names)


def slot_of(slots: Numbers, keys: Numbers, addresses: Numbers) -> tuple[Numbers, Numbers]:
    """(number of the import whose slot holds the address, or NOWHERE; offset in the slot)."""
    if not len(slots):
        nothing = np.full(len(addresses), NOWHERE, dtype=np.int64)
        return nothing, nothing
    rows = np.searchsorted(slots, addresses, side="right") - 1
    offset = addresses - slots[rows]
    inside = (rows >= 0) & (offset < _SLOT)
    return np.where(inside, keys[rows], NOWHERE), np.where(inside, offset, NOWHERE)
