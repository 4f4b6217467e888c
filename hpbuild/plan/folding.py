"""Folded functions: one baseline entry for several functions that the fixed image tells apart."""

from collections import defaultdict

from hpbuild.code.model import Program
from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.pe.symbols import SymbolKind
from hpbuild.plan.selection import Selection


def folded(comparison: Comparison, selection: Selection) -> list[Finding]:
    """A finding for every carried function whose baseline entry bears names that lie apart in the fixed
    image."""
    fixed, baseline = comparison.fixed.program, comparison.baseline.program
    old, new = _rows(baseline), _rows(fixed)
    theirs, ours = _names_by_address(old), _addresses_by_name(new)
    findings = []
    for root in selection.functions:
        partner = selection.facts[root].partner
        if partner < 0:
            continue
        entry = int(baseline.fragments.start[partner])
        apart = {address for name in theirs.get(entry, ()) for address in ours.get(name, ())}
        if len(apart) > 1:
            names = ", ".join(sorted(theirs[entry])[:4])
            findings.append(Finding(codes.FOLDED_FUNCTION, fixed.name_of(root), f"{entry:#x} is {names}"))
    return findings + _split_off(
        comparison, selection, _names_by_address(new), theirs, _addresses_by_name(old)
    )


def _split_off(
    comparison: Comparison,
    selection: Selection,
    names: dict[int, set[str]],
    there: dict[int, set[str]],
    places: dict[str, set[int]],
) -> list[Finding]:
    """New functions under a name that the baseline has too: it shared another function's entry there. What
    stays out by choice does not matter."""
    fixed = comparison.fixed.program
    known = {name: min(places[name]) for name in places if len(there[min(places[name])]) > 1}
    findings: list[Finding] = []
    facts = comparison.facts
    for root in facts.roots[facts.partner < 0].tolist() if known else ():
        if selection.limit is not None and root not in selection.functions:
            continue
        start = int(fixed.fragments.start[root])
        shared = sorted(name for name in names.get(start, ()) if name in known)
        if shared:
            findings.append(
                Finding(codes.FOLDED_FUNCTION, shared[0], f"in the baseline at {known[shared[0]]:#x}")
            )
    return findings


def _rows(program: Program) -> list[tuple[int, str]]:
    rows = [
        (int(symbol.rva), symbol.linkage_name or symbol.name)
        for symbol in program.symbols.items
        if symbol.kind is SymbolKind.FUNCTION
    ]
    start = program.fragments.start
    return rows + [(int(start[index]), name) for index, name in program.exported]


def _names_by_address(rows: list[tuple[int, str]]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for address, name in rows:
        found[address].add(name)
    return found


def _addresses_by_name(rows: list[tuple[int, str]]) -> dict[str, set[int]]:
    """Names that lie at one address only: a name used twice says nothing."""
    found: dict[str, set[int]] = defaultdict(set)
    for address, name in rows:
        found[name].add(address)
    return {name: places for name, places in found.items() if len(places) == 1}
