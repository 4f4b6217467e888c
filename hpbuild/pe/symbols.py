"""Symbols of an image: functions and data with their names, from a PDB or from the COFF symbol table.

Symbols are evidence, never needed: with none of them everything works from the image alone. Export names
are not symbols.
"""

from bisect import bisect_right
from pathlib import Path, PurePath
from typing import NamedTuple

from hpbuild.errors import HpbuildError
from hpbuild.pe.coff_symbols import coff_symbols, has_coff_symbols
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.file import AUTO, NONE, Pdb, find_pdb
from hpbuild.pe.pdb.reader import PdbSymbols, Placed, read_symbols
from hpbuild.pe.pdb.records import (
    LOCAL_SCOPE,
    PUBLIC_IS_CODE,
    S_GDATA32,
    S_LDATA32,
    S_TRAMPOLINE,
)
from hpbuild.pe.symbol_model import Symbol, SymbolKind, Symbols, SymbolScope
from hpbuild.values import Rva

__all__ = [
    "Symbol",
    "SymbolKind",
    "SymbolScope",
    "Symbols",
    "image_symbols",
    "joined_symbols",
    "load_symbols",
]


def load_symbols(image: Image, path: Path | None, choice: str = AUTO) -> Symbols:
    """Symbols of ``image``, which was read from ``path`` (None: not from a file, no PDB is looked for).

    ``choice`` is 'auto', 'none' or the path of a PDB. 'auto' takes the PDB next to the image (same stem, or
    the file name in the debug directory) when it is of this build, else the COFF symbol table, else none;
    a symbol source that cannot be used is told in ``Symbols.note``. A PDB by path must do: HpbuildError
    SYMBOL_FILE_UNREADABLE, PDB_MISMATCH, PDB_LIMIT or the codes of ``read_symbols``. A damaged debug
    directory refuses in any case, as in ``debug_info``.
    """
    pdb, note = find_pdb(image, path, choice)
    return image_symbols(image, pdb, choice, note)


def image_symbols(image: Image, pdb: Pdb | None, choice: str, note: str) -> Symbols:
    """The same for a PDB that is open already; ``note`` says what ``find_pdb`` did not use."""
    if choice == NONE:
        return Symbols(source=NONE, items=())
    notes = [note] if note else []
    if pdb is not None:
        try:
            return Symbols(source="pdb", items=joined_symbols(image, read_symbols(pdb)), note=note)
        except HpbuildError as error:
            if choice != AUTO:
                raise
            notes.append(f"{PurePath(pdb.msf.name).name} was not used: {error.finding.cause}")
    if has_coff_symbols(image):
        try:
            return Symbols(source="coff", items=coff_symbols(image), note="; ".join(notes))
        except HpbuildError as error:
            notes.append(f"the symbol table was not used: {error.finding.cause}")
    return Symbols(source=NONE, items=(), note="; ".join(notes))


class _Row(NamedTuple):
    """A symbol in the making: its fields in the order symbols are sorted by. ``kind`` and ``scope`` are the
    words of ``SymbolKind`` and ``SymbolScope``."""

    rva: int
    name: str
    linkage_name: str
    kind: str
    scope: str
    file: str
    size: int


_KINDS = {kind.value: kind for kind in SymbolKind}
_SCOPES = {scope.value: scope for scope in SymbolScope}
_DATA, _FUNCTION = SymbolKind.DATA.value, SymbolKind.FUNCTION.value
_LOCAL, _GLOBAL = SymbolScope.LOCAL.value, SymbolScope.GLOBAL.value


def joined_symbols(image: Image, pdb: PdbSymbols) -> tuple[Symbol, ...]:
    """The symbols of a PDB as one list: the object files' records with the public names as linkage names."""
    publics: dict[int, list[Placed]] = {}
    for placed in pdb.publics:
        publics.setdefault(placed.rva, []).append(placed)
    own: dict[int, list[_Row]] = {}
    full_names = _full_names(pdb)
    for placed in pdb.placed:
        if placed.record.kind != S_TRAMPOLINE:
            row = _row(placed)
            name = full_names.get((row.file, row.name, row.rva))
            own.setdefault(placed.rva, []).append(row._replace(name=name) if name else row)
    found: list[_Row] = []
    for rva, rows in own.items():
        here = publics.get(rva)
        if here is None and len(rows) == 1:
            found += rows
        else:
            found += _joined(image, rows, here or [])
    for rva, here in publics.items():
        if rva not in own:
            found += _joined(image, [], here)
    found += _trampolines(pdb, found)
    sized = _with_extents(sorted(set(found)), pdb.contributions)
    return tuple(
        Symbol(
            rva=Rva(rva),
            size=size,
            name=name,
            kind=_KINDS[kind],
            scope=_SCOPES[scope],
            file=file,
            linkage_name=linkage_name,
        )
        for rva, name, linkage_name, kind, scope, file, size in sized
    )


