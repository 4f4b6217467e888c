"""Which differences are line numbers and nothing else.

A false answer here would leave a hole open, so a constant counts as a line number only with evidence that a
changed constant of the program itself does not have; in doubt the function is changed. No function is known
by its name: what counts is what it is told. Four kinds, each for constants that are used in no other way:

*An assertion.* A function of another image gets, at every call of it, a text, the name of a source file and
right behind that name a constant; the text comes right before the name or right behind the constant. In one
file the old values map to the new ones in order, each to one, hardly ever one to two texts, and the changed
one moved by the same distance as another next to it. The program's own functions have to meet more:

*Beside a file name.* Every call of the function gets the name of a source file and, right behind or before
it, a constant; for each file the values look like lines (``hpbuild.match.line_pattern``).

*By the pattern of all calls.* Every call of a function of the program gets a constant there, and over all of
them the values look like the lines of one file; and constants next to those, in the same functions, that
moved by the same distance. A function that is told file names is not judged in this way.

*A message.* The call gets a format that prints the name of a source file and right behind it the constant as
its line (``hpbuild.match.line_texts``), whoever is called; over all messages with that file the old values
map to the new ones in order. That one value changed is enough: it does no more than to be printed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hpbuild.dataclass import dataclass, replace
from hpbuild.match.forms import fragment_form
from hpbuild.match.line_assertions import MIN_ASSERTIONS, in_assertions
from hpbuild.match.line_calls import Calls, Key, by_file, doors, groups, imported
from hpbuild.match.line_messages import in_messages, names_format, names_source
from hpbuild.match.line_pattern import (
    LARGEST_LINE,
    MIN_RUN,
    MIN_RUN_FUNCTIONS,
    SMALLEST_LINE,
    fits,
    like_lines,
    moves_along,
    supported,
)
from hpbuild.match.line_screening import worth_following
from hpbuild.match.line_sites import Moved, Site, Walks, differing_constants, differing_sites, equal_sites
from hpbuild.match.line_texts import is_constant, source_name
from hpbuild.match.masked import Masked
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side

MIN_KIN: Final = 3
"""Values of a callee that lie next to lines, for others of it to be lines without lying next to one."""


@dataclass(frozen=True, slots=True)
class LineSites:
    """RVAs of the 4-byte line numbers that differ, in step, ascending by fixed; ``fragments`` are the fixed
    fragments that differ in nothing else."""

    fixed: tuple[int, ...]
    baseline: tuple[int, ...]
    fragments: frozenset[int]


def line_sites(fixed: Side, baseline: Side, pairing: Pairing) -> LineSites:
    """The line numbers in which paired fragments differ, for those that differ in nothing else."""
    constants = differing_constants(fixed, baseline, pairing)
    if not may_be_lines(fixed, constants):
        return LineSites((), (), frozenset())
    candidates = differing_sites(fixed, baseline, pairing, constants)
    everything = [site for sites in candidates.values() for site in sites]
    changed = _worth_a_look([site for site in everything if site.old != site.new and site.callee >= 0])
    callees = frozenset(door for callee in changed for door in doors(fixed, callee))
    walks = Walks(fixed, baseline, pairing)
    proven = set(in_messages(fixed, everything, walks))
    calls = Calls(fixed, baseline, pairing, frozenset(candidates), groups(everything))
    proven.update(_proven_by_calls(calls, everything, callees, walks))
    accepted = {
        fragment: moved
        for fragment, sites in candidates.items()
        if (moved := [site for site in sites if site.old != site.new])
        and all(site in proven for site in moved)
    }
    rows = sorted({(site.fixed, site.baseline) for sites in accepted.values() for site in sites})
    return LineSites(tuple(row[0] for row in rows), tuple(row[1] for row in rows), frozenset(accepted))


def _proven_by_calls(
    calls: Calls, everything: Sequence[Site], callees: frozenset[int], walks: Walks
) -> Iterator[Site]:
    """Those of ``everything`` that all calls together show to be lines; ``calls`` are the candidates'."""
    followed = worth_following(calls, callees, walks)
    others = equal_sites(walks, callees, only=followed) if followed is not None else None
    if others is None:
        return
    unchanged = [site for sites in others.values() for site in sites]
    calls = replace(calls, groups=groups([*everything, *unchanged]))
    yield from in_assertions(calls)
    yield from _beside_names(calls)
    yield from _by_pattern(calls)


