"""What runs only while an image is loaded or unloaded: its entry point, thread-local callbacks, and the lists
of initialisers that a C runtime walks.

Sources: PE specification, sections "The .tls Section" and "AddressOfEntryPoint"; Microsoft Learn, "CRT
initialization", for the lists between ``__xc_a`` and ``__xc_z``; the GNU linker's manual for
``__CTOR_LIST__``.
"""

from collections.abc import Collection, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64, FieldForm, Program
from hpbuild.dataclass import dataclass
from hpbuild.match.sides import Side
from hpbuild.pe.tls import tls
from hpbuild.plan.parts import record_runs
from hpbuild.values import Interval

_IS_DLL = 0x2000
"""IMAGE_FILE_DLL: the entry point is called, and returns, while the image is loaded."""
_HEADS = frozenset(("__xc_a", "__xi_a", "__xp_a", "__xt_a", "__CTOR_LIST__", "___CTOR_LIST__"))
_MINUS_ONE = (1 << 64) - 1
_CELL = 6
"""Addresses are looked for by cells of 64 bytes first."""
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


class Startup:
    """Answers for one side which functions run only while the image is loaded or unloaded.

    ``entry`` is the root of the entry point or -1, ``callbacks`` are those of the thread-local callbacks;
    ``lists`` are the lists of initialisers; ``uses`` are those of the side. The entry point of a program runs
    all of it: there it counts only with ``whole`` False.
    """

    __slots__ = (
        "_entered", "_living", "_reached", "_side", "_uses", "callbacks", "entry", "lists", "roots"
    )  # fmt: skip

    def __init__(self, side: Side, lists: tuple[InitialiserList, ...], whole: bool, uses: "_Uses") -> None:
        self._side, self._uses, self.lists = side, uses, lists
        image = side.program.image
        local = uses.tls
        self.callbacks = tuple(_root(side.program, rva) for rva in (local.callbacks if local else ()))
        self.entry = _root(side.program, image.entry_point) if image.entry_point else -1
        once = not whole or image.characteristics & _IS_DLL
        roots = {root for item in lists for root in item.entries} | set(self.callbacks)
        self.roots = frozenset(roots | ({self.entry} if once else set())) - {-1}
        self._entered = -1 if once else self.entry
        self._living: Bools | None = None
        self._reached: Bools | None = None

    def only(self, root: int) -> bool:
        """True when every way to the function ``root`` that is known begins in the loader's own calls."""
        if self._reached is None:
            self._reached = self._later()
        return not self._reached[root]

    def _later(self) -> Bools:
        """By fragment, for the first of each function: some way to it begins elsewhere."""
        found, started = self._live() | ~self._uses.called, np.zeros(len(self._live()), dtype=np.bool_)
        started[list(self.roots)] = True
        found &= self._live() | ~started
        callers, callees = self._uses.calls
        rest = ~found[callees]
        callers, callees = callers[rest], callees[rest]
        fresh = distinct(callers[found[callers]])
        while len(fresh):
            low, high = callers.searchsorted(fresh), callers.searchsorted(fresh, side="right")
            led = callees[members(low, high)]
            fresh = distinct(led[~found[led]])
            found[fresh] = True
        return found

    def idle(self, root: int) -> bool:
        """True for a function that nothing is known to use: its callers have it inlined."""
        return not (self._live()[root] or root in self.roots or self._uses.called[root])

    def all_only(self, roots: set[int]) -> bool:
        """True when there are ``roots``, and ``only`` of each."""
        return bool(roots) and all(self.only(root) for root in roots)

    def _live(self) -> Bools:
        """By fragment: other modules or unknown callers reach the function that begins with it. It is
        exported, a handler, or its address is taken anywhere but in a list of initialisers."""
        if self._living is None:
            uses = self._uses
            self._living = uses.taken.copy()
            self._living[[self._entered] if self._entered >= 0 else []] = True
            skip = [item.range for item in self.lists]
            skip += [uses.tls.callbacks_table] if uses.tls else []
            self._living[uses.pointed[~_inside(uses.sites, skip, *uses.records)]] = True
        return self._living


