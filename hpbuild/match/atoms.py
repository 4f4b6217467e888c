"""Data cut into atoms: from one known address to the next.

Every address that code, data or symbols name begins an atom, so a reference always points at an atom's
first byte. What the loader owns (metadata) and code are no atoms; data inside executable sections is.
"""

from enum import IntEnum

import numpy as np

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.identification import identification
from hpbuild.code.model import I64, U8, FieldForm, Program
from hpbuild.dataclass import dataclass
from hpbuild.match.digests import Pieces, digests
from hpbuild.match.forms import rows_below
from hpbuild.match.masked import Masked
from hpbuild.match.vtables import table_heads
from hpbuild.pe.symbols import SymbolKind

_NEAR = 12
"""Addresses that differ only in so many of their lowest bits are near each other."""
_PLACE = 8
"""Bytes of the place of a field in what is hashed."""


class Memory(IntEnum):
    """What the loader makes of an atom's bytes."""

    RODATA = 0
    DATA = 1
    BSS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Atoms:
    """Columns over atoms, ascending. ``digest`` is a 64-bit digest of the content with every field
    zeroed and of the places and forms of the fields; ``first_field`` and ``last_field`` delimit the
    atom's rows in ``Program.fields``; ``heads`` are words that belong with the atom behind them, a virtual
    table; ``names`` by atom index, where a symbol or a data export begins; ``identification`` starts of
    texts that identify a compiler."""

    start: I64
    end: I64
    memory: U8
    section: I64
    digest: I64
    first_field: I64
    last_field: I64
    heads: np.ndarray[tuple[int], np.dtype[np.bool_]]
    names: dict[int, str]
    identification: frozenset[int]

    def __len__(self) -> int:
        return len(self.start)

    def at(self, rva: I64) -> I64:
        """Index of the atom that holds each address, -1 where none does."""
        if not len(self.start):
            return np.full(len(rva), -1, dtype=np.int64)
        index = np.searchsorted(self.start, rva, side="right") - 1
        inside = (index >= 0) & (rva < self.end[np.maximum(index, 0)])
        return np.where(inside, index, -1)

    def one(self, rva: int) -> int:
        """Index of the atom that holds ``rva``, or -1."""
        index = int(self.start.searchsorted(rva, side="right")) - 1
        return index if index >= 0 and rva < self.end[index] else -1


def cut_atoms(program: Program, masked: Masked) -> Atoms:
    """All atoms of a program."""
    starts, ends, sections = _data_runs(program)
    heads = table_heads(program)
    texts = identification(program.image)
    anchors = _anchors(program, (starts, ends), heads, np.array([run.start for run in texts], dtype=np.int64))
    owner = np.searchsorted(starts, anchors, side="right") - 1
    inside = (owner >= 0) & (anchors < ends[np.maximum(owner, 0)]) if len(starts) else np.zeros(0, dtype=bool)
    start, owner = anchors[inside], owner[inside]
    end = np.minimum(np.append(start[1:], ends[-1] if len(ends) else 0), ends[owner]) if len(start) else start
    section = sections[owner]
    first = np.searchsorted(program.fields.site, start)
    # Nearly all end where the next one begins.
    last = rows_below(program.fields.site, end, np.append(first[1:], len(program.fields)))
    return Atoms(
        start=start,
        end=end,
        memory=_memory(program, start, section),
        section=section,
        digest=_digests(program, masked, start, end, first, last),
        first_field=first,
        last_field=last,
        heads=among(start, heads[0]),
        names=_names(program, start),
        identification=frozenset(int(run.start) for run in texts),
    )


def _data_runs(program: Program) -> tuple[I64, I64, I64]:
    """Runs (start, end, section index) that are neither code nor filler in code nor loader structures."""
    fragments, padding = program.fragments, program.padding
    code = ~fragments.opaque
    loader = np.array([run[1:] for run in program.metadata], dtype=np.int64).reshape(-1, 2)
    start = np.concatenate([fragments.start[code], padding[:, 0], loader[:, 0]])
    end = np.concatenate([fragments.end[code], padding[:, 1], loader[:, 1]])
    order = np.lexsort((end, start))
    start, end, first = start[order], end[order], 0
    runs = []
    for number, section in enumerate(program.image.sections):
        stop = section.rva + section.virtual_size
        last = max(first, int(np.searchsorted(start, stop)))
        taken = np.maximum.accumulate(np.append(section.rva, end[first:last]))
        until = np.minimum(np.append(start[first:last], stop), stop)
        free = taken < until
        runs.append((taken[free], until[free], np.full(np.count_nonzero(free), number)))
        # What reaches beyond the section counts in the next one too.
        beyond = np.flatnonzero(end[first:last] > stop)
        first = first + int(beyond[0]) if len(beyond) else last
    none = np.zeros(0, dtype=np.int64)
    starts, ends, sections = (
        (np.concatenate([none, *columns]) for columns in zip(*runs, strict=True))
        if runs
        else (none, none, none)
    )
    return starts, ends, sections


