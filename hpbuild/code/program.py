"""From an image to a program: fragments, references, data fields, names."""

from collections.abc import Iterable

import numpy as np

from hpbuild.code.boundaries import find_fragments
from hpbuild.code.columns import among, distinct
from hpbuild.code.decode import KIND_MASK, RefKind
from hpbuild.code.fields import data_fields, in_code
from hpbuild.code.layout import Layout
from hpbuild.code.model import I64, Fragments, Program, References
from hpbuild.code.pieces import Columns
from hpbuild.code.rtti import thrown_functions
from hpbuild.code.scanned import Scanned
from hpbuild.code.scanning import Tick, scan_runs
from hpbuild.code.survey import Survey, survey
from hpbuild.code.unwind_records import Records, read_records, unwind_records
from hpbuild.dataclass import dataclass
from hpbuild.pe.access import values_at
from hpbuild.pe.exports import export_rows
from hpbuild.pe.image import Image
from hpbuild.pe.imports import imports
from hpbuild.pe.load_config import load_config
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.symbols import SymbolKind, Symbols
from hpbuild.pe.tls import tls
from hpbuild.pe.unwind import primary_begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What an image and its symbols tell of its code before any of it is looked at: ``names`` and exports as
    (RVA, name), the sites of base relocations and the RVAs there, the unwind records, the addresses that are
    a start, what imported slots hold."""

    surveyed: Survey
    symbols: Symbols
    names: dict[int, str]
    exported: list[tuple[int, str]]
    sites: I64
    pointers: I64
    records: Records
    starts: I64
    slots: dict[int, str]


def load_program(image: Image, symbols: Symbols, tick: Tick = lambda done, total: None) -> Program:
    """Analyse ``image``. Symbols are evidence for names and boundaries, never needed.

    Raises HpbuildError from the table readers of ``hpbuild.pe``.
    """
    surveyed = survey(image)
    scanned = scan_runs(image, surveyed.rows.start, surveyed.rows.end, tick)
    return analyse(outside_of_code(surveyed, symbols), scanned)


def outside_of_code(surveyed: Survey, symbols: Symbols) -> Outside:
    """The first half of ``load_program``, for which nothing is decoded. Raises as that."""
    image = surveyed.image
    names, exported = _names(image, symbols)
    sites = relocation_sites(image).astype(np.int64)
    pointers = _pointer_values(image, sites)
    records = read_records(image, surveyed.table)
    return Outside(
        surveyed=surveyed,
        symbols=symbols,
        names=names,
        exported=exported,
        sites=sites,
        pointers=pointers,
        records=records,
        starts=distinct(np.concatenate(_starts(image, names, pointers, records.code()))),
        slots={item.slot: _import_name(item.dll, item.name, item.ordinal) for item in imports(image)},
    )


def analyse(outside: Outside, scanned: Scanned) -> Program:
    """The program of an image, ``scanned`` being what was found in its unwind rows. Raises as
    ``load_program``."""
    surveyed, sites, pointers, records = outside.surveyed, outside.sites, outside.pointers, outside.records
    image = surveyed.image
    layout = find_fragments(surveyed, scanned, _roots(surveyed), outside.starts)
    table = layout.table()
    fragments = _fragments(table)
    references = _references(layout, table.last - table.first, fragments, sites, pointers)
    index = _fragment_numbers(fragments, outside.names)
    return Program(
        image=image,
        symbols=outside.symbols,
        fragments=fragments,
        references=references,
        fields=data_fields(image, layout, fragments, references, sites, pointers, records.fields),
        exceptions=unwind_records(records, fragments),
        names={index[rva]: name for rva, name in outside.names.items() if rva in index},
        exported=tuple((index[rva], name) for rva, name in outside.exported if rva in index),
        exported_data=tuple((rva, name) for rva, name in outside.exported if rva not in index),
        slots=outside.slots,
        metadata=surveyed.metadata,
        padding=layout.padding,
    )


def _fragment_numbers(fragments: Fragments, rvas: Iterable[int]) -> dict[int, int]:
    """RVA -> number of the fragment that begins there, of those of ``rvas`` where one does."""
    wanted = distinct(np.fromiter(rvas, dtype=np.int64))
    wanted = wanted[among(wanted, fragments.start)]
    return dict(zip(wanted.tolist(), np.searchsorted(fragments.start, wanted).tolist(), strict=True))


def _import_name(library: str, name: str, ordinal: int | None) -> str:
    return f"{library.lower()}!{name or f'#{ordinal}'}"


def _names(image: Image, symbols: Symbols) -> tuple[dict[int, str], list[tuple[int, str]]]:
    """One name for each function start (symbols before exports), and all exports as (RVA, name)."""
    rows = export_rows(image)
    exported = [(int(rva), name or f"#{ordinal}") for name, ordinal, rva, forwarder in rows if not forwarder]
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
    values = values_at(image, sites, "<u8") - np.uint64(image.image_base)
    inside = values < np.uint64(image.size_of_image + 1)
    return np.where(inside, values, np.uint64(0)).astype(np.int64) - (~inside).astype(np.int64)


def _starts(image: Image, names: dict[int, str], pointers: I64, records: I64) -> list[I64]:
    """Addresses that evidence outside of code calls a start; ``records`` are those of the unwind records."""
    config, local = load_config(image), tls(image)
    single = [*names, image.entry_point, *thrown_functions(image), *(local.callbacks if local else ())]
    starts = [np.array(single, dtype=np.int64), pointers[pointers > 0], records]
    if config is not None:
        tables = (config.guard_functions, config.guard_iat, config.guard_longjump, config.guard_eh_cont)
        starts += [table.astype(np.int64) for table in tables]
    return starts


def _roots(surveyed: Survey) -> I64:
    """For each unwind row the begin of the function it belongs to."""
    primary = primary_begins(surveyed.image, surveyed.table).astype(np.int64)
    if len(surveyed.rows) == len(primary):
        return primary
    found: I64 = primary[np.searchsorted(surveyed.table.begin, surveyed.rows.start)]
    return found


def _fragments(table: Columns) -> Fragments:
    root = np.arange(len(table))
    others = np.flatnonzero(table.root != table.start)
    place = np.minimum(np.searchsorted(table.start, table.root[others]), len(table) - 1)
    known = table.start[place] == table.root[others]
    root[others[known]] = place[known]
    return Fragments(
        start=table.start,
        end=table.end,
        root=root,
        unwind=table.unwind,
        opaque=table.opaque,
        falls_through=table.falls_through & ~table.opaque,
    )


def _references(layout: Layout, counts: I64, fragments: Fragments, sites: I64, pointers: I64) -> References:
    """All references of code; base relocations inside decoded fragments count as ABSOLUTE. ``counts`` tells
    how many of each fragment were found when it was scanned."""
    inside = np.flatnonzero(in_code(fragments, sites))
    none = np.zeros(len(inside), dtype=np.uint32)
    relocated = sites[inside].astype(np.uint32), none, none + (RefKind.ABSOLUTE | 8 << 4)
    found, known = layout.references(others=relocated), int(counts.sum())
    owner = np.searchsorted(fragments.start, found[0, known:], side="right") - 1
    counts = counts + np.bincount(owner, minlength=len(counts))
    order = np.argsort(found[0], kind="stable")
    site, target, meta = (column.take(order) for column in found)
    del found, order  # the columns to come have room there
    kind = (meta & KIND_MASK).astype(np.uint8)
    target = target.astype(np.int64)
    target[kind == RefKind.ABSOLUTE] = pointers[inside]  # one that leaves the image is -1
    return References(
        site=site.astype(np.int64),
        target=target,
        kind=kind,
        width=(meta >> 4 & 15).astype(np.uint8),
        trailing=(meta >> 8 & 15).astype(np.uint8),
        access=(meta >> 12).astype(np.uint16),
        fragment=np.repeat(np.arange(len(fragments)), counts),
    )
