"""Where functions that are equal but for constant arguments differ, and what else is passed there.

Candidates for changes of nothing but line numbers: the compiler puts ``__LINE__`` into the code as a
constant argument (``check(text, file, line)``), so that moving a function within its source file changes
it. What makes such a constant a line number is judged in ``hpbuild.match.line_only``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from hpbuild.code.arguments import IMMEDIATE_SIZE, Argument, arguments
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side

MAX_CALLERS: Final = 4096
"""Callers of functions, or users of texts, that are looked at; beyond that nothing is concluded from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A constant argument at the same place of paired fragments. ``fixed`` and ``baseline`` are the RVAs of
    the 4-byte immediates, ``new`` and ``old`` their values; ``call``, ``callee`` and ``addresses`` as in the
    fixed image (see ``Argument``)."""

    fragment: int
    fixed: int
    baseline: int
    new: int
    old: int
    position: int
    call: int
    callee: int
    addresses: tuple[tuple[int, int], ...]


def differing_sites(fixed: Side, baseline: Side, pairing: Pairing) -> dict[int, tuple[Site, ...]]:
    """Fixed fragment -> its constant arguments, for pairs that differ in nothing but such constants."""
    paired = np.flatnonzero((pairing.fixed >= 0) & (fixed.forms != 0))
    changed = paired[fixed.forms[paired] != baseline.forms[pairing.fixed[paired]]]
    found = {}
    for fragment in changed.tolist():
        partner = int(pairing.fixed[fragment])
        if _same_references(fixed, baseline, fragment, partner):
            sites = _all_explained(fixed, baseline, fragment, partner)
            if sites:
                found[fragment] = sites
    return found


def equal_sites(
    fixed: Side, baseline: Side, pairing: Pairing, callees: Iterable[int] = (), texts: Iterable[int] = ()
) -> Mapping[int, tuple[Site, ...]] | None:
    """Fragment -> constant arguments, in fragments whose form did not change, of calls to ``callees`` and of
    calls that get the address of one of ``texts``.

    None when there are too many callers to look at."""
    called, told = frozenset(callees), frozenset(texts)
    wanted = np.array(sorted(called | told), dtype=np.int64)
    references = fixed.program.references
    owners = np.unique(references.fragment[np.isin(references.target, wanted)])
    owners = owners[(pairing.fixed[owners] >= 0) & (fixed.forms[owners] != 0)]
    owners = owners[fixed.forms[owners] == baseline.forms[pairing.fixed[owners]]]
    if len(owners) > MAX_CALLERS:
        return None
    return {
        fragment: tuple(
            each
            for each in _paired_sites(fixed, baseline, fragment, int(pairing.fixed[fragment]))
            if each.callee in called or any(rva in told for _, rva in each.addresses)
        )
        for fragment in owners.tolist()
    }


def _same_references(fixed: Side, baseline: Side, fragment: int, partner: int) -> bool:
    """True when both have one size and references of the same kind at the same places."""
    ours, theirs = fixed.program, baseline.program
    start, other = int(ours.fragments.start[fragment]), int(theirs.fragments.start[partner])
    if ours.fragments.end[fragment] - start != theirs.fragments.end[partner] - other:
        return False
    left = slice(int(fixed.first[fragment]), int(fixed.last[fragment]))
    right = slice(int(baseline.first[partner]), int(baseline.last[partner]))
    return (
        np.array_equal(ours.references.site[left] - start, theirs.references.site[right] - other)
        and np.array_equal(ours.references.kind[left], theirs.references.kind[right])
        and np.array_equal(ours.references.width[left], theirs.references.width[right])
    )


def _all_explained(fixed: Side, baseline: Side, fragment: int, partner: int) -> tuple[Site, ...]:
    """All constant arguments of a pair, () when it differs elsewhere too."""
    start, end = int(fixed.program.fragments.start[fragment]), int(fixed.program.fragments.end[fragment])
    other = int(baseline.program.fragments.start[partner])
    differ = np.flatnonzero(fixed.masked[start:end] != baseline.masked[other : other + end - start])
    sites = _paired_sites(fixed, baseline, fragment, partner)
    covered = np.zeros(end - start, dtype=np.bool_)
    for site in sites:
        covered[site.fixed - start : site.fixed - start + IMMEDIATE_SIZE] = True
    return sites if bool(covered[differ].all()) else ()


def _paired_sites(fixed: Side, baseline: Side, fragment: int, partner: int) -> tuple[Site, ...]:
    """Constant arguments at the same places on both sides, passed to calls at the same places."""
    start, other = (
        int(fixed.program.fragments.start[fragment]),
        int(baseline.program.fragments.start[partner]),
    )
    theirs = {
        (each.site - other, each.call - other, each.position): each for each in _arguments(baseline, partner)
    }
    ours = {
        (each.site - start, each.call - start, each.position): each for each in _arguments(fixed, fragment)
    }
    if ours.keys() != theirs.keys():
        return ()
    return tuple(
        Site(
            fragment=fragment, fixed=each.site, baseline=theirs[place].site, new=each.value,
            old=theirs[place].value, position=each.position, call=each.call, callee=each.callee,
            addresses=each.addresses,
        )
        for place, each in ours.items()
    )  # fmt: skip


def _arguments(side: Side, fragment: int) -> tuple[Argument, ...]:
    start, end = int(side.program.fragments.start[fragment]), int(side.program.fragments.end[fragment])
    return arguments(side.program.image.read(start, end - start), start)
