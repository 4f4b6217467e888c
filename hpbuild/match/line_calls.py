"""The calls from which line numbers are judged: constant arguments by callee, and who is called."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from hpbuild.code.arguments import UNKNOWN_CALLEE, calls
from hpbuild.dataclass import dataclass
from hpbuild.match.line_sites import Site
from hpbuild.match.line_texts import source_name
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side

_JUMP_MEMORY: Final = b"\xff\x25"
_LOAD: Final = b"\x8b"
BEFORE: Final = (1, 2, 3)
"""Bytes before the field of a direct call, of one through a slot, and of a jump through one with a prefix."""

Key = tuple[int, int]
"""(callee, argument)"""


@dataclass(frozen=True, slots=True)
class Calls:
    """The constant arguments of both sides, by callee and argument; ``candidates`` are the fixed fragments
    that differ in nothing but such constants."""

    fixed: Side
    baseline: Side
    pairing: Pairing
    candidates: frozenset[int]
    groups: Mapping[Key, Sequence[Site]]

    def changed(self) -> list[Key]:
        """Known callees and arguments of which some constant differs, those with most constants first."""
        found = (
            key
            for key, sites in self.groups.items()
            if key[0] >= 0 and any(site.old != site.new for site in sites)
        )
        return sorted(found, key=lambda key: (-len(self.groups[key]), key))

    def always_constant(self, key: Key) -> bool:
        """True when every unchanged or candidate caller passes a constant there, at every call."""
        return self.every_call(frozenset((key[0],)), self.groups[key], held=False)

    def every_call(self, through: frozenset[int], sites: Iterable[Site], *, held: bool) -> bool:
        """True when all that unchanged and candidate fragments do with ``through`` are calls that one of
        ``sites`` is passed to; a jump from one of them to another counts for nothing. ``held``: they may also
        keep in a register what lies there, and call that."""
        references = self.fixed.program.references
        seen = {site.call for site in sites}
        wanted = np.array(sorted(through), dtype=np.int64)
        for row in np.flatnonzero(np.isin(references.target, wanted)).tolist():
            owner = int(references.fragment[row])
            mate = int(self.pairing.fixed[owner])
            equal = mate >= 0 and self.fixed.forms[owner] == self.baseline.forms[mate]
            site = int(references.site[row])
            if site - 2 in through or not (equal or owner in self.candidates):
                continue
            if seen.isdisjoint(site - before for before in BEFORE) and not (
                held and self._only_called(owner, site, through, seen)
            ):
                return False
        return True

    def _only_called(self, owner: int, site: int, through: frozenset[int], seen: set[int]) -> bool:
        """True when ``site`` loads a register, and ``owner`` calls by registers: with one of the sites where
        the register is known to hold such an address."""
        image, fragments, references = (
            self.fixed.program.image,
            self.fixed.program.fragments,
            self.fixed.program.references,
        )
        if image.read(site - 2, 1) != _LOAD:
            return False
        start, end = int(fragments.start[owner]), int(fragments.end[owner])
        every = calls(image.read(start, end - start), start)
        # Behind a jump table nothing is known of registers: such a call is not seen, but it is one.
        unknown = any(callee == UNKNOWN_CALLEE for _, callee in every)
        made = {call for call, callee in every if callee in through}
        rows = slice(int(self.fixed.first[owner]), int(self.fixed.last[owner]))
        own = references.site[rows][np.isin(references.target[rows], np.array(sorted(through)))].tolist()
        made -= {field - before for field in own for before in BEFORE}
        return (bool(made) or unknown) and made <= seen


def groups(sites: Iterable[Site]) -> Mapping[Key, Sequence[Site]]:
    """Constant arguments by callee and argument."""
    found: dict[Key, list[Site]] = defaultdict(list)
    for site in sites:
        found[site.callee, site.position].append(site)
    return found


def imported(side: Side, callee: int) -> str:
    """What ``callee`` is in another image, "library!name"; '' when it is this image's own."""
    if _jumps_through_memory(side, callee):
        references = side.program.references
        row = int(np.searchsorted(references.site, callee + len(_JUMP_MEMORY)))
        if row < len(references) and references.site[row] == callee + len(_JUMP_MEMORY):
            callee = int(references.target[row])
    return side.program.slots.get(callee, "")


def doors(side: Side, callee: int) -> frozenset[int]:
    """All through which the function behind ``callee`` is called: ``callee`` alone, or for a function of
    another image the slots that hold its address and the functions that do nothing but jump there."""
    name = imported(side, callee)
    if not name:
        return frozenset((callee,))
    slots = {slot for slot, text in side.program.slots.items() if text == name}
    references = side.program.references
    fields = np.isin(references.target, np.array(sorted(slots), dtype=np.int64))
    starts = side.program.fragments.start[references.fragment[fields]]
    jumps = starts[references.site[fields] == starts + len(_JUMP_MEMORY)].tolist()
    return frozenset((*slots, *(rva for rva in jumps if _jumps_through_memory(side, rva))))


def _jumps_through_memory(side: Side, rva: int) -> bool:
    size = side.program.image.size_of_image
    return 0 <= rva <= size - len(_JUMP_MEMORY) and side.program.image.read(rva, 2) == _JUMP_MEMORY


def by_file(side: Side, sites: Iterable[Site], position: int) -> Mapping[str, list[Site]]:
    """Sites by the source file whose name the same call gets as argument ``position``, '' when none."""
    found: dict[str, list[Site]] = defaultdict(list)
    for site in sites:
        names = {source_name(side, rva) for place, rva in site.addresses if place == position}
        found[names.pop() if len(names) == 1 else ""].append(site)
    return found
