"""Pairs by name: symbols (with the object file they come from) and exports."""

from collections.abc import Callable, Iterable

import numpy as np

from hpbuild.code.model import I64, Program
from hpbuild.match.pairing import Level, Pairing
from hpbuild.match.sides import Side
from hpbuild.pe.symbols import SymbolKind

Key = tuple[str, str]


def pair_by_name(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Pair fragments that begin at a symbol or export whose name is unique on both sides."""
    made = 0
    for level, keys in (
        (Level.SYMBOL, _symbol_keys(lambda name, file: (name, file))),
        (Level.SYMBOL, _symbol_keys(lambda name, file: (name, ""))),
        (Level.EXPORT, _export_keys),
    ):
        left, right = _unique(keys(fixed.program)), _unique(keys(baseline.program))
        common = [(index, right[key]) for key, index in left.items() if key in right]
        table = np.array(common, dtype=np.int64).reshape(-1, 2)
        made += pairing.add(table[:, 0], table[:, 1], level)
    return made


def _symbol_keys(key: Callable[[str, str], Key]) -> Callable[[Program], list[tuple[Key, int]]]:
    def keys(program: Program) -> list[tuple[Key, int]]:
        symbols = [symbol for symbol in program.symbols.items if symbol.kind is SymbolKind.FUNCTION]
        rva = np.array([symbol.rva for symbol in symbols], dtype=np.int64)
        return [
            (key(symbol.linkage_name or symbol.name, symbol.file), index)
            for symbol, index in zip(symbols, _starting(program, rva).tolist(), strict=True)
            if index >= 0
        ]

    return keys


def _starting(program: Program, rva: I64) -> I64:
    """The code fragment that begins at each address, or -1."""
    fragments = program.fragments
    if not len(fragments):
        return np.full(len(rva), -1, dtype=np.int64)
    index = np.minimum(np.searchsorted(fragments.start, rva), len(fragments) - 1)
    return np.where((fragments.start[index] == rva) & ~fragments.opaque[index], index, -1)


def _export_keys(program: Program) -> list[tuple[Key, int]]:
    opaque = program.fragments.opaque[np.array([index for index, _ in program.exported], dtype=np.int64)]
    rows = zip(program.exported, opaque.tolist(), strict=True)
    return [((name, ""), index) for (index, name), data in rows if not data]


def _unique(rows: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    """Keys that name one fragment only."""
    found: dict[Key, int] = {}
    many: set[Key] = set()
    for key, index in rows:
        if found.setdefault(key, index) != index:
            many.add(key)
    return {key: index for key, index in found.items() if key not in many} if many else found


def named_apart(fixed: Side, baseline: Side, a: int, b: int) -> bool:
    """True when symbols give two fragments different names: then they are one function only if nothing in
    them differs."""
    if fixed.program.symbols.source == "none" or baseline.program.symbols.source == "none":
        return False
    ours, theirs = fixed.program.names.get(a), baseline.program.names.get(b)
    return bool(ours and theirs and ours != theirs)
