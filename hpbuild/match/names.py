"""Pairs by name: symbols (with the object file they come from) and exports."""

from collections.abc import Callable, Iterable

import numpy as np

from hpbuild.code.model import Program
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
        common = sorted(left.keys() & right.keys())
        made += pairing.add(
            np.array([left[key] for key in common], dtype=np.int64),
            np.array([right[key] for key in common], dtype=np.int64),
            level,
        )
    return made


def _symbol_keys(key: Callable[[str, str], Key]) -> Callable[[Program], list[tuple[Key, int]]]:
    def keys(program: Program) -> list[tuple[Key, int]]:
        start = {rva: index for index, rva in enumerate(program.fragments.start.tolist())}
        opaque = program.fragments.opaque
        return [
            (key(symbol.linkage_name or symbol.name, symbol.file), start[symbol.rva])
            for symbol in program.symbols.items
            if symbol.kind is SymbolKind.FUNCTION and symbol.rva in start and not opaque[start[symbol.rva]]
        ]

    return keys


def _export_keys(program: Program) -> list[tuple[Key, int]]:
    return [((name, ""), index) for index, name in program.exported if not program.fragments.opaque[index]]


def _unique(rows: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    """Keys that name one fragment only."""
    found: dict[Key, int] = {}
    many: set[Key] = set()
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
