"""Where each reference of the carried code and data must lead: the patch or the baseline."""

from dataclasses import dataclass, field
from typing import NamedTuple

from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.places import Places, label
from hpbuild.plan.model import BaselineUse, Target
from hpbuild.plan.selection import Selection
from hpbuild.values import Interval


class Where(NamedTuple):
    """One place of the fixed image: its address and what lies there (see ``match.places.Places``)."""

    rva: int
    code: int
    atom: int
    offset: int
    other: int


_NOWHERE = Target(None, 0)
"""What cannot be resolved."""


def where(places: Places, row: int, rva: int) -> Where:
    """Row ``row`` of ``places``, whose address is ``rva``."""
    return Where(
        rva, int(places.code[row]), int(places.atom[row]), int(places.offset[row]), int(places.other[row])
    )


@dataclass(slots=True)
class Resolver:
    """Answers where a fixed place lies after patching. ``chunk_of`` maps carried fragments and carried
    objects' first atoms and unwind atoms to (chunk, offset in the chunk); uses of the baseline and
    refusals are collected on the way."""

    comparison: Comparison
    selection: Selection
    fragment_chunk: dict[int, tuple[int, int]] = field(default_factory=dict)
    atom_chunk: dict[int, tuple[int, int]] = field(default_factory=dict)
    uses: set[BaselineUse] = field(default_factory=set)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    _known: dict[int, Target] = field(default_factory=dict)

    def row(
        self, places: Places, row: int, rva: int, control: bool, owner: str, behind: bool = False
    ) -> Target:
        """``target`` of row ``row`` of ``places``, whose address is ``rva``; ``behind`` when it belongs with
        the byte before it. An address is resolved once."""
        key = rva << 2 | behind << 1 | control
        found = self._known.get(key)
        if found is None:
            found = self.target(where(places, row, rva), control, owner)
            if found is not _NOWHERE:  # that is refused to every owner anew
                self._known[key] = found
        return found

    def target(self, place: Where, control: bool, owner: str) -> Target:
        """The target for a field that names ``place``. ``control``: the field is a jump or call, which goes
        straight to new code; other fields keep the baseline's address of a function (pointer identity)."""
        if place.code >= 0:
            return self._code(place, control, owner)
        if place.atom >= 0:
            return self._atom(place, owner)
        return self._other(place, owner)

    def refuse(self, owner: str, cause: str) -> Target:
        """Record that something cannot be resolved."""
        finding = Finding(codes.UNRESOLVED, owner, cause)
        self.findings.setdefault((finding.place, cause), finding)
        return _NOWHERE

    def _code(self, place: Where, control: bool, owner: str) -> Target:
        pairing, baseline = self.comparison.pairing, self.comparison.baseline.program.fragments
        partner = int(pairing.fixed[place.code])
        fixed = self.comparison.fixed.program.fragments
        carried = self.fragment_chunk.get(place.code)
        entry = place.offset == 0 and int(fixed.root[place.code]) == place.code
        if carried is not None and (control or not entry or partner < 0):
            return Target(carried[0], carried[1] + place.offset)
        if partner < 0:
            return self.refuse(owner, f"code at {place.rva:#x} has no counterpart")
        if place.offset and not self.comparison.agreement.identical[place.code]:
            return self.refuse(owner, f"{place.rva:#x} lies inside a changed function that is not carried")
        start, end = int(baseline.start[partner]), int(baseline.end[partner])
        if carried is None:
            self.uses.add(BaselineUse(Interval(start, end), True))
        return Target(None, start + place.offset)

    def _atom(self, place: Where, owner: str) -> Target:
        carried = self.atom_chunk.get(place.atom)
        if carried is not None:
            return Target(carried[0], carried[1] + place.offset)
        data, atoms = self.comparison.data, self.comparison.fixed.atoms
        start = int(data.baseline[place.atom])
        if start < 0:
            return self.refuse(owner, f"data at {place.rva:#x} has no counterpart")
        length = int(atoms.end[place.atom] - atoms.start[place.atom])
        baseline = self.comparison.baseline
        limit = baseline.program.image.section_at(start)
        room = limit.rva + limit.virtual_size - start if limit else length
        constant = bool(atoms.memory[place.atom] == Memory.RODATA)
        self.uses.add(BaselineUse(Interval(start, start + min(length, room)), constant))
        return Target(None, start + place.offset)

    def _other(self, place: Where, owner: str) -> Target:
        fixed, baseline = self.comparison.fixed.program, self.comparison.baseline.program
        slot = fixed.slots.get(place.rva)
        if slot is not None:
            there = min((rva for rva, name in baseline.slots.items() if name == slot), default=None)
            if there is None:
                finding = Finding(codes.NEW_IMPORT, owner, f"imports {slot}")
                self.findings.setdefault((owner, slot), finding)
                return _NOWHERE
            self.uses.add(BaselineUse(Interval(there, there + 8), False))
            return Target(None, there)
        if 0 <= place.rva < min(fixed.image.size_of_headers, baseline.image.size_of_headers):
            return Target(None, place.rva)
        for name, start, end in fixed.metadata:
            if start <= place.rva < end:
                return self._structure(name, place.rva - start, place, owner)
        return self.refuse(owner, f"{place.rva:#x} is neither code nor data")

    def _structure(self, name: str, offset: int, place: Where, owner: str) -> Target:
        """A loader structure of the baseline with the same class and offset."""
        runs = [
            (start, end) for kind, start, end in self.comparison.baseline.program.metadata if kind == name
        ]
        if len(runs) == 1 and runs[0][0] + offset < runs[0][1] and place.other == label(name, offset):
            return Target(None, runs[0][0] + offset)
        return self.refuse(owner, f"{place.rva:#x} lies in the loader's {name}")
