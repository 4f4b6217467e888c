"""Lists of functions that a C runtime calls when an image is loaded or unloaded, as they lie in data.

Sources: Microsoft Learn, "CRT initialization", for the lists between ``__xc_a`` and ``__xc_z``; the GNU
linker's manual for ``__CTOR_LIST__``.
"""

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64, FieldForm, Program
from hpbuild.dataclass import dataclass
from hpbuild.match.sides import Side
from hpbuild.plan.cells import Cells
from hpbuild.values import Interval

_HEADS = frozenset(("__xc_a", "__xi_a", "__xp_a", "__xt_a", "__CTOR_LIST__", "___CTOR_LIST__"))
_MINUS_ONE = (1 << 64) - 1
Bools = npt.NDArray[np.bool_]
_SPACE = 8
"""Empty slots that a list may have before its first entry and behind its last."""


@dataclass(frozen=True, slots=True)
class InitialiserList:
    """One list: where it lies, and the roots of the functions that it names, in order; ``namers`` are the
    fragments that use it where nothing but its shape tells that it is one, else empty."""

    range: Interval
    entries: tuple[int, ...]
    namers: frozenset[int]


def initialiser_lists(side: Side) -> Iterator[InitialiserList]:
    """Lists of initialisers: known by the linker's names, or by their shape: relocated pointers to functions
    and nothing else, behind a first slot that is empty and named, in a function that names the end too; or
    behind a named first slot of minus one, before an empty one."""
    program, pointers = side.program, side.pointers
    slot = (program.fields.form == FieldForm.ADDR64) & (pointers.code >= 0) & (pointers.offset == 0)
    sites = program.fields.site[slot]
    roots = program.fragments.root[pointers.code[slot]]
    if not len(sites):
        return
    edges = np.flatnonzero(np.diff(sites) != 8) + 1
    lows, highs = np.append(0, edges), np.append(edges, len(sites))
    words = program.image.memory[(sites[lows] - 8)[:, None] + np.arange(8)].view("<u8")[:, 0]
    rows = np.flatnonzero((words == 0) | (words == _MINUS_ONE))  # nothing else stands before a list
    lows, highs = lows[rows], highs[rows]
    first, behind = sites[lows], sites[highs - 1] + 8
    limit = np.maximum(np.where(lows > 0, sites[lows - 1] + 8, 0), first - 8 * _SPACE)
    names = {int(side.atoms.start[atom]): name for atom, name in side.atoms.names.items() if name in _HEADS}
    namers = _Namers(side, np.concatenate([limit, behind]), np.concatenate([first, behind + 8 * _SPACE]))
    worth = np.flatnonzero(_may_have_heads(program, first, limit, behind, names, namers))
    for low, high, least in zip(*(column[worth].tolist() for column in (lows, highs, limit)), strict=True):
        start, end = int(sites[low]), int(sites[high - 1]) + 8
        head, by = _head(side, start, least, names, namers, end)
        if head >= 0:
            yield InitialiserList(Interval(head, end), tuple(roots[low:high].tolist()), by)


def _may_have_heads(
    program: Program, first: I64, limit: I64, behind: I64, names: Collection[int], namers: "_Namers"
) -> Bools:
    """Which of the lists may have a head: some slot before the first pointer, from ``limit`` on and behind
    empty ones, has one of ``names`` or is minus one, or a function names it and one ``behind`` the last."""
    slots = first[:, None] - 8 * np.arange(1, _SPACE + 1)
    inside = slots >= limit[:, None]
    slots = np.where(inside, slots, 0)
    words = program.image.memory[slots[:, :, None] + np.arange(8)].view("<u8")[:, :, 0]
    empty = np.logical_and.accumulate(words == 0, axis=1)
    inside[:, 1:] &= empty[:, :-1]
    known = among(slots.ravel(), np.array(sorted(names), dtype=np.int64)).reshape(slots.shape)
    found: Bools = (inside & (known | (words == _MINUS_ONE))).any(axis=1)
    number, place = np.nonzero(inside & empty)
    at = slots[number, place]
    row, owner = namers.between(at, at + 1)
    other, ender = namers.between(behind, behind + 8 * _SPACE + 1)
    number = number[row]
    found[number[among(number << 32 | owner, distinct(other << 32 | ender))]] = True
    return found


class _Namers:
    """Which functions name an address: take it, read what is there, or read a constant that points at it.
    Answers for addresses in the runs from ``starts`` to ``ends``, these included."""

    def __init__(self, side: Side, starts: I64, ends: I64) -> None:
        references, fields = side.program.references, side.program.fields
        near = Cells(side.program.image.size_of_image, starts, ends)
        rows = near.rows(fields.target)
        rows = rows[np.argsort(fields.target[rows], kind="stable")]
        self._pointed, self._sites = fields.target[rows], fields.site[rows]
        near.add(self._sites, self._sites)
        rows = np.flatnonzero((references.kind == RefKind.LEA) | (references.kind == RefKind.MEMORY))
        rows = rows[near.rows(references.target[rows])]
        rows = rows[np.argsort(references.target[rows], kind="stable")]
        self._targets = references.target[rows]
        self._owners = references.fragment[rows]

    def between(self, starts: I64, ends: I64) -> tuple[I64, I64]:
        """Columns (number of a run ``[start, end)``, fragment that names an address in it)."""
        run, owner = self._direct(starts, ends)
        low, high = self._pointed.searchsorted(starts), self._pointed.searchsorted(ends)
        sites = self._sites[members(low, high)]
        through, reader = self._direct(sites, sites + 1)
        pointing = np.repeat(np.arange(len(starts)), high - low)
        return np.concatenate([run, pointing[through]]), np.concatenate([owner, reader])

    def of(self, start: int, end: int) -> set[int]:
        """Fragments that name an address in ``[start, end)``."""
        return set(self.between(np.array([start]), np.array([end]))[1].tolist())

    def _direct(self, starts: I64, ends: I64) -> tuple[I64, I64]:
        low, high = self._targets.searchsorted(starts), self._targets.searchsorted(ends)
        return np.repeat(np.arange(len(starts)), high - low), self._owners[members(low, high)]


def _head(
    side: Side, first: int, limit: int, names: dict[int, str], namers: _Namers, behind: int
) -> tuple[int, frozenset[int]]:
    """Where the list with the first pointer at ``first`` begins, and who uses it where its shape alone makes
    it a list; -1 when the pointers are no list."""
    image, nobody = side.program.image, frozenset[int]()
    at, section, after = first - 8, image.section_at(first), None
    while at >= limit and image.section_at(at) is section:
        word = image.u64(at)
        if word == _MINUS_ONE:
            owners = namers.of(at, first + 1)
            ended = behind + 8 <= image.size_of_image and image.u64(behind) == 0
            return (at if ended and owners else -1), frozenset(owners)
        if word:
            break
        if names.get(at, "") in _HEADS:
            return at, nobody
        if after is None:
            after = namers.of(behind, behind + 8 * _SPACE + 1)
        owners = namers.of(at, at + 1) & after if after else set()
        if owners:
            return at, frozenset(owners)
        at -= 8
    return -1, nobody
