"""What runs only while an image is loaded or unloaded: its entry point, thread-local callbacks, and the lists
of initialisers that a C runtime walks.

Sources: PE specification, sections "The .tls Section" and "AddressOfEntryPoint"; Microsoft Learn, "CRT
initialization", for the lists between ``__xc_a`` and ``__xc_z``; the GNU linker's manual for
``__CTOR_LIST__``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64, FieldForm
from hpbuild.match.sides import Side
from hpbuild.pe.tls import tls
from hpbuild.values import Interval

_IS_DLL = 0x2000
"""IMAGE_FILE_DLL: the entry point is called, and returns, while the image is loaded."""
_HEADS = frozenset(("__xc_a", "__xi_a", "__xp_a", "__xt_a", "__CTOR_LIST__", "___CTOR_LIST__"))
_MINUS_ONE = (1 << 64) - 1
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
    ``lists`` are the lists of initialisers; ``callers`` is ``_callers`` of the side. The entry point of a
    program runs all of it: there it counts only with ``whole`` False.
    """

    __slots__ = ("_callers", "_known", "_live", "_side", "callbacks", "entry", "lists", "roots")

    def __init__(
        self, side: Side, lists: tuple[InitialiserList, ...], whole: bool, callers: tuple[I64, I64]
    ) -> None:
        self._side, self.lists = side, lists
        image = side.program.image
        local = tls(image)
        self.callbacks = tuple(self._root(rva) for rva in (local.callbacks if local else ()))
        self.entry = self._root(image.entry_point) if image.entry_point else -1
        once = not whole or image.characteristics & _IS_DLL
        roots = {root for item in lists for root in item.entries} | set(self.callbacks)
        self.roots = frozenset(roots | ({self.entry} if once else set())) - {-1}
        self._live = self._directly_live(set() if once else {self.entry})
        self._callers = callers
        self._known: dict[int, bool] = {}

    def only(self, root: int) -> bool:
        """True when every way to the function ``root`` that is known begins in the loader's own calls."""
        if root not in self._known:
            seen, pending, live = {root}, [root], False
            while pending and not live:
                at = pending.pop()
                callers = self._of(at)
                live = at in self._live or self._known.get(at) is False
                live = live or (not callers and at not in self.roots)
                fresh = callers - seen
                seen |= fresh
                pending.extend(fresh)
            if live:
                self._known[root] = False
            else:
                self._known.update(dict.fromkeys(seen, True))
        return self._known[root]

    def idle(self, root: int) -> bool:
        """True for a function that nothing is known to use: its callers have it inlined."""
        return root not in self._live and root not in self.roots and not self._of(root)

    def all_only(self, roots: set[int]) -> bool:
        """True when there are ``roots``, and ``only`` of each."""
        return bool(roots) and all(self.only(root) for root in roots)

    def _root(self, rva: int) -> int:
        fragment = self._side.program.fragment_at(rva)
        return int(self._side.program.fragments.root[fragment]) if fragment >= 0 else -1

    def _of(self, root: int) -> set[int]:
        callees, callers = self._callers
        low, high = callees.searchsorted((root, root + 1)).tolist()
        return set(callers[low:high].tolist()) - {root}

    def _directly_live(self, entry: set[int]) -> frozenset[int]:
        """Functions that other modules or unknown callers reach: exported, handlers, or with their address
        taken anywhere but in a list of initialisers."""
        side, program = self._side, self._side.program
        table, places, references = program.fragments, side.targets, program.references
        handlers = {self._root(rva) for rva in program.exceptions.funclets}
        found = {int(table.root[index]) for index, _ in program.exported} | entry | handlers
        taken = np.flatnonzero((places.code >= 0) & (references.kind > RefKind.CALL) & (places.offset == 0))
        # The filter of Microsoft's DLL start takes that function's address, only to compare it.
        taken = taken[~np.isin(table.root[references.fragment[taken]], sorted(handlers))]
        found.update(places.code[taken].tolist())
        fields, pointers = program.fields, side.pointers
        named = (pointers.code >= 0) & (pointers.offset == 0)
        named &= (fields.form == FieldForm.ADDR64) | (fields.form == FieldForm.ADDR32NB)
        callbacks = tls(program.image)
        skip = [item.range for item in self.lists] + ([callbacks.callbacks_table] if callbacks else [])
        named &= ~_inside(fields.site, skip, program.exceptions.records)
        found.update(table.root[pointers.code[named]].tolist())
        return frozenset(found - {-1})