def may_be_lines(side: Side, constants: Mapping[int, Moved]) -> bool:
    """True when all constants that differ in some fragment may turn out to be lines: enough values, of all
    that differ, moved by the distance of each, or the fragment may print it."""
    values: dict[int, set[int]] = defaultdict(set)
    owners: dict[int, set[int]] = defaultdict(set)
    lines = range(SMALLEST_LINE, LARGEST_LINE)
    for fragment, moved in constants.items():
        for old, new in moved.values():
            if old in lines and new in lines:
                values[new - old].add(old)
                owners[new - old].add(fragment)
    asserted = {distance for distance, olds in values.items() if len(olds) >= MIN_ASSERTIONS}
    told = {
        distance
        for distance, some in owners.items()
        if len(values[distance]) >= MIN_RUN and len(some) >= MIN_RUN_FUNCTIONS
    }
    return any(
        all(old in lines and new in lines for old, new in moved.values())
        and (
            (distances := {new - old for old, new in moved.values()}) <= told
            or (distances <= asserted | told and names_source(side, fragment))
            or names_format(side, fragment)
        )
        for fragment, moved in constants.items()
    )


def _worth_a_look(moved: Sequence[Site]) -> set[int]:
    """Callees whose other calls may show that constants are lines: in those of one callee two values at least
    moved by one distance, in the others some value by the same. To decode all callers is the costly part."""
    values: dict[tuple[int, int], set[int]] = defaultdict(set)
    for site in moved:
        values[site.callee, site.new - site.old].add(site.old)
    distances = {distance for (_, distance), olds in values.items() if len(olds) >= 2}
    return {callee for callee, distance in values if distance in distances}


def without_lines(side: Side, sites: Sequence[int]) -> Side:
    """``side`` with the given line numbers masked out of its code, and the forms that follow from that."""
    if not sites:
        return side
    masked = Masked(side.program, tuple(sites))
    forms = side.forms.copy()
    owners = {side.program.fragment_at(site) for site in sites}
    for fragment in sorted(owners):
        forms[fragment] = fragment_form(side.program, masked, fragment)
    return replace(side, masked=masked, forms=forms)


# Beside a file name


def _beside_names(calls: Calls) -> Iterator[Site]:
    for key in calls.changed():
        callee, position = key
        behind = by_file(calls.fixed, calls.groups[key], position - 1)
        before = by_file(calls.fixed, calls.groups[key], position + 1)
        # Of two numbers around a name, f(size, file, line), the one behind it is the line.
        files = behind if "" not in behind or (callee, position + 2) in calls.groups else before
        if "" in files or not calls.always_constant(key) or not like_lines(list(files.values())):
            continue
        for sites in files.values():
            yield from supported(sites)


# By the pattern of all calls


def _by_pattern(calls: Calls) -> set[Site]:
    """Sites that together look like the lines of one source file."""
    told = _told_names(calls)
    nameless = [key for key in calls.changed() if key[0] not in told]
    lines: list[Site] = []
    # No function of another image gets lines without the file that they belong to.
    for key in nameless:
        own = not imported(calls.fixed, key[0]) and calls.fixed.program.fragment_at(key[0]) >= 0
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


def _told_names(calls: Calls) -> set[int]:
    """The callees that get the name of a source file at some call."""
    told = {
        (site.callee, rva) for sites in calls.groups.values() for site in sites for _, rva in site.addresses
    }
    names = {rva for rva in {rva for _, rva in told} if source_name(calls.fixed, rva)}
    return {callee for callee, rva in told if rva in names}


def _kin(calls: Calls, key: Key) -> list[list[Site]]:
    """The sites of a callee in groups of which all are lines or none is: all when it always gets a constant
    there, else those that pass the same text first (``fprintf`` with one format)."""
    sites = calls.groups[key]
    if calls.always_constant(key):
        return [list(sites)]
    found: dict[tuple[int, int], list[Site]] = defaultdict(list)
    for site in sites:
        texts = [each for each in site.addresses if is_constant(calls.fixed, each[1])]
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
