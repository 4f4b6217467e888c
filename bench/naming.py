"""The names of one image by address, from its PDB or symbol table: for scoring only, never for matching.

Truth names are those of object files. A PDB shows C++ functions as people write them and adds the linker's
name where it knows one; of the static ones it tells the written name alone.
"""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.truth import Entry
from hpbuild.pe.reader import read_image
from hpbuild.pe.symbols import Symbol, SymbolKind, SymbolScope, load_symbols
from hpbuild.values import Interval

Key = tuple[str, str]
"""A name and, of a local symbol, its file: what is one thing on both sides."""

POINTER = ".refptr."
"""What mingw puts before a variable's name to name the constant that holds its address."""
_SHORTEST = 8
"""Characters that a file name in a symbol table must have to stand for a longer one (names are cut there)."""
_TEMPLATE = re.compile(r"<[^<>]*>")
_SEPARATOR = re.compile(r"[^0-9A-Za-z]+")
_OBJECT = re.compile(r"\.(?:o|obj)$")


class Names:
    """Functions and data of one image by address and by name."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self._at: dict[SymbolKind, dict[int, set[str]]] = {kind: defaultdict(set) for kind in SymbolKind}
        self._by_name: dict[SymbolKind, dict[str, list[Symbol]]] = {
            kind: defaultdict(list) for kind in SymbolKind
        }
        for symbol in symbols:
            names = {symbol.name, symbol.linkage_name} - {""}
            if _section(symbol.name):
                continue
            self._at[symbol.kind][symbol.rva] |= names
            for name in names | {_written(symbol.name)}:
                self._by_name[symbol.kind][name].append(symbol)
        self._keys: dict[int, set[Key]] = defaultdict(set)
        for symbol in symbols:
            if not _section(symbol.name):
                self._keys[int(symbol.rva)].add(_key(symbol))
        self._all_keys = frozenset[Key]().union(*self._keys.values())
        self._addresses = sorted(self._at[SymbolKind.DATA])

    def functions_at(self, rva: int) -> frozenset[str]:
        """Names of the function that begins at *rva*."""
        return frozenset(self._at[SymbolKind.FUNCTION].get(rva, ()))

    def data_within(self, start: int, end: int) -> frozenset[str]:
        """Names of variables and named constants that begin in ``[start, end)``. A constant's section that
        is named for a function holds unnamed constants of that function."""
        low, high = bisect_left(self._addresses, start), bisect_left(self._addresses, end)
        found = {name for rva in self._addresses[low:high] for name in self._at[SymbolKind.DATA][rva]}
        return frozenset(name for name in found if name not in self._by_name[SymbolKind.FUNCTION])

    def data_at(self, rva: int) -> frozenset[str]:
        """Names of the variable or constant that *rva* lies in: that begins there, or whose symbol says that
        it is as long."""
        index = bisect_right(self._addresses, rva)
        if not index:
            return frozenset()
        start = self._addresses[index - 1]
        return frozenset(
            name for name in self.data_within(start, start + 1) if self._reaches(name, start, rva)
        )

    def _reaches(self, name: str, start: int, rva: int) -> bool:
        found = self.extent(name)
        if found is None:
            return rva == start
        run, exact = found
        return rva == start or (exact and rva < run.end)

    def extent(self, name: str) -> tuple[Interval, bool] | None:
        """Where the only datum of this name lies, and whether its symbol says how long it is; else it ends
        where the next one begins. A datum of no object file is the linker's, a list put together from many:
        the size of its first piece says nothing. None when there is none or more than one, or when nothing
        follows it."""
        found = self._by_name[SymbolKind.DATA].get(name, [])
        if len({symbol.rva for symbol in found}) != 1:
            return None
        start = int(found[0].rva)
        size = max((symbol.size for symbol in found if symbol.file), default=0)
        if size:
            return Interval(start, start + size), True
        index = bisect_right(self._addresses, start)
        return (Interval(start, self._addresses[index]), False) if index < len(self._addresses) else None

    def keys_at(self, rva: int) -> frozenset[Key]:
        """Keys of all symbols at an address."""
        return frozenset(self._keys.get(rva, ()))

    def has_key(self, key: Key) -> bool:
        """Whether the image has this very thing."""
        return key in self._all_keys

    def has(self, kind: SymbolKind, name: str) -> bool:
        """Whether the image has a function or datum of this name."""
        return name in self._by_name[kind]

    def addresses(self, entry: Entry, kind: SymbolKind) -> frozenset[int]:
        """Where a function or datum of the truth lies: one address, more when its name and file do not tell
        several apart, none when no symbol names it."""
        table = self._by_name[kind]
        found: list[Symbol] = []
        for name in _spellings(entry.name):
            found = [*table.get(name, ())]
            if found:
                break
        near = [symbol for symbol in found if same_file(entry.file, symbol.file)]
        return frozenset(int(symbol.rva) for symbol in near or found)


def load_names(path: Path) -> Names:
    """Names of the image at *path*. Raises HpbuildError."""
    return Names(load_symbols(read_image(path), path, "auto").items)


def _section(name: str) -> bool:
    """Whether a symbol is a section's, which says nothing about what lies there."""
    return name.startswith(".") and not name.startswith(POINTER)


def _key(symbol: Symbol) -> Key:
    return symbol.linkage_name or symbol.name, symbol.file if symbol.scope is SymbolScope.LOCAL else ""


def same_file(truth: str, symbol: str) -> bool:
    """Whether a source file of the truth and an object or source file of a symbol may be one: tools keep the
    base name, cut it, or write the whole path with ``_`` for ``/`` and ``.``."""
    ours, theirs = (_SEPARATOR.sub("_", _OBJECT.sub("", name)).strip("_") for name in (truth, symbol))
    if not ours or not theirs:
        return False
    base = _SEPARATOR.sub("_", truth.rsplit("/", 1)[-1])
    cut = len(theirs) >= _SHORTEST and base.startswith(theirs)
    return ours == theirs or ours.endswith(f"_{theirs}") or theirs.endswith(f"_{ours}") or cut


def _spellings(name: str) -> list[str]:
    """How symbols may name what the truth calls *name*, the best first."""
    found = [name]
    if name.startswith("_Z"):
        found.append(_identifiers(name))
    elif "." in name:
        found.append(name.split(".", 1)[1])  # a variable inside a function, as clang writes it
    return [text for text in found if text]


def _identifiers(mangled: str) -> str:
    """The plain identifiers of an Itanium mangled name ('_ZN12_GLOBAL__N_13fooEi' -> 'foo'), '' when the name
    is not as simple as that. Template arguments and parameters are left out."""
    match = re.match(r"_ZN?[KVrRO]*L?(?=\d)", mangled)
    parts, at = [], match.end() if match else len(mangled)
    while (number := re.compile(r"L?(\d{1,4})").match(mangled, at)) is not None:
        at = number.end() + int(number[1])
        parts.append(mangled[number.end() : at])
        if not mangled.startswith("_ZN"):
            break
    return "::".join(part for part in parts if not part.startswith("_GLOBAL__N"))


def _written(name: str) -> str:
    """A name as people write it, without template arguments and unnamed namespaces."""
    while (shorter := _TEMPLATE.sub("", name)) != name:
        name = shorter
    return name.replace("`anonymous namespace'::", "")
