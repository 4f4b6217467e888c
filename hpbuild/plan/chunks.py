"""From the selection to chunks: bytes with fields that say what they refer to."""

from itertools import starmap

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64, FieldForm
from hpbuild.codes import plan as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side
from hpbuild.plan.model import Chunk, ChunkKind, Field, FieldKind, Target, UnwindEntry
from hpbuild.plan.numbering import Numbering
from hpbuild.plan.resolve import BASELINE, Asked, Bools, Resolver, Targets
from hpbuild.values import Interval

_KINDS = tuple(FieldKind)
_REL8, _REL32, _ADDR64, _ADDR32NB, _TABLE32 = (
    _KINDS.index(kind)
    for kind in (
        FieldKind.REL8, FieldKind.REL32, FieldKind.ADDR64, FieldKind.ADDR32NB, FieldKind.TABLE32
    )
)  # fmt: skip
_CODE_KINDS = np.full(len(RefKind), _REL32)
_CODE_KINDS[[RefKind.ABSOLUTE, RefKind.IMAGE_BASE]] = _ADDR64, _ADDR32NB
_FORMS = np.zeros(len(FieldForm), dtype=np.int64)
_FORMS[[FieldForm.ADDR64, FieldForm.ADDR32NB, FieldForm.TABLE32, FieldForm.END32NB]] = (
    _ADDR64, _ADDR32NB, _TABLE32, _ADDR32NB
)  # fmt: skip
_MEMORY = {
    int(Memory.RODATA): ChunkKind.RODATA,
    int(Memory.DATA): ChunkKind.DATA,
    int(Memory.BSS): ChunkKind.BSS,
}
_CODE_ALIGNMENT, _RECORD_ALIGNMENT = 16, 4
MAX_ALIGNMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRows:
    """The fields of all chunks in columns: those of chunk ``n`` are the rows ``[first[n], first[n + 1])``.
    ``kind`` is an index into ``FieldKind``; ``origin`` are what the rows ``tables`` count from."""

    first: I64
    offset: I64
    kind: I64
    trailing: I64
    target: Targets
    tables: I64
    origin: Targets


def chunk_name(side: Side, numbering: Numbering, chunk: int) -> str:
    """The name of a chunk."""
    if chunk < numbering.codes:
        return side.program.name_of(int(numbering.member[numbering.first[chunk]]))
    start = int(numbering.start[chunk])
    if chunk < numbering.codes + numbering.records:
        return f"unwind_{start:x}"
    return side.atoms.names.get(side.atoms.one(start)) or f"data_{start:x}"


def field_rows(side: Side, numbering: Numbering, resolver: Resolver) -> FieldRows:
    """Resolve every field of every chunk; what cannot be is a finding of ``resolver``."""
    _check_ends(side, numbering, resolver)
    code, data = _code_rows(side, numbering, resolver), _data_rows(side, numbering, resolver)
    counts = np.append(np.diff(code.first), np.diff(data.first))
    return FieldRows(
        first=np.append(0, np.cumsum(counts)),
        offset=np.append(code.offset, data.offset),
        kind=np.append(code.kind, data.kind),
        trailing=np.append(code.trailing, data.trailing),
        target=Targets(
            np.append(code.target.chunk, data.target.chunk), np.append(code.target.offset, data.target.offset)
        ),
        tables=data.tables + len(code.offset),
        origin=data.origin,
    )


def _check_ends(side: Side, numbering: Numbering, resolver: Resolver) -> None:
    """A finding for each run of code that control leaves behind its last byte."""
    fragments = side.program.fragments
    last = numbering.member[numbering.first[1:] - 1]
    for chunk in np.flatnonzero(fragments.falls_through[last]).tolist():
        name = chunk_name(side, numbering, chunk)
        cause = f"control runs on at {int(fragments.end[last[chunk]]):#x}"
        resolver.findings.setdefault((name, cause), Finding(codes.RUNS_ON, name, cause))


def _code_rows(side: Side, numbering: Numbering, resolver: Resolver) -> FieldRows:
    references = side.program.references
    low, high = side.first[numbering.member], side.last[numbering.member]
    rows = members(low, high)
    ends = np.append(0, np.cumsum(high - low))[numbering.first]
    chunk = np.repeat(np.arange(numbering.codes), np.diff(ends))
    kind, width = references.kind[rows], references.width[rows]
    site, target = references.site[rows].astype(np.int64), references.target[rows].astype(np.int64)

    def owner(row: int) -> str:
        return chunk_name(side, numbering, int(chunk[row]))

    for row in np.flatnonzero((kind == RefKind.IMAGE_BASE) & (side.targets.code[rows] >= 0)).tolist():
        resolver.refuse(owner(row), f"a table is read below its start at {int(site[row]):#x}")
    asked = Asked(places=side.targets, rows=rows, rva=target, control=kind <= RefKind.CALL)
    found = resolver.targets(asked, owner)
    for row in np.flatnonzero((width == 1) & (found.chunk != chunk)).tolist():
        cause = f"short jump at {int(site[row]):#x} to {int(target[row]):#x}"
        resolver.findings.setdefault((owner(row), cause), Finding(codes.SHORT_JUMP, owner(row), cause))
    kinds = _CODE_KINDS[kind]
    relative = kinds == _REL32  # counted from the end of the instruction
    kinds[relative & (width == 1)] = _REL8
    return FieldRows(
        first=ends,
        offset=site - numbering.start[chunk],
        kind=kinds,
        trailing=np.where(relative, references.trailing[rows], 0),
        target=found,
        tables=rows[:0],
        origin=Targets(rows[:0], rows[:0]),
    )


