"""From an image to a program: fragments, references, data fields, names."""

from array import array
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from hpbuild.code.boundaries import Layout, find_fragments
from hpbuild.code.decode import RefKind
from hpbuild.code.exceptions import read_record
from hpbuild.code.model import I64, DataFields, Exceptions, FieldForm, Fragments, Program, References
from hpbuild.code.rtti import locator_sites, throw_sites
from hpbuild.code.tables import relative_entries, relative_tables, rva_entries
from hpbuild.pe.exports import exports
from hpbuild.pe.image import Image
from hpbuild.pe.imports import imports
from hpbuild.pe.load_config import load_config
from hpbuild.pe.metadata import metadata_extents
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.symbols import SymbolKind, Symbols
from hpbuild.pe.tls import tls
from hpbuild.pe.unwind import RuntimeFunctions, primary_begins, runtime_functions

Tick = Callable[[int, int], None]
FieldRow = tuple[int, int, int, int]


def load_program(image: Image, symbols: Symbols, tick: Tick = lambda done, total: None) -> Program:
    """Analyse ``image``. Symbols are evidence for names and boundaries, never needed.

    Raises HpbuildError from the table readers of ``hpbuild.pe``.
    """
    rows = runtime_functions(image)
    metadata = tuple(
        (name, run.start, run.end) for name, run in metadata_extents(image) if name != "unwind-information"
    )
    code = executable_runs(image, metadata)
    names, exported = _names(image, symbols)
    sites = relocation_sites(image).astype(np.int64)
    pointers = _pointer_values(image, sites)
    starts = _starts(image, names, pointers)
    layout = find_fragments(image, rows, _roots(image, rows), code, starts, tick)
    fragments = _fragments(layout)
    references = _references(layout, fragments, sites, pointers)
    exceptions, unwind_fields = _exceptions(image, fragments)
    fields = _fields(image, layout, fragments, references, sites, pointers, unwind_fields)
    index = {start: number for number, start in enumerate(fragments.start.tolist())}
    return Program(
        image=image,
        symbols=symbols,
        fragments=fragments,
        references=references,
        fields=fields,
        exceptions=exceptions,
        names={index[rva]: name for rva, name in names.items() if rva in index},
        exported=tuple((index[rva], name) for rva, name in exported if rva in index),
        exported_data=tuple((rva, name) for rva, name in exported if rva not in index),
        slots={item.slot: _import_name(item.library, item.name, item.ordinal) for item in imports(image)},
        metadata=metadata,
        padding=np.array(layout.padding, dtype=np.int64).reshape(-1, 2),
    )


def _import_name(library: str, name: str, ordinal: int | None) -> str:
    return f"{library.lower()}!{name or f'#{ordinal}'}"


def executable_runs(image: Image, metadata: Iterable[tuple[str, int, int]]) -> list[tuple[int, int]]:
    """Disjoint runs of executable sections without loader structures, ascending. The tail of a section
    that the file does not fill is left out."""
    taken = sorted((start, end) for _, start, end in metadata)
    runs = []
    for section in image.sections:
        if not section.executable:
            continue
        at, stop = section.rva, section.rva + min(section.virtual_size, section.raw_size)
        for start, end in taken:
            if end <= at or start >= stop:
                continue
            if start > at:
                runs.append((at, start))
            at = max(at, end)
        if at < stop:
            runs.append((int(at), int(stop)))
    return runs


def _names(image: Image, symbols: Symbols) -> tuple[dict[int, str], list[tuple[int, str]]]:
    """One name for each function start (symbols before exports), and all exports as (RVA, name)."""
    exported = [
        (int(item.rva), item.name or f"#{item.ordinal}") for item in exports(image) if not item.forwarder
    ]
    names: dict[int, str] = {}
    for rva, name in exported:
        names.setdefault(rva, name)
    chosen: dict[int, str] = {}
    for symbol in symbols.items:
        if symbol.kind is SymbolKind.FUNCTION and not symbol.name.startswith("."):
            chosen.setdefault(symbol.rva, symbol.name)
    names.update(chosen)
    return names, exported


