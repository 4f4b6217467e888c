"""The entries of a list of functions, against the modules of a release: which names what, where.

An entry is what ``match.lookup`` understands. In a tree, ``FILE!`` before it names the module, by its path in
the release or by its file name; without it exactly one module must have such a function. What looks into
images is imported when there is an entry to be looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpbuild.codes import match as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError

if TYPE_CHECKING:
    from hpbuild.match.comparison import Comparison
    from hpbuild.match.lookup import Found


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list: ``text`` as it was written, ``name`` without the module, ``module`` the path that
    it is qualified with or None."""

    text: str
    name: str
    module: str | None


def entries(texts: Sequence[str], paths: Sequence[str]) -> tuple[Entry, ...]:
    """The entries of a list, each once, in its order. ``paths`` are the modules of the release; an entry is
    qualified when a part before a ``!`` names one of them, letter case aside. HP2111 when that file name is
    that of several."""
    return tuple(_entry(text, paths) for text in dict.fromkeys(texts))


def _entry(text: str, paths: Sequence[str]) -> Entry:
    front, mark, name = text.partition("!")
    if not mark or not name:
        return Entry(text, text, None)
    wanted = front.replace("\\", "/").lower()
    exact = [path for path in paths if path.lower() == wanted]
    found = exact or [path for path in paths if path.lower().rpartition("/")[2] == wanted]
    if len(found) > 1:
        raise HpbuildError(codes.AMBIGUOUS_FUNCTION, text[:200], f"the file is {' or '.join(sorted(found))}")
    return Entry(text, name, found[0]) if found else Entry(text, text, None)


@dataclass(slots=True)
class Hits:
    """What the modules looked at so far have: ``found`` the modules of each entry, ``missing`` why a module
    does not have it."""

    found: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def look(self, comparison: Comparison, wanted: Sequence[Entry], path: str) -> dict[str, Found]:
        """The functions of the module at ``path`` that entries name, by their text. Raises HpbuildError:
        HP2111 for a name that stands for several of them."""
        functions: dict[str, Found] = {}
        here = [entry for entry in wanted if entry.module in (None, path)]
        if not here:
            return functions
        from hpbuild.match.lookup import Lookup

        lookup = Lookup(comparison)
        for entry in here:
            try:
                functions[entry.text] = lookup.find(entry.name)
            except HpbuildError as error:
                if error.code is not codes.UNKNOWN_FUNCTION:
                    raise
                self.missing.setdefault(entry.text, error.finding.cause)
            else:
                self.found.setdefault(entry.text, []).append(path)
        return functions

    def settle(self, wanted: Sequence[Entry]) -> None:
        """All modules were looked at. Raises HpbuildError: HP2110 for an entry that none of them has, HP2111
        for one that several have."""
        for entry in wanted:
            modules = self.found.get(entry.text, [])
            if not modules:
                cause = self.missing.get(entry.text, "no file that differs has it")
                raise HpbuildError(codes.UNKNOWN_FUNCTION, entry.text[:200], cause)
            if len(modules) > 1:
                cause = f"it is in {', '.join(sorted(modules)[:5])}"
                raise HpbuildError(codes.AMBIGUOUS_FUNCTION, entry.text[:200], cause)