def _data_rows(side: Side, numbering: Numbering, resolver: Resolver) -> FieldRows:
    """Those of the unwind records and objects."""
    fields, before = side.program.fields, numbering.codes
    low = fields.site.searchsorted(numbering.start[before:].astype(fields.site.dtype))
    high = fields.site.searchsorted(numbering.end[before:].astype(fields.site.dtype))
    rows = members(low, high)
    chunk = np.repeat(np.arange(before, len(numbering.start)), high - low)
    form, code = fields.form[rows], side.pointers.code[rows]

    def owner(row: int) -> str:
        number = int(chunk[row])
        if number < before + numbering.records:
            return f"unwind record at {int(numbering.start[number]):#x}"
        return chunk_name(side, numbering, number)

    # Fields of unwind records and jump tables follow the code; pointers keep identity.
    follows: Bools = (form == FieldForm.END32NB) | (form == FieldForm.TABLE32)
    follows |= (form == FieldForm.ADDR32NB) & (code >= 0) & (numbering.fragment_chunk[code] >= 0)
    tables = np.flatnonzero(form == FieldForm.TABLE32)
    origin = fields.origin[rows[tables]].astype(np.int64)
    straight = np.zeros(len(tables), dtype=np.bool_)
    origins = resolver.targets(
        Asked(places=side.origins, rows=rows[tables], rva=origin, control=straight),
        lambda row: owner(int(tables[row])),
    )
    rva = fields.target[rows].astype(np.int64)
    return FieldRows(
        first=np.append(0, np.cumsum(high - low)),
        offset=fields.site[rows].astype(np.int64) - numbering.start[chunk],
        kind=_FORMS[form],
        trailing=np.zeros(len(rows), dtype=np.int64),
        target=resolver.targets(Asked(places=side.pointers, rows=rows, rva=rva, control=follows), owner),
        tables=tables,
        origin=origins,
    )


def chunks(side: Side, numbering: Numbering, rows: FieldRows) -> tuple[Chunk, ...]:
    """All chunks, in the order of their numbers."""
    fields, first = _fields(rows), rows.first.tolist()
    made = []
    starts, ends = numbering.start.tolist(), numbering.end.tolist()
    records, objects = numbering.codes, numbering.codes + numbering.records
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if number < records:
            kind, alignment = ChunkKind.CODE, _CODE_ALIGNMENT
        elif number < objects:
            kind, alignment = ChunkKind.UNWIND, _RECORD_ALIGNMENT
        else:
            kind = _MEMORY[int(side.atoms.memory[side.atoms.one(start)])]
            alignment = min(MAX_ALIGNMENT, start & -start)
        made.append(
            Chunk(
                kind=kind,
                name=chunk_name(side, numbering, number),
                source=Interval(start, end),
                size=end - start,
                content=b"" if kind is ChunkKind.BSS else side.program.image.read(start, end - start),
                alignment=alignment,
                fields=tuple(fields[first[number] : first[number + 1]]),
            )
        )
    return tuple(made)


def _fields(rows: FieldRows) -> list[Field]:
    kinds = [_KINDS[kind] for kind in rows.kind.tolist()]
    columns = rows.offset.tolist(), kinds, _targets(rows.target), rows.trailing.tolist()
    found = list(starmap(Field, zip(*columns, strict=True)))
    for row, origin in zip(rows.tables.tolist(), _targets(rows.origin), strict=True):
        plain = found[row]
        found[row] = Field(plain.offset, plain.kind, plain.target, plain.trailing, origin)
    return found


def _targets(rows: Targets) -> list[Target]:
    """The targets, each made once."""
    known: dict[tuple[int, int], Target] = {}
    found = []
    for key in zip(rows.chunk.tolist(), rows.offset.tolist(), strict=True):
        target = known.get(key)
        if target is None:
            chunk, offset = key
            target = known[key] = Target(None if chunk == BASELINE else chunk, offset)
        found.append(target)
    return found


def unwind_entries(side: Side, numbering: Numbering) -> tuple[UnwindEntry, ...]:
    """The future rows of the exception directory."""
    fragments = side.program.fragments
    member = numbering.member
    chunk = np.repeat(np.arange(numbering.codes), np.diff(numbering.first))
    unwind = fragments.unwind[member]
    home = side.atoms.at(unwind)
    held = np.append(numbering.atom_chunk, -1)[home]
    rows = np.flatnonzero((unwind != 0) & (held >= 0))
    member, chunk, home = member[rows], chunk[rows], home[rows]
    columns = (
        chunk,
        fragments.start[member] - numbering.start[chunk],
        fragments.end[member] - numbering.start[chunk],
        held[rows],
        numbering.atom_offset[home],
    )
    return tuple(
        UnwindEntry(code, begin, end, Target(number, offset))
        for code, begin, end, number, offset in zip(*(column.tolist() for column in columns), strict=True)
    )
