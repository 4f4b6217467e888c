"""Which callers have to be followed to see whether constants are lines.

What the rules of ``hpbuild.match.line_only`` ask of all calls of a function they ask of those too in which a
constant differs. Where these fail, or one caller that did not change passes something else, no rule holds
whatever the others do: they need not be followed, which is the costly part.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from hpbuild.match.line_assertions import MIN_ASSERTIONS, may_tell
from hpbuild.match.line_calls import BEFORE, Calls, Key, by_file, doors, imported
from hpbuild.match.line_pattern import in_order, like_lines, supported
from hpbuild.match.line_sites import MAX_CALLERS, Site, Walks, equal_sites


def worth_following(calls: Calls, callees: frozenset[int], walks: Walks) -> frozenset[int] | None:
    """Those of ``callees`` whose callers that did not change have to be followed; None when no rule can hold
    for any function. ``calls`` are those of the candidates alone."""
    if len(walks.owners(callees)) > MAX_CALLERS:
        return None
    found: set[int] = set()
    for key in calls.changed():
        beside, pattern = _beside_name(calls, key), _pattern(calls, key)
        if _of_assertion(calls, key):
            found |= doors(calls.fixed, key[0])
        elif (beside or pattern) and _always_constant(calls, key, callees, walks):
            if pattern and like_lines([_everywhere(calls, key, callees, walks)]):
                return callees  # others may be lines because they lie next to these
            found |= {key[0]} if beside else set()
    return callees & found if found else None


def _of_assertion(calls: Calls, key: Key) -> bool:
    callee, position = key
    if not imported(calls.fixed, callee):
        return False
    through = doors(calls.fixed, callee)
    sites = [site for door in sorted(through) for site in calls.groups.get((door, position), ())]
    return may_tell(calls.fixed, sites, position) and any(
        in_order(some) and supported(some, values=MIN_ASSERTIONS, functions=1)
        for some in by_file(calls.fixed, sites, position - 1).values()
    )


def _beside_name(calls: Calls, key: Key) -> bool:
    files = (by_file(calls.fixed, calls.groups[key], key[1] + where) for where in (-1, 1))
    return any("" not in found and _lines_of_files(found.values()) for found in files)


def _lines_of_files(files: Iterable[Sequence[Site]]) -> bool:
    some = list(files)
    return all(map(in_order, some)) and any(map(supported, some))


def _pattern(calls: Calls, key: Key) -> bool:
    own = calls.fixed.program.fragment_at(key[0]) >= 0 and not imported(calls.fixed, key[0])
    return own and in_order(calls.groups[key])


def _always_constant(calls: Calls, key: Key, callees: frozenset[int], walks: Walks) -> bool:
    """``Calls.always_constant`` caller by caller, up to the first that passes none."""
    callee, _ = key
    references = calls.fixed.program.references
    for row in np.flatnonzero(references.target == callee).tolist():
        owner, site = int(references.fragment[row]), int(references.site[row])
        mate = int(calls.pairing.fixed[owner])
        equal = mate >= 0 and bool(calls.fixed.forms[owner] == calls.baseline.forms[mate])
        if site - 2 == callee or not (equal or owner in calls.candidates):
            continue
        sites: Iterable[Site] = calls.groups[key] if owner in calls.candidates else ()
        if equal and callee in callees:
            sites = walks.of(owner)
        seen = {each.call for each in sites if (each.callee, each.position) == key}
        if seen.isdisjoint(site - before for before in BEFORE):
            return False
    return True


def _everywhere(calls: Calls, key: Key, callees: frozenset[int], walks: Walks) -> list[Site]:
    """The sites of all callers, as when those of all ``callees`` are followed."""
    callee, position = key
    found = list(calls.groups[key])
    if callee in callees:
        some = equal_sites(walks, callees, only=(callee,)) or {}
        found += [each for sites in some.values() for each in sites if each.position == position]
    return found
