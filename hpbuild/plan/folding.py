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
    theirs, ours = _names_by_address(baseline), _addresses_by_name(fixed)
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
    return findings + _split_off(comparison, selection)


def _split_off(comparison: Comparison, selection: Selection) -> list[Finding]:
    """New functions under a name that the baseline has too: it shared another function's entry there. What
    stays out by choice does not matter."""
    fixed, baseline = comparison.fixed.program, comparison.baseline.program
    names, there = _names_by_address(fixed), _names_by_address(baseline)
    places = _addresses_by_name(baseline)
    known = {name: min(places[name]) for name in places if len(there[min(places[name])]) > 1}
    findings: list[Finding] = []
    for fact in comparison.functions if known else ():
        if selection.limit is not None and fact.root not in selection.functions:
            continue
        start = int(fixed.fragments.start[fact.root])
        shared = sorted(name for name in names.get(start, ()) if name in known and fact.partner < 0)
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


def _names_by_address(program: Program) -> dict[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for address, name in _rows(program):
        found[address].add(name)
    return found


def _addresses_by_name(program: Program) -> dict[str, set[int]]:
    """Names that lie at one address only: a name used twice says nothing."""
    found: dict[str, set[int]] = defaultdict(set)
    for address, name in _rows(program):
        found[name].add(address)
    return {name: places for name, places in found.items() if len(places) == 1}