def _anchors(program: Program, runs: tuple[I64, I64], heads: tuple[I64, ...], texts: I64) -> I64:
    """Every address that may begin an atom of the runs (start, end), ascending and distinct."""
    records = program.exceptions
    named = np.array(
        [s.rva for s in program.symbols.items if s.kind is SymbolKind.DATA]
        + [s.rva + s.size for s in program.symbols.items if s.kind is SymbolKind.DATA and s.size],
        dtype=np.int64,
    )
    opaque = program.fragments.start[program.fragments.opaque]
    sections = [s.rva + s.raw_size for s in program.image.sections if s.raw_size < s.virtual_size]
    exported = np.array([rva for rva, _ in program.exported_data], dtype=np.int64)
    parts = [
        *heads,
        program.references.target,
        program.fields.target,
        program.fields.origin,
        named,
        opaque,
        runs[0],
        exported,
        texts,
    ]
    parts += [records.starts, records.starts + records.sizes, np.array(sections, dtype=np.int64)]
    # Most name code. What has no data near is not sorted.
    near = np.zeros((program.image.size_of_image >> _NEAR) + 1, dtype=np.bool_)
    near[members(runs[0] >> _NEAR, (runs[1] - 1 >> _NEAR) + 1)] = True
    parts = [part.take(np.flatnonzero(near.take(part >> _NEAR, mode="clip"))) for part in parts]
    anchors = distinct(np.concatenate(parts))
    anchors = anchors[~_within_fields(program, anchors)]
    return distinct(np.concatenate([anchors, _aligned_behind(program, anchors)]))


def _aligned_behind(program: Program, anchors: I64) -> I64:
    """Aligned pointers in what begins at an address that is not aligned: they belong to another datum, which
    nothing names. (What holds a pointer is aligned as the pointer is.)"""
    site = program.fields.site[program.fields.form == FieldForm.ADDR64]
    nowhere = np.iinfo(np.int64).max
    odd = np.flatnonzero(anchors & 7)
    known = np.append(site, nowhere)[np.searchsorted(site, anchors[odd])]
    before_next = known < np.append(anchors[1:], nowhere)[odd]
    found: I64 = known[(known & 7 == 0) & before_next]
    return found


def _within_fields(program: Program, anchors: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Addresses inside a field: a reference may name one (code that folds the lowest case into an operand
    names what lies before its table), but no datum begins there."""
    fields = program.fields
    if not len(fields):
        return np.zeros(len(anchors), dtype=np.bool_)
    before = np.searchsorted(fields.site, anchors, side="left") - 1
    place = np.maximum(before, 0)
    width = np.where(fields.form[place] == FieldForm.ADDR64, 8, 4)
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = (before >= 0) & (
        anchors < fields.site[place] + width
    )
    return inside


def _memory(program: Program, start: I64, section: I64) -> U8:
    sections = program.image.sections
    writable = np.array([s.writable for s in sections], dtype=bool)[section]
    filled = np.array([s.rva + s.raw_size for s in sections], dtype=np.int64)[section]
    kind = np.where(start >= filled, Memory.BSS, Memory.DATA)
    return np.where(writable, kind, Memory.RODATA).astype(np.uint8)


def _digests(program: Program, masked: Masked, start: I64, end: I64, first: I64, last: I64) -> I64:
    fields = program.fields
    pieces = Pieces(
        start=start,
        end=end,
        first=first,
        last=last,
        sites=fields.site,
        marks=fields.form + np.uint8(1),
        tails=_tails(program, start, first, last),
        tail=_PLACE + 1,
    )
    return digests(masked, pieces)


def _tails(program: Program, start: I64, first: I64, last: I64) -> U8:
    """For each atom the places of its fields and then their forms."""
    fields, counts = program.fields, last - first
    held = members(first, last)
    before, count = np.repeat(first, counts), np.repeat(counts, counts)
    found = np.zeros(len(fields) * (_PLACE + 1) + _PLACE, dtype=np.uint8)
    places = np.ndarray(len(found) - _PLACE + 1, "<i8", found, 0, (1,))
    number = held - before
    places[before * (_PLACE + 1) + number * _PLACE] = fields.site[held] - np.repeat(start, counts)
    found[before * (_PLACE + 1) + count * _PLACE + number] = fields.form[held]
    return found


def _names(program: Program, start: I64) -> dict[int, str]:
    names: dict[int, str] = {}
    # A section's own symbol (".data") is at its first datum, and every object file has one.
    sections = {section.name for section in program.image.sections}
    symbols = [
        symbol
        for symbol in program.symbols.items
        if symbol.kind is SymbolKind.DATA and symbol.name not in sections
    ]
    places = np.searchsorted(start, np.array([symbol.rva for symbol in symbols], dtype=np.int64))
    for symbol, place in zip(symbols, places.tolist(), strict=True):
        if place < len(start) and start[place] == symbol.rva:
            names.setdefault(place, symbol.name)
    exported = np.searchsorted(start, np.array([rva for rva, _ in program.exported_data], dtype=np.int64))
    for (rva, name), place in zip(program.exported_data, exported.tolist(), strict=True):
        if place < len(start) and start[place] == rva:
            names.setdefault(place, name)
    return names
