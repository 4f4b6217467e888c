"""The lists of functions that a run was given: what a package is limited to, and what is to be explained."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hpbuild.match.comparison import Comparison
from hpbuild.match.explanation import Explanation, explain
from hpbuild.plan.listing import Entry, Hits, entries, limit
from hpbuild.plan.only import Limit


@dataclass(slots=True)
class Lists:
    """Both lists, with what the modules so far had of them. Made by ``of``; ``settle`` ends it."""

    only: tuple[Entry, ...]
    explain: tuple[Entry, ...]
    alone: bool
    chosen: Hits = field(default_factory=Hits)
    asked: Hits = field(default_factory=Hits)

    @classmethod
    def of(cls, only: Sequence[str], explain: Sequence[str], paths: Sequence[str]) -> "Lists":
        """The lists against the modules at ``paths``. Raises HpbuildError HP2111."""
        return cls(entries(only, paths), entries(explain, paths), len(paths) == 1)

    def limit(self, comparison: Comparison, path: str) -> Limit | None:
        """What the package carries of the module at ``path``; None for all of it. Raises HpbuildError:
        HP2111, and HP2110 when this is the only module."""
        if not self.only:
            return None
        found = self.chosen.look(comparison, self.only, path)
        if self.alone:
            self.chosen.settle(self.only)
        return limit(comparison, found)

    def explanations(self, comparison: Comparison, path: str) -> tuple[Explanation, ...]:
        """The functions of the module at ``path`` that are to be explained, in the list's order. Raises
        HpbuildError as ``limit``."""
        found = self.asked.look(comparison, self.explain, path)
        if self.alone:
            self.asked.settle(self.explain)
        return tuple(explain(comparison, text, function) for text, function in found.items())

    def settle(self) -> None:
        """Every module was looked at. Raises HpbuildError: HP2110 for entries that none has, HP2111 for those
        that several have."""
        self.chosen.settle(self.only)
        self.asked.settle(self.explain)
