"""Where each reference of the carried code and data must lead: the patch or the baseline.

Many rows are answered at once, in columns. What is left, because it is refused or is neither code nor data,
is looked at row by row.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import I64
from hpbuild.codes import plan as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.places import Places, label
from hpbuild.plan.model import BaselineUse
from hpbuild.plan.numbering import Numbering
from hpbuild.values import Interval

Bools = npt.NDArray[np.bool_]
BASELINE = -1
"""As a chunk: the target lies in the baseline."""
_NOWHERE = (BASELINE, 0)
"""What cannot be resolved."""
_SLOT = 8
"""Bytes of an import slot."""


@dataclass(frozen=True, slots=True)
class Targets:
    """By row: the ``chunk`` that is named or ``BASELINE``, and the ``offset`` in it or the baseline's RVA."""

    chunk: I64
    offset: I64


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Rows of ``places``, with their addresses. ``control``: the field is a jump or call, which goes straight
    to new code; other fields keep the baseline's address of a function (pointer identity)."""

    places: Places
    rows: I64
    rva: I64
    control: Bools


class Resolver:
    """Answers where places of the fixed image lie after patching; uses of the baseline and refusals are
    collected on the way."""

    def __init__(self, comparison: Comparison, numbering: Numbering) -> None:
        self._comparison, self._numbering = comparison, numbering
        self._used_code = np.zeros(len(comparison.fixed.program.fragments), dtype=np.bool_)
        self._used_atoms = np.zeros(len(comparison.fixed.atoms), dtype=np.bool_)
        self._used_slots: set[int] = set()
        self._others: dict[tuple[int, int], tuple[int, int]] = {}
        self.findings: dict[tuple[str, str], Finding] = {}

    def targets(self, asked: Asked, owner: Callable[[int], str]) -> Targets:
        """The targets; ``owner`` names who a row (its number among those asked for) belongs to."""
        code, atom = asked.places.code[asked.rows], asked.places.atom[asked.rows]
        found = Targets(np.full(len(code), BASELINE, dtype=np.int64), np.zeros(len(code), dtype=np.int64))
        self._code(asked, np.flatnonzero(code >= 0), found, owner)
        self._data(asked, np.flatnonzero((code < 0) & (atom >= 0)), found, owner)
        rows = np.flatnonzero((code < 0) & (atom < 0))
        for row, rva in zip(rows.tolist(), asked.rva[rows].tolist(), strict=True):
            kind = int(asked.places.other[asked.rows[row]])
            known = self._others.get((rva, kind))
            if known is None:
                known = self._other(kind, rva, owner(row))
                if known is not _NOWHERE:  # that is refused to every owner anew
                    self._others[rva, kind] = known
            found.chunk[row], found.offset[row] = known
        return found

    def refuse(self, owner: str, cause: str) -> tuple[int, int]:
        """Record that something cannot be resolved."""
        finding = Finding(codes.UNRESOLVED, owner, cause)
        self.findings.setdefault((finding.place, cause), finding)
        return _NOWHERE

    def uses(self) -> tuple[BaselineUse, ...]:
        """Every place of the baseline that was named, each once, in order."""
        comparison = self._comparison
        data, atoms, baseline = comparison.data, comparison.fixed.atoms, comparison.baseline.program
        partner = comparison.pairing.fixed[self._used_code]
        used = np.flatnonzero(self._used_atoms)
        slots = np.array(sorted(self._used_slots), dtype=np.int64)
        place, length = data.baseline[used], atoms.end[used] - atoms.start[used]
        room = _room(comparison, place, length)
        start = np.concatenate([baseline.fragments.start[partner], place, slots])
        end = np.concatenate(
            [baseline.fragments.end[partner], place + np.minimum(length, room), slots + _SLOT]
        )
        constant = np.ones(len(start), dtype=np.bool_)
        constant[len(partner) : len(partner) + len(used)] = atoms.memory[used] == Memory.RODATA
        constant[len(partner) + len(used) :] = False
        order = np.lexsort((constant, end, start))
        rows = zip(*(column[order].tolist() for column in (start, end, constant)), strict=True)
        return tuple(BaselineUse(Interval(low, high), fixed) for low, high, fixed in dict.fromkeys(rows))

    def _code(self, asked: Asked, rows: I64, found: Targets, owner: Callable[[int], str]) -> None:
        comparison, numbering = self._comparison, self._numbering
        pairing, fixed = comparison.pairing, comparison.fixed.program.fragments
        code, offset = asked.places.code[asked.rows[rows]], asked.places.offset[asked.rows[rows]]
        partner, carried = pairing.fixed[code], numbering.fragment_chunk[code] >= 0
        entry = (offset == 0) & (fixed.root[code] == code)
        new = carried & (asked.control[rows] | ~entry | (partner < 0))
        found.chunk[rows[new]] = numbering.fragment_chunk[code[new]]
        found.offset[rows[new]] = numbering.fragment_offset[code[new]] + offset[new]
        lost = ~new & (partner < 0)
        inside = ~new & ~lost & (offset != 0) & ~comparison.agreement.identical[code]
        old = ~new & ~lost & ~inside
        found.offset[rows[old]] = comparison.baseline.program.fragments.start[partner[old]] + offset[old]
        self._used_code[code[old & ~carried]] = True
        for row in rows[lost | inside].tolist():
            rva = int(asked.rva[row])
            if pairing.fixed[asked.places.code[asked.rows[row]]] < 0:
                self.refuse(owner(row), f"code at {rva:#x} has no counterpart")
            else:
                self.refuse(owner(row), f"{rva:#x} lies inside a changed function that is not carried")

    def _data(self, asked: Asked, rows: I64, found: Targets, owner: Callable[[int], str]) -> None:
        numbering = self._numbering
        atom, offset = asked.places.atom[asked.rows[rows]], asked.places.offset[asked.rows[rows]]
        chunk, start = numbering.atom_chunk[atom], self._comparison.data.baseline[atom]
        carried, lost = chunk >= 0, (chunk < 0) & (start < 0)
        found.chunk[rows] = chunk
        found.offset[rows] = np.where(carried, numbering.atom_offset[atom], start) + offset
        found.offset[rows[lost]] = 0
        self._used_atoms[atom[~carried & ~lost]] = True
        for row in rows[lost].tolist():
            self.refuse(owner(row), f"data at {int(asked.rva[row]):#x} has no counterpart")

    @cached_property
    def _slots(self) -> dict[str, int]:
        """The first import slot of each name in the baseline."""
        found: dict[str, int] = {}
        for rva, name in sorted(self._comparison.baseline.program.slots.items()):
            found.setdefault(name, rva)
        return found

    def _other(self, kind: int, rva: int, owner: str) -> tuple[int, int]:
        """The target of what is neither code nor data; ``kind`` as in ``Places.other``."""
        fixed, baseline = self._comparison.fixed.program, self._comparison.baseline.program
        slot = fixed.slots.get(rva)
        if slot is not None:
            there = self._slots.get(slot)
            if there is None:
                finding = Finding(codes.NEW_IMPORT, owner, f"imports {slot}")
                self.findings.setdefault((owner, slot), finding)
                return _NOWHERE
            self._used_slots.add(there)
            return BASELINE, there
        if 0 <= rva < min(fixed.image.size_of_headers, baseline.image.size_of_headers):
            return BASELINE, rva
        for name, start, end in fixed.metadata:
            if start <= rva < end:
                return self._structure(name, rva - start, kind, rva, owner)
        return self.refuse(owner, f"{rva:#x} is neither code nor data")

    def _structure(self, name: str, offset: int, kind: int, rva: int, owner: str) -> tuple[int, int]:
        """A loader structure of the baseline with the same class and offset."""
        metadata = self._comparison.baseline.program.metadata
        runs = [(start, end) for klass, start, end in metadata if klass == name]
        if len(runs) == 1 and runs[0][0] + offset < runs[0][1] and kind == label(name, offset):
            return BASELINE, runs[0][0] + offset
        return self.refuse(owner, f"{rva:#x} lies in the loader's {name}")


def _room(comparison: Comparison, place: I64, otherwise: I64) -> I64:
    """Bytes from each place of the baseline to the end of its section; ``otherwise`` where it is in none."""
    room = otherwise.copy()
    for section in reversed(comparison.baseline.program.image.sections):
        inside = (section.rva <= place) & (place < section.rva + section.virtual_size)
        room[inside] = section.rva + section.virtual_size - place[inside]
    return room