def _root(program: Program, rva: int) -> int:
    fragment = program.fragment_at(rva)
    return int(program.fragments.root[fragment]) if fragment >= 0 else -1


class _Uses:
    """Who uses the functions of one side, whatever runs at the start."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self.tls = tls(side.program.image)
        self.records = record_runs(side.program)

    @cached_property
    def calls(self) -> tuple[I64, I64]:
        """Columns (caller, callee) of roots, by caller: direct calls and jumps between functions."""
        root, references, code = (
            self._side.program.fragments.root,
            self._side.program.references,
            self._side.targets.code,
        )
        rows = np.flatnonzero((references.kind <= RefKind.CALL) & (code >= 0))
        callers, callees = root[references.fragment[rows]], root[code[rows]]
        others = callers != callees
        callers, callees = callers[others], callees[others]
        order = np.argsort(callers, kind="stable")
        return callers[order], callees[order]

    @cached_property
    def called(self) -> Bools:
        """By fragment: another function calls the one that begins with it."""
        found = np.zeros(len(self._side.program.fragments), dtype=np.bool_)
        found[self.calls[1]] = True
        return found

    @cached_property
    def taken(self) -> Bools:
        """By fragment: it is exported, a handler, or code takes its address."""
        program, places = self._side.program, self._side.targets
        table, references = program.fragments, program.references
        handlers = {_root(program, rva) for rva in program.exceptions.funclets} - {-1}
        filters = np.zeros(len(table), dtype=np.bool_)
        filters[list(handlers)] = True
        found = filters.copy()
        found[[int(table.root[index]) for index, _ in program.exported]] = True
        taken = np.flatnonzero(references.kind > RefKind.CALL)
        taken = taken[(places.code[taken] >= 0) & (places.offset[taken] == 0)]
        # The filter of Microsoft's DLL start takes that function's address, only to compare it.
        taken = taken[~filters[table.root[references.fragment[taken]]]]
        found[places.code[taken]] = True
        return found

    @cached_property
    def _pointers(self) -> tuple[I64, I64]:
        """Where the addresses in data are that lead to functions, and the roots of those."""
        fields, pointers = self._side.program.fields, self._side.pointers
        named = (pointers.code >= 0) & (pointers.offset == 0)
        named &= (fields.form == FieldForm.ADDR64) | (fields.form == FieldForm.ADDR32NB)
        return fields.site[named], self._side.program.fragments.root[pointers.code[named]]

    @property
    def sites(self) -> I64:
        """Where the addresses in data are that lead to functions."""
        return self._pointers[0]

    @property
    def pointed(self) -> I64:
        """The roots of those functions, in step with ``sites``."""
        return self._pointers[1]


def startup(side: Side) -> Startup:
    """The answers for one side. A list that is known by its shape alone counts only when none but code that
    runs at the start uses it."""
    candidates = tuple(_lists(side))
    sure = tuple(item for item in candidates if not item.namers)
    uses = _Uses(side)
    first = Startup(side, sure, False, uses)
    root = side.program.fragments.root
    users = {item.range: {int(root[namer]) for namer in item.namers} for item in candidates}
    lists = [
        item
        for item in candidates
        if not item.namers or first.all_only({user for user in users[item.range] if not first.idle(user)})
    ]
    return Startup(side, tuple(lists), True, uses)


def _inside(sites: I64, runs: list[Interval], starts: I64, sizes: I64) -> Bools:
    """Which of ``sites`` lie in one of ``runs``, or of those of ``sizes`` at ``starts``."""
    begins = np.append(np.array([run.start for run in runs], dtype=np.int64), starts)
    ends = np.append(np.array([run.end for run in runs], dtype=np.int64), starts + sizes)
    order = np.lexsort((ends, begins))
    order = order[begins[order] < ends[order]]
    if not len(order):
        return np.zeros(len(sites), dtype=np.bool_)
    index = np.searchsorted(begins[order], sites, side="right") - 1
    inside: Bools = (index >= 0) & (sites < ends[order[np.maximum(index, 0)]])
    return inside


def _lists(side: Side) -> Iterator[InitialiserList]:
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
    worth = np.flatnonzero(_may_have_heads(program, first, limit, names, namers))
    for low, high, least in zip(*(column[worth].tolist() for column in (lows, highs, limit)), strict=True):
        start, end = int(sites[low]), int(sites[high - 1]) + 8
        head, by = _head(side, start, least, names, namers, end)
        if head >= 0:
            yield InitialiserList(Interval(head, end), tuple(roots[low:high].tolist()), by)


def _may_have_heads(
    program: Program, first: I64, limit: I64, names: Collection[int], namers: "_Namers"
) -> Bools:
    """Which of the lists may have a head: some slot before the first pointer, from ``limit`` on, is named, or
    is minus one."""
    slots = (first[:, None] - 8 * np.arange(1, _SPACE + 1)).ravel()
    inside = slots >= np.repeat(limit, _SPACE)
    slots = np.where(inside, slots, 0)
    words = program.image.memory[slots[:, None] + np.arange(8)].view("<u8")[:, 0]
    named = (
        namers.any_at(slots) | (words == _MINUS_ONE) | among(slots, np.array(sorted(names), dtype=np.int64))
    )
    found: Bools = (inside & named).reshape(-1, _SPACE).any(axis=1)
    return found


class _Namers:
    """Which functions name an address: take it, read what is there, or read a constant that points at it.
    Answers for addresses in the runs from ``starts`` to ``ends``, these included."""

    def __init__(self, side: Side, starts: I64, ends: I64) -> None:
        references, fields = side.program.references, side.program.fields
        near = np.zeros((side.program.image.size_of_image >> _CELL) + 1, dtype=np.bool_)
        limit = len(near) - 1
        near[members(starts >> _CELL, np.minimum(ends >> _CELL, limit) + 1)] = True
        rows = np.flatnonzero(near[np.minimum(fields.target >> _CELL, limit)])
        rows = rows[np.argsort(fields.target[rows], kind="stable")]
        self._pointed, self._sites = fields.target[rows], fields.site[rows]
        near[self._sites >> _CELL] = True
        rows = np.flatnonzero(near[np.minimum(references.target >> _CELL, limit)])
        kind = references.kind[rows]
        rows = rows[(kind == RefKind.LEA) | (kind == RefKind.MEMORY)]
        rows = rows[np.argsort(references.target[rows], kind="stable")]
        self._targets = references.target[rows]
        self._owners = references.fragment[rows]

    def any_at(self, rvas: I64) -> Bools:
        """Which of the addresses code or data names: all that functions do, and maybe more."""
        return among(rvas, self._targets) | among(rvas, self._pointed)

    def between(self, start: int, end: int) -> set[int]:
        """Fragments that name an address in ``[start, end)``."""
        found = self._direct(start, end)
        low, high = self._pointed.searchsorted((start, end)).tolist()
        for site in self._sites[low:high].tolist():
            found |= self._direct(site, site + 1)
        return found

    def _direct(self, start: int, end: int) -> set[int]:
        low, high = self._targets.searchsorted((start, end)).tolist()
        return set(self._owners[low:high].tolist())


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
            owners = namers.between(at, first + 1)
            ended = behind + 8 <= image.size_of_image and image.u64(behind) == 0
            return (at if ended and owners else -1), frozenset(owners)
        if word:
            break
        if names.get(at, "") in _HEADS:
            return at, nobody
        if after is None:
            after = namers.between(behind, behind + 8 * _SPACE + 1)
        owners = namers.between(at, at + 1) & after if after else set()
        if owners:
            return at, frozenset(owners)
        at -= 8
    return -1, nobody
