"""Pairs by name: symbols (with the object file they come from) and exports."""

from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np

from hpbuild.code.model import I64, Program
from hpbuild.match.pairing import Level, Pairing
from hpbuild.match.sides import Side
from hpbuild.pe.symbols import SymbolKind

Key = tuple[str, str]
"""A symbol's name and the file that it comes from."""
K = TypeVar("K", bound=Hashable)


def pair_by_name(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Pair fragments that begin at a symbol or export whose name is unique on both sides."""
    made, programs = 0, (fixed.program, baseline.program)
    for keys in (
        _symbol_keys(lambda name, file: (name, file)),
        _symbol_keys(lambda name, file: (name, "")),
    ):
        made += pairing.add(*_common(*map(keys, programs)), Level.SYMBOL)
    return made + pairing.add(*_common(*map(_export_keys, programs)), Level.EXPORT)


def _common(left: list[tuple[K, int]], right: list[tuple[K, int]]) -> tuple[I64, I64]:
    """The fragments that a key names that is unique on both sides."""
    ours, theirs = _unique(left), _unique(right)
    table = np.array([(index, theirs[key]) for key, index in ours.items() if key in theirs], dtype=np.int64)
    return table.reshape(-1, 2)[:, 0], table.reshape(-1, 2)[:, 1]


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


def _export_keys(program: Program) -> list[tuple[str, int]]:
    opaque = program.fragments.opaque[np.array([index for index, _ in program.exported], dtype=np.int64)]
    rows = zip(program.exported, opaque.tolist(), strict=True)
    return [(name, index) for (index, name), data in rows if not data]


def _unique(rows: list[tuple[K, int]]) -> dict[K, int]:
    """Keys that name one fragment only."""
    found = dict(rows)
    if len(found) == len(rows):
        return found
    found = {}
    many: set[K] = set()
    for key, index in rows:
        if found.setdefault(key, index) != index:
            many.add(key)
    return {key: index for key, index in found.items() if key not in many}


def named_apart(fixed: Side, baseline: Side, a: int, b: int) -> bool:
    """True when symbols give two fragments different names: then they are one function only if nothing in
    them differs."""
    if fixed.program.symbols.source == "none" or baseline.program.symbols.source == "none":
        return False
    ours, theirs = fixed.program.names.get(a), baseline.program.names.get(b)
    return bool(ours and theirs and ours != theirs)