def _pointer_values(image: Image, sites: I64) -> I64:
    """RVAs stored at base relocation sites; values outside the image become -1."""
    if not len(sites):
        return np.zeros(0, dtype=np.int64)
    octets = image.memory[sites[:, None] + np.arange(8)]
    values = np.ascontiguousarray(octets).view("<u8")[:, 0] - np.uint64(image.image_base)
    inside = values < np.uint64(image.size_of_image + 1)
    return np.where(inside, values, np.uint64(0)).astype(np.int64) - (~inside).astype(np.int64)


def _starts(image: Image, names: dict[int, str], pointers: I64) -> set[int]:
    """Addresses that evidence outside of code calls a start."""
    starts = set(names)
    starts.update(pointers[pointers > 0].tolist())
    starts.add(image.entry_point)
    config = load_config(image)
    if config is not None:
        for table in (config.guard_functions, config.guard_iat, config.guard_longjump, config.guard_eh_cont):
            starts.update(table.tolist())
    local = tls(image)
    if local is not None:
        starts.update(local.callbacks)
    return starts


def _roots(image: Image, rows: RuntimeFunctions) -> dict[int, int]:
    """Begin of each chained row -> begin of the function it belongs to."""
    primary = primary_begins(image, rows)
    chained = np.flatnonzero(primary != rows.begin)
    return dict(zip(rows.begin[chained].tolist(), primary[chained].tolist(), strict=True))


def _fragments(layout: Layout) -> Fragments:
    pieces = [layout.pieces[start] for start in sorted(layout.pieces)]
    index = {piece.start: number for number, piece in enumerate(pieces)}
    return Fragments(
        start=np.array([piece.start for piece in pieces], dtype=np.int64),
        end=np.array([piece.end for piece in pieces], dtype=np.int64),
        root=np.array([index.get(piece.root, index[piece.start]) for piece in pieces], dtype=np.int64),
        unwind=np.array([piece.unwind for piece in pieces], dtype=np.int64),
        opaque=np.array([piece.opaque for piece in pieces], dtype=np.bool_),
        falls_through=np.array([piece.falls_through and not piece.opaque for piece in pieces], dtype=np.bool_),
    )


def _references(layout: Layout, fragments: Fragments, sites: I64, pointers: I64) -> References:
    """All references of code; base relocations inside decoded fragments count as ABSOLUTE."""
    parts = [layout.columns[start] for start in sorted(layout.columns)]
    site = _joined([part.site for part in parts])
    target = _joined([part.target for part in parts])
    meta = _joined([part.meta for part in parts])
    inside = _in_code(fragments, sites)
    extra = sites[inside]
    site = np.concatenate([site, extra])
    target = np.concatenate([target, pointers[inside]])
    meta = np.concatenate([meta, np.full(len(extra), RefKind.ABSOLUTE | 8 << 4, dtype=np.int64)])
    order = np.argsort(site, kind="stable")
    site, target, meta = site[order], target[order], meta[order]
    return References(
        site=site,
        target=target,
        kind=(meta & 15).astype(np.uint8),
        width=(meta >> 4 & 15).astype(np.uint8),
        trailing=(meta >> 8 & 15).astype(np.uint8),
        access=meta >> 12,
        fragment=np.searchsorted(fragments.start, site, side="right") - 1,
    )


def _joined(parts: "list[array[int]]") -> I64:
    if not parts:
        return np.zeros(0, dtype=np.int64)
    return np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])


_TRAILER = 12
"""Most bytes of stack-cookie data that can follow the language data of another handler."""


def _exceptions(image: Image, fragments: Fragments) -> tuple[Exceptions, list[FieldRow]]:
    records: dict[int, int] = {}
    unknown: set[int] = set()
    rows: list[FieldRow] = []
    funclets: set[int] = set()
    for unwind in sorted(set(fragments.unwind.tolist()) - {0}):
        record = read_record(image, unwind)
        if record is None:
            unknown.add(unwind)
            continue
        records[unwind] = record.size
        rows.extend((site, target, int(form), origin) for site, target, form, origin in record.fields)
        funclets.update(image.u32(site) for site in record.funclets)
        if not record.known:
            unknown.add(unwind)
    known = Exceptions(
        records=tuple(_with_trailers(records)),
        unknown=frozenset(unknown),
        funclets=frozenset(funclets & set(fragments.start.tolist())),
    )
    return known, rows


