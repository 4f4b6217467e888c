"""Does a reference land on the counterpart of its target? The heart of the proof, over whole columns.

A target of the fixed image has up to two counterparts: in the baseline, and in the patch image when the
package carries it. Which one is right depends on who refers and what for (design, section 5, "Traps").
"""

import numpy as np
import numpy.typing as npt

from hpbuild.dataclass import dataclass
from hpbuild.prove.ownership import NOWHERE, Owner, Ownership, Slots, slot_of
from hpbuild.prove.references import Numbers, Use

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Correspondence:
    """Judge of pairs (target in the fixed image, target in the other space)."""

    owners: Ownership
    slots: Slots

    def counterparts(self, targets: Numbers, uses: Numbers, carried: bool) -> tuple[Numbers, Numbers]:
        """For each target the right address, and a second one that is right as well (else NOWHERE).

        ``carried`` says that the reference stands in carried code or data. Import slots are not judged
        here. A target that is exactly the end of a run, and begins no other, corresponds to the end of
        the run's counterpart, unless it is branched to. What is left out by choice has a counterpart for
        code and data that stay, never for what is carried.
        """
        rows, state = self.owners.find(targets)
        if not len(self.owners.start):
            nothing = np.full(len(targets), NOWHERE, dtype=np.int64)
            return nothing, nothing
        owner = self.owners.owner[rows]
        provided = (owner == Owner.FUNCTION) | (owner == Owner.DATUM)
        kept = owner == Owner.LEFT_OUT
        inside = (state == 1) | ((state == 2) & (uses != Use.BRANCH))
        stays = np.where(inside & ~provided & ~kept, targets + self.owners.baseline[rows], NOWHERE)
        entry = np.where(
            (state == 1) & (targets == self.owners.start[rows]), self.owners.entry[rows], NOWHERE
        )
        if not carried:
            return np.where(provided | kept, entry, stays), np.full(len(targets), NOWHERE, dtype=np.int64)
        copy = np.where(inside & provided, targets + self.owners.patch[rows], NOWHERE)
        entry = np.where(kept, NOWHERE, entry)
        by_identity = (entry != NOWHERE) & (uses == Use.ADDRESS)
        first = np.where(provided, np.where(by_identity, entry, copy), stays)
        second = np.where((uses == Use.UNWIND) & (entry != NOWHERE), entry, NOWHERE)
        return first, second

    def right(self, targets: Numbers, others: Numbers, uses: Numbers, carried: bool) -> Flags:
        """For each pair: does ``others`` hold the counterpart of ``targets``?"""
        first, second = self.counterparts(targets, uses, carried)
        plain = (others >= 0) & ((others == first) | (others == second))
        slot, offset = slot_of(self.slots.fixed, self.slots.fixed_key, targets)
        other_slot, other_offset = slot_of(self.slots.baseline, self.slots.baseline_key, others)
        either = (slot != NOWHERE) | (other_slot != NOWHERE)
        result: Flags = np.where(either, (slot == other_slot) & (offset == other_offset), plain)
        return result

    def explain(self, target: int, other: int, use: int, carried: bool) -> str:
        """Words for a pair that is not right."""
        column = np.array([target], dtype=np.int64)
        uses = np.array([use], dtype=np.int64)
        first, second = self.counterparts(column, uses, carried)
        wanted = " or ".join(f"{int(value[0]):#x}" for value in (first, second) if value[0] != NOWHERE)
        slot, _ = slot_of(self.slots.fixed, self.slots.fixed_key, column)
        if slot[0] != NOWHERE:
            wanted = f"the slot of {self.slots.names[int(slot[0])]}"
        found = f"{other:#x}" if other >= 0 else "an address outside the image"
        return f"{self._describe(target)}; counterpart {wanted or 'none'}, found {found}"

    def _describe(self, target: int) -> str:
        rows, state = self.owners.find(np.array([target], dtype=np.int64))
        if not state[0]:
            return f"target {target:#x} (in nothing that corresponds)"
        row = int(rows[0])
        names = (
            "identical code",
            "identical data",
            "carried function",
            "carried datum",
            "loader table",
            "left out",
        )
        name, start = names[int(self.owners.owner[row])], int(self.owners.start[row])
        return f"target {target:#x} ({name} {start:#x}+{target - start:#x})"
