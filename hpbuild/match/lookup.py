"""Functions by name or address, as people write them.

``NAME`` is the exact name of a function: its symbol (plain or mangled), its export, or the ``sub_`` and RVA
that stands for a name. ``0x1234`` is the RVA of any of its bytes in the fixed image. A name or address with
``baseline:`` before it is one of the baseline. A plain name that only the baseline has is looked up there.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

import numpy as np

from hpbuild.code.model import Program
from hpbuild.codes import match as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.match.comparison import Comparison
from hpbuild.pe.symbols import SymbolKind

BASELINE = "baseline:"
SHOWN = 5
_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_NAMELESS = re.compile(r"sub_([0-9a-f]{1,8})")


@dataclass(frozen=True, slots=True)
class Found:
    """A function by the root fragments of its two sides: -1 where a side does not have it."""

    fixed: int
    baseline: int


class Lookup:
    """Answers for one pair of images; made once, asked for each entry of a list. The names of an image are
    collected when one is asked for."""

    __slots__ = ("_comparison", "_names")

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._names: dict[bool, dict[str, set[int]]] = {}

    def find(self, text: str) -> Found:
        """The function that ``text`` names. Raises HpbuildError: HP2110 when there is none, with the names
        that come close; HP2111 when there are several."""
        in_baseline = text.startswith(BASELINE)
        wanted = text.removeprefix(BASELINE)
        roots = self._roots(wanted, in_baseline)
        if not roots and not in_baseline and not _ADDRESS.fullmatch(wanted):
            in_baseline, roots = True, self._roots(wanted, True)
        if not roots:
            raise HpbuildError(codes.UNKNOWN_FUNCTION, text[:200], _unknown(self._comparison, wanted))
        if len(roots) > 1:
            start = self._program(in_baseline).fragments.start
            prefix = BASELINE if in_baseline else ""
            places = [f"{prefix}{int(start[root]):#x}" for root in sorted(roots)]
            more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
            cause = f"it is at {', '.join(places[:SHOWN])}{more}"
            raise HpbuildError(codes.AMBIGUOUS_FUNCTION, text[:200], cause)
        (root,) = roots
        facts = self._comparison.facts
        if in_baseline:
            ours = facts.roots[facts.partner == root]
            return Found(int(ours[0]) if len(ours) else -1, root)
        theirs = facts.partner[facts.roots == root]
        return Found(root, int(theirs[0]) if len(theirs) else -1)

    def _program(self, in_baseline: bool) -> Program:
        return (self._comparison.baseline if in_baseline else self._comparison.fixed).program

    def _roots(self, wanted: str, in_baseline: bool) -> set[int]:
        """Root fragments of the functions that ``wanted`` names in one image."""
        program = self._program(in_baseline)
        if _ADDRESS.fullmatch(wanted):
            return _at(program, int(wanted, 16))
        if in_baseline not in self._names:
            self._names[in_baseline] = _index(program)
        roots = set(self._names[in_baseline].get(wanted, ()))
        nameless = _NAMELESS.fullmatch(wanted)
        if roots or nameless is None:
            return roots
        return {root for root in _at(program, int(nameless[1], 16)) if program.name_of(root) == wanted}


def find(comparison: Comparison, text: str) -> Found:
    """``Lookup.find`` for one entry."""
    return Lookup(comparison).find(text)


def _index(program: Program) -> dict[str, set[int]]:
    """Name -> root fragments of the functions of that name."""
    found: dict[str, set[int]] = {}
    rows = list(_names(program))
    table, rva = program.fragments, np.array([place for _, place in rows], dtype=np.int64)
    at = table.start.searchsorted(rva)
    known = np.append(table.start, -1)[at] == rva
    for row, root in zip(np.flatnonzero(known).tolist(), table.root[at[known]].tolist(), strict=True):
        found.setdefault(rows[row][0], set()).add(root)
    return found


def _at(program: Program, rva: int) -> set[int]:
    """The root of the function that holds ``rva``."""
    fragment = program.fragment_at(rva) if rva < program.image.size_of_image else -1
    if fragment < 0:
        return set()
    root = int(program.fragments.root[fragment])
    return set() if program.fragments.opaque[root] else {root}


def _names(program: Program) -> Iterator[tuple[str, int]]:
    """Every name of code with its RVA."""
    for symbol in program.symbols.items:
        if symbol.kind is SymbolKind.FUNCTION:
            yield symbol.name, int(symbol.rva)
            if symbol.linkage_name:
                yield symbol.linkage_name, int(symbol.rva)
    start = program.fragments.start.data
    for index, name in [*program.exported, *program.names.items()]:
        yield name, start[index]


def _unknown(comparison: Comparison, wanted: str) -> str:
    if _ADDRESS.fullmatch(wanted):
        return "no function is there"
    near = close_names(comparison, wanted)
    return f"no function has this name; close to it: {', '.join(near)}" if near else "nothing comes close"


def close_names(comparison: Comparison, wanted: str) -> list[str]:
    """Names of functions of either image that resemble ``wanted``, the nearest first."""
    names = {name for side in (comparison.fixed, comparison.baseline) for name, _ in _names(side.program)}
    return _nearest(wanted, names)


def _nearest(wanted: str, names: Iterable[str]) -> list[str]:
    """At most ``SHOWN`` names: those that contain the text first, then by likeness."""
    known = sorted(names)
    if not wanted:
        return []
    inside = [name for name in known if wanted.lower() in name.lower()][:SHOWN]
    like = get_close_matches(wanted[:200], [name for name in known if len(name) <= 200], n=SHOWN)
    return list(dict.fromkeys([*inside, *like]))[:SHOWN]
