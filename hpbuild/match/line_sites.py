"""Where functions that are equal but for constant arguments differ, and what else is passed there.

Candidates for changes of nothing but line numbers: the compiler puts ``__LINE__`` into the code as a
constant argument (``check(text, file, line)``), so that moving a function within its source file changes
it. What makes such a constant a line number is judged in ``hpbuild.match.line_only``.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Final

import numpy as np

from hpbuild.code.arguments import IMMEDIATE_SIZE, Argument, arguments
from hpbuild.code.columns import among, distinct
from hpbuild.code.decode import instructions
from hpbuild.code.effects import Constant, effect_of
from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.match.alignment import LONGEST_INSTRUCTION
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


Moved = Mapping[int, tuple[int, int]]
"""Offset of each constant that differs -> (old, new)."""


def differing_constants(fixed: Side, baseline: Side, pairing: Pairing) -> dict[int, Moved]:
    """Fixed fragment -> the constants that differ, for pairs that differ in nothing but constants which
    instructions move. To see this takes little; what becomes of the constants, much."""
    paired = np.flatnonzero((pairing.fixed >= 0) & (fixed.forms != 0))
    changed = paired[fixed.forms[paired] != baseline.forms[pairing.fixed[paired]]]
    found = {}
    for fragment in changed.tolist():
        partner = int(pairing.fixed[fragment])
        if _same_references(fixed, baseline, fragment, partner):
            moved = _moved(fixed, baseline, fragment, partner)
            if moved:
                found[fragment] = moved
    return found


def differing_sites(
    fixed: Side, baseline: Side, pairing: Pairing, moved: Mapping[int, Moved]
) -> dict[int, tuple[Site, ...]]:
    """Fixed fragment -> its constant arguments, for those of ``differing_constants`` that differ in nothing
    but such."""
    found = {}
    for fragment, constants in moved.items():
        sites = _equal_sites(fixed, baseline, fragment, int(pairing.fixed[fragment]))
        start = int(fixed.program.fragments.start[fragment])
        if sites and constants.keys() <= {site.fixed - start for site in sites}:
            found[fragment] = sites
    return found


class Walks:
    """The constant arguments in fragments whose form did not change; each is followed once."""

    __slots__ = ("_baseline", "_fixed", "_pairing", "of")

    def __init__(self, fixed: Side, baseline: Side, pairing: Pairing) -> None:
        self._fixed, self._baseline, self._pairing = fixed, baseline, pairing
        # Of the sides, not of this object: a circle would keep both programs after their comparison.
        self.of = lru_cache(maxsize=None)(partial(_followed, fixed, baseline, pairing))

    def holders(self, places: Iterable[int]) -> set[int]:
        """The fragments that hold the addresses: a call of a function in itself is no reference."""
        return {self._fixed.program.fragment_at(place) for place in places}

    def owners(self, places: Iterable[int]) -> I64:
        """The fragments that refer to one of the addresses, ascending."""
        references, partner = self._fixed.program.references, self._pairing.fixed
        wanted = np.array(sorted(places), dtype=np.int64)
        owners = distinct(references.fragment[among(references.target, wanted)])
        owners = owners[(partner[owners] >= 0) & (self._fixed.forms[owners] != 0)]
        kept: I64 = owners[self._fixed.forms[owners] == self._baseline.forms[partner[owners]]]
        return kept


def _followed(fixed: Side, baseline: Side, pairing: Pairing, fragment: int) -> tuple[Site, ...]:
    return _equal_sites(fixed, baseline, fragment, int(pairing.fixed[fragment]))


def equal_sites(
    walks: Walks, callees: Iterable[int] = (), texts: Iterable[int] = (), only: Iterable[int] | None = None
) -> Mapping[int, tuple[Site, ...]] | None:
    """Fragment -> constant arguments, in fragments whose form did not change, of calls to ``callees`` and of
    calls that get the address of one of ``texts``. With ``only`` of calls to these callees alone.

    None when there are too many callers to look at."""
    told = frozenset(texts)
    called = frozenset(callees)
    owners = walks.owners(called | told)
    if len(owners) > MAX_CALLERS:
        return None
    if only is not None:
        called = frozenset(only)
        kept = {*walks.owners(called).tolist(), *walks.holders(called)}
        owners = owners[[owner in kept for owner in owners.tolist()]]
    return {
        fragment: tuple(
            each
            for each in walks.of(fragment)
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


def _moved(fixed: Side, baseline: Side, fragment: int, partner: int) -> Moved:
    """The constants in which a pair of one size differs, empty when it differs elsewhere too: nothing else
    can be an argument, and who differs elsewhere need not be followed."""
    fragments = fixed.program.fragments
    start, end = int(fragments.start[fragment]), int(fragments.end[fragment])
    other = int(baseline.program.fragments.start[partner])
    differ = np.flatnonzero(fixed.masked[start:end] != baseline.masked[other : other + end - start])
    if not len(differ):
        return {}
    image, old = fixed.program.image, baseline.program.image
    rest: list[int] = differ.tolist()[::-1]
    found: dict[int, tuple[int, int]] = {}
    # What begins behind the last difference is not looked at.
    size = min(end - start, rest[0] + LONGEST_INSTRUCTION)
    for insn in instructions(image.read(start, size), start):
        if not rest or insn.next_ip - start <= rest[-1]:
            continue
        value = effect_of(insn).value
        while rest and start + rest[-1] < insn.next_ip:
            at = start + rest.pop()
            if not isinstance(value, Constant) or not 0 <= at - value.site < IMMEDIATE_SIZE:
                return {}
            site = value.site - start
            found[site] = old.u32(other + site), image.u32(start + site)
    return {} if rest else found


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


def _equal_sites(fixed: Side, baseline: Side, fragment: int, partner: int) -> tuple[Site, ...]:
    """``_paired_sites`` of two fragments that differ in nothing but addresses and constants. What is passed
    where follows from the code and from which of the addresses in it are the same one, not from the values of
    constants: where these are so alike, one side tells of both."""
    if not _named_in_step(fixed, baseline, fragment, partner):
        return _paired_sites(fixed, baseline, fragment, partner)
    program = baseline.program
    shift = int(program.fragments.start[partner]) - int(fixed.program.fragments.start[fragment])
    ours = {(each.site, each.call, each.position): each for each in _arguments(fixed, fragment)}
    return tuple(
        Site(
            fragment=fragment, fixed=each.site, baseline=each.site + shift, new=each.value,
            old=program.image.u32(each.site + shift), position=each.position, call=each.call,
            callee=each.callee, addresses=each.addresses,
        )
        for each in ours.values()
    )  # fmt: skip


def _named_in_step(fixed: Side, baseline: Side, fragment: int, partner: int) -> bool:
    """True when references of two fragments of one form name one thing on one side where they do on the
    other, and the same place where they lead into the fragment itself."""
    start, other = (
        int(fixed.program.fragments.start[fragment]),
        int(baseline.program.fragments.start[partner]),
    )
    size = int(fixed.program.fragments.end[fragment]) - start
    rows = slice(fixed.first[fragment], fixed.last[fragment])
    left: list[int] = (fixed.program.references.target[rows] - start).tolist()
    rows = slice(baseline.first[partner], baseline.last[partner])
    right: list[int] = (baseline.program.references.target[rows] - other).tolist()
    pairs = set(zip(left, right, strict=True))
    inside = all(one == two for one, two in pairs if 0 <= one < size or 0 <= two < size)
    return inside and len(pairs) == len(set(left)) == len(set(right))


def _arguments(side: Side, fragment: int) -> tuple[Argument, ...]:
    start, end = int(side.program.fragments.start[fragment]), int(side.program.fragments.end[fragment])
    return arguments(side.program.image.read(start, end - start), start)
