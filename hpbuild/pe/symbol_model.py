"""What a symbol is, whatever file it came from. Values only."""

from enum import StrEnum

from hpbuild.dataclass import dataclass
from hpbuild.pe.access import printable
from hpbuild.values import Rva


class SymbolKind(StrEnum):
    """What lies at a symbol's address."""

    FUNCTION = "function"
    DATA = "data"


class SymbolScope(StrEnum):
    """Whether the linker made the name known to other object files."""

    GLOBAL = "global"
    LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A named address. ``size`` in bytes, 0 when not known: the length in a procedure record, or that of
    the linker's contribution the symbol has for itself (then without alignment filler, but with any unnamed
    bytes of the same object section). ``name`` is for people; ``linkage_name`` the mangled name when the
    source tells it, else ''. ``file`` is the object or source file without its folder, or ''.
    """

    rva: Rva
    size: int
    name: str
    kind: SymbolKind
    scope: SymbolScope
    file: str
    linkage_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """``source`` is 'pdb', 'coff' or 'none'; ``items`` are sorted by RVA, then name, and distinct; several
    may share an address (aliases, folded functions). ``note`` says why a symbol file at hand was not used."""

    source: str
    items: tuple[Symbol, ...]
    note: str = ""


def base_name(path: bytes) -> str:
    """The last component of a path as a tool recorded it, with either kind of slash, made printable."""
    return printable(path.replace(b"\\", b"/").rsplit(b"/", 1)[-1])


def sorted_symbols(found: set[Symbol]) -> tuple[Symbol, ...]:
    """The symbols in their one order: RVA, name, linkage name, kind, scope, file."""
    return tuple(sorted(found, key=_order))


def _order(symbol: Symbol) -> tuple[int, str, str, str, str, str, int]:
    s = symbol
    return (s.rva, s.name, s.linkage_name, s.kind, s.scope, s.file, s.size)
