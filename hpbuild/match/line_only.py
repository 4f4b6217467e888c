"""Which differences are line numbers and nothing else.

A false answer here would leave a hole open, so a constant counts as a line number only with evidence that a
changed constant of the program itself does not have; in doubt the function is changed. Three kinds:

*An assertion.* The constant is what the C library's own assertion function gets behind the name of a source
file, and over all calls with that file the old values map to the new ones in order, each to one.

*Beside a file name.* Every call of the function gets the name of a source file and, right behind or before
it, a constant; for each file the values look like lines (``hpbuild.match.line_pattern``).

*By the pattern of all calls.* Every call of a function of the program gets a constant there, and over all of
them the values look like the lines of one file; and constants next to those, in the same functions, that
moved by the same distance. A function that is told file names is not judged in this way.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hpbuild.code.arguments import IMMEDIATE_SIZE
from hpbuild.match.forms import fragment_form
from hpbuild.match.line_pattern import fits, in_order, like_lines, moves_along, supported
from hpbuild.match.line_sites import Site, differing_sites, equal_sites
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side

_MAX_NAME: Final = 260
_SOURCE: Final = re.compile(
    r"[ -~]+\.(?:c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx|inc|inl|ipp|m|mm|tcc|y|l|rs|go|f|f90|d|pas|swift|zig)"
)
ASSERTIONS: Final = frozenset(
    (
        "_assert", "_wassert", "__assert_fail", "__assert_func", "__assert_rtn", "_CrtDbgReport",
        "_CrtDbgReportW", "_invalid_parameter",
    )
)  # fmt: skip
"""Functions of C libraries that get a line right behind the file (Microsoft, "C run-time library
reference"; the headers of other C libraries)."""
MIN_KIN: Final = 3
"""Values of a callee that lie next to lines, for others of it to be lines without lying next to one."""
_JUMP_MEMORY: Final = b"\xff\x25"


@dataclass(frozen=True, slots=True)
class LineSites:
    """RVAs of the 4-byte line numbers that differ, in step, ascending by fixed; ``fragments`` are the fixed
    fragments that differ in nothing else."""

    fixed: tuple[int, ...]
    baseline: tuple[int, ...]
    fragments: frozenset[int]


def line_sites(fixed: Side, baseline: Side, pairing: Pairing) -> LineSites:
    """The line numbers in which paired fragments differ, for those that differ in nothing else."""
    candidates = differing_sites(fixed, baseline, pairing)
    everything = [site for sites in candidates.values() for site in sites]
    callees = {site.callee for site in everything if site.old != site.new}
    others = equal_sites(fixed, baseline, pairing, callees) if callees else {}
    unchanged = [site for sites in (others or {}).values() for site in sites]
    calls = _Calls(fixed, baseline, pairing, _groups(everything + unchanged))
    proven = set(_in_assertions(calls))
    if others is not None:
        proven.update(_beside_names(calls))
        proven.update(_by_pattern(calls))
    accepted = {
        fragment: changed
        for fragment, sites in candidates.items()
        if (changed := [site for site in sites if site.old != site.new])
        and all(site in proven for site in changed)
    }
    rows = sorted({(site.fixed, site.baseline) for sites in accepted.values() for site in sites})
    return LineSites(tuple(row[0] for row in rows), tuple(row[1] for row in rows), frozenset(accepted))


def without_lines(side: Side, sites: Sequence[int]) -> Side:
    """``side`` with the given line numbers masked out of its code, and the forms that follow from that."""
    if not sites:
        return side
    masked = side.masked.copy()
    for site in sites:
        masked[site : site + IMMEDIATE_SIZE] = 0
    masked.flags.writeable = False
    forms = side.forms.copy()
    owners = {side.program.fragment_at(site) for site in sites}
    for fragment in sorted(owners):
        forms[fragment] = fragment_form(side.program, masked, fragment)
    return replace(side, masked=masked, forms=forms)


_Key = tuple[int, int]
"""(callee, argument)"""


@dataclass(frozen=True, slots=True)
class _Calls:
    """What is judged: the constant arguments of both sides, by callee and argument."""

    fixed: Side
    baseline: Side
    pairing: Pairing
    groups: Mapping[_Key, Sequence[Site]]

    def changed(self) -> list[_Key]:
        """Callees and arguments of which some constant differs, those with most constants first."""
        found = (key for key, sites in self.groups.items() if any(site.old != site.new for site in sites))
        return sorted(found, key=lambda key: (-len(self.groups[key]), key))

    def always_constant(self, key: _Key) -> bool:
        """True when every unchanged or candidate caller passes a constant there, at every call."""
        references = self.fixed.program.references
        seen = {site.call for site in self.groups[key]}
        known = {site.fragment for site in self.groups[key]}
        for row in np.flatnonzero(references.target == key[0]).tolist():
            owner = int(references.fragment[row])
            mate = int(self.pairing.fixed[owner])
            equal = mate >= 0 and self.fixed.forms[owner] == self.baseline.forms[mate]
            # The field lies behind one byte of a direct call, behind two of a call through a slot.
            site = int(references.site[row])
            if (equal or owner in known) and seen.isdisjoint((site - 1, site - 2)):
                return False
        return True


def _groups(sites: Iterable[Site]) -> Mapping[_Key, Sequence[Site]]:
    found: dict[_Key, list[Site]] = defaultdict(list)
    for site in sites:
        found[site.callee, site.position].append(site)
    return found


def _imported(side: Side, callee: int) -> str:
    """What ``callee`` is in another image, "library!name"; '' when it is this image's own."""
    if side.program.image.read(callee, 2) == _JUMP_MEMORY:
        field = side.program.references.site == callee + 2
        callee = next(iter(side.program.references.target[field].tolist()), callee)
    return side.program.slots.get(callee, "")


# Assertions


def _in_assertions(calls: _Calls) -> Iterator[Site]:
    for key in calls.changed():
        if not _is_assertion(calls.fixed, key[0]):
            continue
        for name, sites in _by_file(calls.fixed, calls.groups[key], key[1] - 1).items():
            if name and in_order(sites):
                yield from sites


def _is_assertion(side: Side, callee: int) -> bool:
    fragment = side.program.fragment_at(callee)
    own = side.program.names.get(fragment, "") if fragment >= 0 else ""
    return bool(ASSERTIONS & {own, _imported(side, callee).rpartition("!")[2]})


# Beside a file name


def _beside_names(calls: _Calls) -> Iterator[Site]:
    for key in calls.changed():
        callee, position = key
        behind = _by_file(calls.fixed, calls.groups[key], position - 1)
        before = _by_file(calls.fixed, calls.groups[key], position + 1)
        # Of two numbers around a name, f(size, file, line), the one behind it is the line.
        files = behind if "" not in behind or (callee, position + 2) in calls.groups else before
        if "" in files or not calls.always_constant(key) or not like_lines(list(files.values())):
            continue
        for sites in files.values():
            yield from supported(sites)


def _by_file(side: Side, sites: Iterable[Site], position: int) -> Mapping[str, list[Site]]:
    """Sites by the source file whose name the same call gets as argument ``position``, '' when none."""
    found: dict[str, list[Site]] = defaultdict(list)
    for site in sites:
        names = {source_name(side, rva) for place, rva in site.addresses if place == position}
        found[names.pop() if len(names) == 1 else ""].append(site)
    return found


def source_name(side: Side, rva: int) -> str:
    """The text at ``rva`` when it is the name of a source file, in ASCII or UTF-16; '' otherwise."""
    image = side.program.image
    section = image.section_at(rva)
    if section is None or not _is_constant(side, rva):
        return ""
    raw = image.read(rva, min(2 * _MAX_NAME, section.range.end - rva))
    narrow = raw.partition(b"\0")[0]
    wide = raw[: len(raw) & ~1].decode("utf-16-le", "replace").partition("\0")[0]
    for text in (narrow.decode("ascii", "replace"), wide):
        if _SOURCE.fullmatch(text):
            return text
    return ""


def _is_constant(side: Side, rva: int) -> bool:
    """True for the address of data that nobody can write."""
    section = side.program.image.section_at(rva)
    return section is not None and not section.writable and not section.executable


# By the pattern of all calls


def _by_pattern(calls: _Calls) -> set[Site]:
    """Sites that together look like the lines of one source file."""
    told = _told_names(calls)
    nameless = [key for key in calls.changed() if key[0] not in told]
    lines: list[Site] = []
    # No function of another image gets lines without the file that they belong to.
    for key in nameless:
        own = not _imported(calls.fixed, key[0]) and calls.fixed.program.fragment_at(key[0]) >= 0
        if own and calls.always_constant(key) and like_lines([calls.groups[key]]):
            lines = list(calls.groups[key])
            break
    if not lines:
        return set()
    kin = [each for key in nameless for each in _kin(calls, key)]
    grown = True
    while grown:
        added = [site for each in kin for site in _joining(each, lines)]
        grown = bool(added)
        lines += added
    return supported(lines)


def _told_names(calls: _Calls) -> set[int]:
    """The callees that get the name of a source file at some call."""
    told = {
        (site.callee, rva) for sites in calls.groups.values() for site in sites for _, rva in site.addresses
    }
    names = {rva for rva in {rva for _, rva in told} if source_name(calls.fixed, rva)}
    return {callee for callee, rva in told if rva in names}


def _kin(calls: _Calls, key: _Key) -> list[list[Site]]:
    """The sites of a callee in groups of which all are lines or none is: all when it always gets a constant
    there, else those that pass the same text first (``fprintf`` with one format)."""
    sites = calls.groups[key]
    if calls.always_constant(key):
        return [list(sites)]
    found: dict[tuple[int, int], list[Site]] = defaultdict(list)
    for site in sites:
        texts = [each for each in site.addresses if _is_constant(calls.fixed, each[1])]
        if texts:
            found[min(texts)].append(site)
    return [found[text] for text in sorted(found)]


def _joining(kin: Sequence[Site], lines: Sequence[Site]) -> list[Site]:
    """The changed ones of ``kin`` that are lines as well, given some lines of the file."""
    known = set(lines)
    moved = [site for site in kin if site.old != site.new]
    fresh = [site for site in moved if site not in known]
    if not fresh or not fits([*lines, *kin]):
        return []
    near = [site for site in moved if site in known or moves_along(site, lines, own=True)]
    values, functions = {site.old for site in near}, {site.fragment for site in near}
    if len(values) < 2 or (len(values) < MIN_KIN and len(functions) < 2):
        return []
    enough = len(values) >= MIN_KIN
    return [site for site in fresh if site in near or (enough and moves_along(site, lines, own=False))]
