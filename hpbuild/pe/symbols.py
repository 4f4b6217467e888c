"""Symbols of an image: functions and data with their names, from a PDB or from the COFF symbol table.

Symbols are evidence, never needed: with none of them everything works from the image alone. Export names
are not symbols.
"""

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hpbuild.codes.pe_identity import PDB_LIMIT, PDB_MISMATCH, SYMBOL_FILE_UNREADABLE
from hpbuild.errors import HpbuildError
from hpbuild.pe.coff_symbols import coff_symbols, has_coff_symbols
from hpbuild.pe.debug import CodeView, debug_info
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.msf import MAX_FILE_SIZE
from hpbuild.pe.pdb.reader import PdbSymbols, Placed, read_pdb
from hpbuild.pe.pdb.records import (
    LOCAL_SCOPE,
    PUBLIC_IS_CODE,
    S_GDATA32,
    S_LDATA32,
    S_TRAMPOLINE,
)
from hpbuild.pe.symbol_model import Symbol, SymbolKind, Symbols, SymbolScope, sorted_symbols
from hpbuild.values import Rva

__all__ = ["Symbol", "SymbolKind", "SymbolScope", "Symbols", "joined_symbols", "load_symbols"]

AUTO, NONE = "auto", "none"


def load_symbols(image: Image, path: Path | None, choice: str = AUTO) -> Symbols:
    """Symbols of ``image``, which was read from ``path`` (None: not from a file, no PDB is looked for).

    ``choice`` is 'auto', 'none' or the path of a PDB. 'auto' takes the PDB next to the image (same stem, or
    the file name in the debug directory) when it is of this build, else the COFF symbol table, else none;
    a symbol source that cannot be used is told in ``Symbols.note``. A PDB by path must do: HpbuildError
    SYMBOL_FILE_UNREADABLE, PDB_MISMATCH, PDB_LIMIT or the codes of ``read_pdb``. A damaged debug directory
    refuses in any case, as in ``debug_info``.
    """
    if choice == NONE:
        return Symbols(source=NONE, items=())
    codeview = debug_info(image).codeview
    if choice != AUTO:
        return _from_pdb(image, codeview, Path(choice))
    notes = []
    for candidate in _candidates(path, codeview):
        try:
            return _from_pdb(image, codeview, candidate)
        except HpbuildError as error:
            notes.append(f"{candidate.name} was not used: {error.finding.cause}")
    if has_coff_symbols(image):
        try:
            return Symbols(source="coff", items=coff_symbols(image), note="; ".join(notes))
        except HpbuildError as error:
            notes.append(f"the symbol table was not used: {error.finding.cause}")
    return Symbols(source=NONE, items=(), note="; ".join(notes))


def _candidates(path: Path | None, codeview: CodeView | None) -> list[Path]:
    """PDB files next to the image that exist, the one of the same stem first."""
    if path is None or codeview is None:
        return []
    names = [path.stem + ".pdb"]
    recorded = PurePosixPath(codeview.path.replace("\\", "/").replace(":", "/")).name
    if recorded.lower().endswith(".pdb") and "\0" not in recorded:
        names.append(recorded)
    return [path.parent / name for name in dict.fromkeys(names) if (path.parent / name).is_file()]


def _from_pdb(image: Image, codeview: CodeView | None, file: Path) -> Symbols:
    if codeview is None:
        raise HpbuildError(PDB_MISMATCH, str(file), "the image names no PDB in its debug directory")
    try:
        size = file.stat().st_size
        if size > MAX_FILE_SIZE:
            raise HpbuildError(PDB_LIMIT, str(file), f"{size} bytes, the limit is {MAX_FILE_SIZE}")
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        raise HpbuildError(SYMBOL_FILE_UNREADABLE, str(file), str(error)) from error
    pdb = read_pdb(data, str(file), image, codeview.guid, codeview.age)
    return Symbols(source="pdb", items=joined_symbols(image, pdb))


