"""Folded functions: one baseline entry for several functions that the fixed image tells apart."""

from collections.abc import Collection, Iterator
from itertools import compress

import numpy as np

from hpbuild.code.columns import among
from hpbuild.code.model import I64, Program
from hpbuild.codes import plan as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.pe.symbols import SymbolKind
from hpbuild.plan.selection import Selection

_FUNCTION = SymbolKind.FUNCTION


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of functions, of symbols and exports, and the ``addresses`` that bear them: one row each."""

    addresses: I64
    names: list[str]

    def shared(self) -> dict[int, set[str]]:
        """By address the names of those that bear several."""
        ordered = np.sort(self.addresses)
        rows = np.flatnonzero(among(self.addresses, ordered[1:][ordered[1:] == ordered[:-1]]))
        found: dict[int, set[str]] = {}
        for row, address in zip(rows.tolist(), self.addresses[rows].tolist(), strict=True):
            found.setdefault(address, set()).add(self.names[row])
        return {address: names for address, names in found.items() if len(names) > 1}

    def by_address(self, wanted: Collection[str]) -> dict[int, set[str]]:
        """The ``wanted`` names by their addresses."""
        rows = list(compress(range(len(self.names)), map(wanted.__contains__, self.names)))
        found: dict[int, set[str]] = {}
        for row, address in zip(rows, self.addresses[rows].tolist(), strict=True):
            found.setdefault(address, set()).add(self.names[row])
        return found

    def places(self, wanted: Collection[str]) -> dict[str, int]:
        """The address of each of the ``wanted`` names: a name of several addresses says nothing."""
        found: dict[str, list[int]] = {}
        for address, names in self.by_address(wanted).items():
            for name in names:
                found.setdefault(name, []).append(address)
        return {name: places[0] for name, places in found.items() if len(places) == 1}


def folded(comparison: Comparison, selection: Selection) -> list[Finding]:
    """A finding for every carried function whose baseline entry bears names that lie apart in the fixed
    image."""
    fixed, baseline = comparison.fixed.program, comparison.baseline.program
    old = _names(baseline)
    shared = old.shared()
    if not shared:
        return []
    wanted = {name for names in shared.values() for name in names}
    new, entries = _names(fixed), baseline.fragments.start
    ours = new.places(wanted)
    findings = []
    for root, partner in zip(selection.functions, selection.partners.tolist(), strict=True):
        names = shared.get(int(entries[partner]), set()) if partner >= 0 else set()
        if len({ours[name] for name in names if name in ours}) > 1:
            cause = f"{int(entries[partner]):#x} is {', '.join(sorted(names)[:4])}"
            findings.append(Finding(codes.FOLDED_FUNCTION, fixed.name_of(root), cause))
    return [*findings, *_split_off(comparison, selection, new, old.places(wanted))]


def _split_off(
    comparison: Comparison, selection: Selection, new: _Names, known: dict[str, int]
) -> Iterator[Finding]:
    """New functions under one of the ``known`` names of the baseline: it shared another function's entry
    there, at the address given. What stays out by choice does not matter."""
    if not known:
        return
    facts, start = comparison.facts, comparison.fixed.program.fragments.start
    here = new.by_address(known)
    for root in facts.roots[facts.partner < 0].tolist():
        if selection.limit is not None and root not in selection.functions:
            continue
        names = here.get(int(start[root]))
        if names:
            first = min(names)
            yield Finding(codes.FOLDED_FUNCTION, first, f"in the baseline at {known[first]:#x}")


def _names(program: Program) -> _Names:
    rows = [
        (int(symbol.rva), symbol.linkage_name or symbol.name)
        for symbol in program.symbols.items
        if symbol.kind is _FUNCTION
    ]
    exported = np.array([index for index, _ in program.exported], dtype=np.int64)
    return _Names(
        np.append(np.array([rva for rva, _ in rows], dtype=np.int64), program.fragments.start[exported]),
        [*(name for _, name in rows), *(name for _, name in program.exported)],
    )
