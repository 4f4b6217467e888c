"""What the baseline has of the data that a package would carry."""

from functools import cached_property

import numpy as np

from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import referenced
from hpbuild.plan.objects import Users

_RODATA = int(Memory.RODATA)


class Counterparts:
    """Answers for data of the fixed image; ``who`` are its users."""

    def __init__(self, comparison: Comparison, who: Users) -> None:
        self._comparison = comparison
        data, atoms = comparison.data, comparison.fixed.atoms
        named = (who.functions.present | who.atoms.present) & (atoms.memory == _RODATA)
        self._named, self._old, self._same = named.data, (data.baseline >= 0).data, data.same.data

    def has_old(self, members: tuple[int, ...]) -> bool:
        """Some part of a constant that code or data names is there in the baseline: who names that must be
        carried too. No part of a variable counts."""
        return any(self._named[one] and self._old[one] for one in members)

    def differs(self, members: tuple[int, ...], first: int) -> bool:
        """A constant is not the one that the baseline has, though parts of it may be; or ``first`` is not."""
        if not self._same[first]:
            return True
        return any(self._named[one] and not (self._old[one] and self._same[one]) for one in members)

    def surely_new(self, atom: int) -> bool:
        """A writable atom without a counterpart is new: the baseline has none that lost its partner."""
        baseline = self._comparison.baseline
        name = self._comparison.fixed.atoms.names.get(atom)
        if name and baseline.program.symbols.source != "none":
            return name not in self._old_names
        return not self._orphans

    @cached_property
    def _old_names(self) -> frozenset[str]:
        return frozenset(self._comparison.baseline.atoms.names.values())

    @cached_property
    def _orphans(self) -> bool:
        """The baseline has named variables without a counterpart."""
        baseline, data = self._comparison.baseline, self._comparison.data
        kept = np.zeros(len(baseline.atoms), dtype=np.bool_)
        places = baseline.atoms.at(data.baseline[data.baseline >= 0])
        kept[places[places >= 0]] = True
        return bool(np.any(~kept & referenced(baseline) & (baseline.atoms.memory != Memory.RODATA)))


def changed_initialiser(comparison: Comparison, atom: int) -> Finding:
    """The refusal for a writable atom whose initial content differs."""
    atoms = comparison.fixed.atoms
    start, end = int(atoms.start[atom]), int(atoms.end[atom])
    name = atoms.names.get(atom, "")
    place = f"variable {name or 'at'} {start:#x}"
    other = int(comparison.data.baseline[atom])
    return Finding(codes.CHANGED_INITIALISER, place, f"{end - start} bytes, in the baseline at {other:#x}")
