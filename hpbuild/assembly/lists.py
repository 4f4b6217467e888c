"""The lists of functions that a run was given: what a package is limited to, and what is to be explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpbuild.dataclass import dataclass, field
from hpbuild.plan.entries import Entry, Hits, entries

if TYPE_CHECKING:
    from hpbuild.match.comparison import Comparison
    from hpbuild.match.explained import Explanation
    from hpbuild.plan.only import Limit


@dataclass(frozen=True, slots=True)
class Seen:
    """What modules had of both lists, in the order of the modules."""

    chosen: Hits = field(default_factory=Hits)
    asked: Hits = field(default_factory=Hits)


@dataclass(frozen=True, slots=True)
class Lists:
    """Both lists, and what the modules so far had of them. Made by ``of``; ``settle`` ends it. Modules that
    are looked at elsewhere each get ``fresh`` lists, and what these have seen is added in the order of the
    modules."""

    only: tuple[Entry, ...]
    explain: tuple[Entry, ...]
    alone: bool
    seen: Seen = field(default_factory=Seen)

    @classmethod
    def of(cls, only: Sequence[str], explain: Sequence[str], paths: Sequence[str]) -> Lists:
        """The lists against the modules at ``paths``. Raises HpbuildError HP2111."""
        return cls(entries(only, paths), entries(explain, paths), len(paths) == 1)

    def fresh(self) -> Lists:
        """The same lists for one module, none seen."""
        return Lists(self.only, self.explain, self.alone)

    def add(self, seen: Seen) -> None:
        """Add what the next module had of the lists."""
        for mine, theirs in ((self.seen.chosen, seen.chosen), (self.seen.asked, seen.asked)):
            for text, modules in theirs.found.items():
                mine.found.setdefault(text, []).extend(modules)
            for text, cause in theirs.missing.items():
                mine.missing.setdefault(text, cause)

    def limit(self, comparison: Comparison, path: str) -> Limit | None:
        """What the package carries of the module at ``path``; None for all of it. Raises HpbuildError:
        HP2111, and HP2110 when this is the only module."""
        if not self.only:
            return None
        from hpbuild.plan.listing import limit

        found = self.seen.chosen.look(comparison, self.only, path)
        if self.alone:
            self.seen.chosen.settle(self.only)
        return limit(comparison, found)

    def explanations(self, comparison: Comparison, path: str) -> tuple[Explanation, ...]:
        """The functions of the module at ``path`` that are to be explained, in the list's order. Raises
        HpbuildError as ``limit``."""
        if not self.explain:
            return ()
        from hpbuild.match.explanation import explain

        found = self.seen.asked.look(comparison, self.explain, path)
        if self.alone:
            self.seen.asked.settle(self.explain)
        return tuple(explain(comparison, text, function) for text, function in found.items())

    def settle(self) -> None:
        """Every module was looked at. Raises HpbuildError: HP2110 for entries that none has, HP2111 for those
        that several have."""
        self.seen.chosen.settle(self.only)
        self.seen.asked.settle(self.explain)