def _with_trailers(records: dict[int, int]) -> list[tuple[int, int]]:
    """Records ascending, each with the few bytes up to the next one: data of the stack-cookie handler that
    wraps another handler follows that handler's own."""
    ordered = sorted(records.items())
    following = [start for start, _ in [*ordered[1:], (0, 0)][: len(ordered)]]
    return [
        (start, after - start if start + size < after <= start + size + _TRAILER else size)
        for (start, size), after in zip(ordered, following, strict=True)
    ]


def _fields(
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
    for site, target in (*locator_sites(image), *throw_sites(image, taken)):
        rows[site] = (site, target, int(FieldForm.ADDR32NB), 0)
    known = np.array([at for row in rows.values() for at in row[:2]], dtype=np.int64)
    anchors = np.unique(
        np.concatenate([references.target, pointers, known, sites, fragments.start, fragments.unwind])
    )
    anchors_list: list[int] = anchors.tolist()
    bounds = _bounds(fragments)
    for table, (root, width) in layout.tables.items():
        if width == 4:
            stop = _next(anchors, anchors_list, table, image)
            targets = rva_entries(image, table, stop, bounds.get(root, []))
            rows.update({table + 4 * n: (table + 4 * n, t, int(FieldForm.ADDR32NB), 0) for n, t in enumerate(targets)})
    for start, end, opaque in zip(
        fragments.start.tolist(), fragments.end.tolist(), fragments.opaque.tolist(), strict=True
    ):
        if opaque:
            continue
        for table in sorted(relative_tables(image.read(start, end - start), start)):
            stop = _next(anchors, anchors_list, table, image)
            targets = relative_entries(image, table, stop)
            rows.update({table + 4 * n: (table + 4 * n, t, int(FieldForm.TABLE32), table) for n, t in enumerate(targets)})
    rows.update({s: (s, t, _ADDR64, 0) for s, t in zip(sites.tolist(), pointers.tolist(), strict=True)})
    table_rows = np.array(_disjoint([rows[site] for site in sorted(rows)]), dtype=np.int64).reshape(-1, 4)
    table_rows = table_rows[~_in_code(fragments, table_rows[:, 0])]
    return DataFields(
        site=table_rows[:, 0].copy(),
        target=table_rows[:, 1].copy(),
        form=table_rows[:, 2].astype(np.uint8),
        origin=table_rows[:, 3].copy(),
    )


_ADDR64 = int(FieldForm.ADDR64)


def _disjoint(rows: list[FieldRow]) -> list[FieldRow]:
    """``rows`` (ascending) without those that overlap another one; base relocations are never in doubt."""
    kept: list[FieldRow] = []
    for row in rows:
        while kept and kept[-1][2] != _ADDR64 == row[2] and kept[-1][0] + 4 > row[0]:
            kept.pop()
        if not kept or kept[-1][0] + (8 if kept[-1][2] == _ADDR64 else 4) <= row[0] or row[2] == _ADDR64:
            kept.append(row)
    return kept


def _in_code(fragments: Fragments, sites: I64) -> npt.NDArray[np.bool_]:
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
    for root, start, end in zip(roots.tolist(), fragments.start.tolist(), fragments.end.tolist(), strict=True):
        found.setdefault(root, []).append((start, end))
    return found


def _next(anchors: I64, listed: list[int], address: int, image: Image) -> int:
    """The next known address behind ``address``, at most the end of its section."""
    section = image.section_at(address)
    limit = section.rva + section.virtual_size if section else address
    index = int(np.searchsorted(anchors, address, side="right"))
    return min(listed[index], limit) if index < len(listed) else limit