def startup(side: Side) -> Startup:
    """The answers for one side. A list that is known by its shape alone counts only when none but code that
    runs at the start uses it."""
    candidates = tuple(_lists(side))
    sure = tuple(item for item in candidates if not item.namers)
    callers = _callers(side)
    first = Startup(side, sure, False, callers)
    root = side.program.fragments.root
    users = {item.range: {int(root[namer]) for namer in item.namers} for item in candidates}
    lists = [
        item
        for item in candidates
        if not item.namers or first.all_only({user for user in users[item.range] if not first.idle(user)})
    ]
    return Startup(side, tuple(lists), True, callers)


def _inside(
    sites: I64, runs: list[Interval], records: tuple[tuple[int, int], ...]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of ``sites`` lie in one of ``runs`` or of ``records``, rows (start, size)."""
    sized = np.array(records, dtype=np.int64).reshape(-1, 2)
    others = np.array([(run.start, run.end) for run in runs], dtype=np.int64).reshape(-1, 2)
    rows = np.concatenate([others, np.stack([sized[:, 0], sized.sum(axis=1)], axis=1)])
    rows = rows[rows[:, 0] < rows[:, 1]]
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    index = np.searchsorted(rows[:, 0], sites, side="right") - 1
    if not len(rows):
        return np.zeros(len(sites), dtype=np.bool_)
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = (index >= 0) & (
        sites < rows[np.maximum(index, 0), 1]
    )
    return inside


def _callers(side: Side) -> tuple[I64, I64]:
    """Columns (callee, caller) of roots, ascending: direct calls and jumps between functions."""
    table, references = side.program.fragments, side.program.references
    rows = np.flatnonzero((side.targets.code >= 0) & (references.kind <= RefKind.CALL))
    callees = table.root[side.targets.code[rows]]
    callers = table.root[references.fragment[rows]]
    order = np.argsort(callees, kind="stable")
    return callees[order], callers[order]


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
    names = {int(side.atoms.start[atom]): name for atom, name in side.atoms.names.items()}
    namers = _Namers(side)
    lows, highs = np.append(0, edges), np.append(edges, len(sites))
    words = program.image.memory[(sites[lows] - 8)[:, None] + np.arange(8)].view("<u8")[:, 0]
    rows = np.flatnonzero((words == 0) | (words == _MINUS_ONE))  # nothing else stands before a list
    for low, high in zip(lows[rows].tolist(), highs[rows].tolist(), strict=True):
        first, behind, end = int(sites[low]), int(sites[high - 1]) + 8, int(sites[low - 1]) + 8 if low else 0
        head, by = _head(side, first, max(end, first - 8 * _SPACE), names, namers, behind)
        if head >= 0:
            yield InitialiserList(Interval(head, behind), tuple(roots[low:high].tolist()), by)


class _Namers:
    """Which functions name an address: take it, read what is there, or read a constant that points at it."""

    def __init__(self, side: Side) -> None:
        references, fields = side.program.references, side.program.fields
        rows = np.flatnonzero((references.kind == RefKind.LEA) | (references.kind == RefKind.MEMORY))
        rows = rows[np.argsort(references.target[rows], kind="stable")]
        self._targets = references.target[rows]
        self._owners = references.fragment[rows]
        rows = np.argsort(fields.target, kind="stable")
        self._pointed, self._sites = fields.target[rows], fields.site[rows]

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