def _row(placed: Placed) -> _Row:
    rva, record, file = placed
    kind = _DATA if record.kind in (S_LDATA32, S_GDATA32) else _FUNCTION
    scope = _LOCAL if record.kind in LOCAL_SCOPE else _GLOBAL
    return _Row(rva, record.name, "", kind, scope, file, record.size)


def _full_names(pdb: PdbSymbols) -> dict[tuple[str, str, int], str]:
    """``function.variable`` for variables of functions, by file, name and RVA, where one file has several of
    one name. One that lies in the scope of several functions belongs to one that was inlined in them: which
    one is not told, and it keeps its name."""
    owners: dict[tuple[str, str], dict[int, set[str]]] = {}
    for rva, record, file in pdb.placed:
        if record.procedure:
            owners.setdefault((file, record.name), {}).setdefault(rva, set()).add(record.procedure)
    return {
        (file, name, rva): f"{min(functions)}.{name}"
        for (file, name), places in owners.items()
        if len(places) > 1
        for rva, functions in places.items()
        if len(functions) == 1
    }


def _joined(image: Image, own: list[_Row], publics: list[Placed]) -> list[_Row]:
    """Symbols of one address. A public name is the linkage name of the record of the same name, or of the
    only global record left; public names that fit none (aliases, folded functions) stay on their own."""
    rest = {placed.record.name: placed for placed in publics}
    own = list(dict.fromkeys(own))
    names = {row.name for row in own} & rest.keys()
    result = [row._replace(linkage_name=row.name) if row.name in names else row for row in own]
    for name in names:
        del rest[name]
    unnamed = [number for number, row in enumerate(result) if row.scope == _GLOBAL and not row.linkage_name]
    if len(unnamed) == 1 and rest:
        first = min(rest)
        result[unnamed[0]] = result[unnamed[0]]._replace(linkage_name=first)
        del rest[first]
    size = max((row.size for row in own), default=0)
    for name, placed in rest.items():
        code = bool(placed.record.flags & PUBLIC_IS_CODE)
        if not code:
            section = image.section_at(placed.rva)
            code = section is not None and section.executable
        result.append(_Row(placed.rva, name, name, _FUNCTION if code else _DATA, _GLOBAL, "", size))
    return result


def _trampolines(pdb: PdbSymbols, found: list[_Row]) -> list[_Row]:
    """Incremental-link thunks, named ``ilt:`` and the function they jump to; nameless goals are left out."""
    goals = set(pdb.thunk_targets.values())
    names = {row.rva: row for row in sorted(row for row in found if row.rva in goals)}
    thunks = []
    for placed in pdb.placed:
        target = names.get(pdb.thunk_targets.get(placed.rva, -1))
        if placed.record.kind == S_TRAMPOLINE and target is not None:
            name = f"ilt:{target.linkage_name or target.name}"
            thunks.append(_row(placed)._replace(name=name, file=target.file, scope=_LOCAL))
    return thunks


def _with_extents(found: list[_Row], contributions: dict[int, int]) -> list[_Row]:
    """Data without a size gets that of the linker's contribution it starts, when it is alone in there.
    ``found`` is ascending and stays so: no two symbols differ in their size alone."""
    addresses = [row.rva for row in found]
    sized = []
    for row in found:
        if row.kind == _DATA and not row.size:
            size = contributions.get(row.rva, 0)
            if size:
                after = bisect_right(addresses, row.rva)
                if after == len(addresses) or addresses[after] >= row.rva + size:
                    row = row._replace(size=size)
        sized.append(row)
    return sized