def joined_symbols(image: Image, pdb: PdbSymbols) -> tuple[Symbol, ...]:
    """The symbols of a PDB as one list: the object files' records with the public names as linkage names."""
    publics: dict[int, dict[str, Placed]] = defaultdict(dict)
    for placed in pdb.publics:
        publics[placed.rva][placed.record.name] = placed
    own: dict[int, set[Symbol]] = defaultdict(set)
    for placed in pdb.placed:
        if placed.record.kind != S_TRAMPOLINE:
            own[placed.rva].add(_symbol(placed))
    found: set[Symbol] = set()
    for rva in own.keys() | publics.keys():
        found |= _joined(image, own.get(rva, set()), publics.get(rva, {}))
    found |= _trampolines(pdb, found)
    return sorted_symbols(_with_extents(found, pdb.contributions))


def _symbol(placed: Placed) -> Symbol:
    record = placed.record
    data = record.kind in (S_LDATA32, S_GDATA32)
    return Symbol(
        rva=Rva(placed.rva),
        size=record.size,
        name=record.name,
        kind=SymbolKind.DATA if data else SymbolKind.FUNCTION,
        scope=SymbolScope.LOCAL if record.kind in LOCAL_SCOPE else SymbolScope.GLOBAL,
        file=placed.file,
    )


def _joined(image: Image, own: set[Symbol], publics: dict[str, Placed]) -> set[Symbol]:
    """Symbols of one address. A public name is the linkage name of the record of the same name, or of the
    only global record left; public names that fit none (aliases, folded functions) stay on their own."""
    rest = dict(publics)
    joined = {replace(symbol, linkage_name=symbol.name) for symbol in own if rest.pop(symbol.name, None)}
    joined_names = {symbol.name for symbol in joined}
    others = {symbol for symbol in own if symbol.name not in joined_names}
    unnamed = [symbol for symbol in others if symbol.scope is SymbolScope.GLOBAL]
    if len(unnamed) == 1 and rest:
        others.remove(unnamed[0])
        first = min(rest)
        others.add(replace(unnamed[0], linkage_name=first))
        del rest[first]
    size = max((symbol.size for symbol in own), default=0)
    for name, placed in rest.items():
        section = image.section_at(placed.rva)
        code = bool(placed.record.flags & PUBLIC_IS_CODE) or (section is not None and section.executable)
        others.add(
            Symbol(
                rva=Rva(placed.rva),
                size=size,
                name=name,
                kind=SymbolKind.FUNCTION if code else SymbolKind.DATA,
                scope=SymbolScope.GLOBAL,
                file="",
                linkage_name=name,
            )
        )
    return joined | others


def _trampolines(pdb: PdbSymbols, found: set[Symbol]) -> set[Symbol]:
    """Incremental-link thunks, named ``ilt:`` and the function they jump to; nameless goals are left out."""
    goals = set(pdb.thunk_targets.values())
    names = {symbol.rva: symbol for symbol in sorted_symbols({s for s in found if s.rva in goals})}
    thunks = set()
    for placed in pdb.placed:
        target = names.get(Rva(pdb.thunk_targets.get(placed.rva, -1)))
        if placed.record.kind == S_TRAMPOLINE and target is not None:
            name = f"ilt:{target.linkage_name or target.name}"
            thunks.add(replace(_symbol(placed), name=name, file=target.file, scope=SymbolScope.LOCAL))
    return thunks


def _with_extents(found: set[Symbol], contributions: dict[int, int]) -> set[Symbol]:
    """Data without a size gets that of the linker's contribution it starts, when it is alone in there."""
    addresses = sorted({symbol.rva for symbol in found})
    sized = set()
    for symbol in found:
        size = contributions.get(symbol.rva, 0)
        if symbol.kind is SymbolKind.DATA and not symbol.size and size:
            after = bisect_right(addresses, symbol.rva)
            if after == len(addresses) or addresses[after] >= symbol.rva + size:
                symbol = replace(symbol, size=size)
        sized.add(symbol)
    return sized
