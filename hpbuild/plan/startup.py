"""What runs only while an image is loaded or unloaded: its entry point, thread-local callbacks, and the lists
of initialisers that a C runtime walks.

Source: PE specification, sections "The .tls Section" and "AddressOfEntryPoint".
"""

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.model import I64, Program
from hpbuild.match.sides import Side
from hpbuild.pe.tls import tls
from hpbuild.plan.initialiser_lists import InitialiserList, initialiser_lists
from hpbuild.plan.startup_uses import Uses

_IS_DLL = 0x2000
"""IMAGE_FILE_DLL: the entry point is called, and returns, while the image is loaded."""
_STEPS = 64
"""Callers behind each other that are looked for one after the other; then all are looked for at once."""
Bools = npt.NDArray[np.bool_]


class Startup:
    """Answers for one side which functions run only while the image is loaded or unloaded.

    ``entry`` is the root of the entry point or -1, ``callbacks`` are those of the thread-local callbacks;
    ``lists`` are the lists of initialisers; ``uses`` are those of the side. The entry point of a program runs
    all of it: there it counts only with ``whole`` False.
    """

    __slots__ = (
        "_entered", "_later", "_live", "_looked", "_side", "_uses", "callbacks", "entry", "lists", "roots"
    )  # fmt: skip

    def __init__(self, side: Side, lists: tuple[InitialiserList, ...], whole: bool, uses: Uses) -> None:
        self._side, self._uses, self.lists = side, uses, lists
        image = side.program.image
        self.callbacks = callbacks(side)
        self.entry = _root(side.program, image.entry_point) if image.entry_point else -1
        once = not whole or image.characteristics & _IS_DLL
        roots = {root for item in lists for root in item.entries} | set(self.callbacks)
        self.roots = frozenset(roots | ({self.entry} if once else set())) - {-1}
        self._entered = -1 if once else self.entry
        self._live = self._reached_anyhow()
        self._later = self._live.copy()
        self._looked = np.zeros(len(self._live), dtype=np.bool_)

    def only(self, root: int) -> bool:
        """True when every way to the function ``root`` that is known begins in the loader's own calls."""
        return bool(self.only_of(np.array([root], dtype=np.int64))[0])

    def only_of(self, roots: I64) -> Bools:
        """``only`` of each."""
        self._look(distinct(roots[~self._later[roots] & ~self._looked[roots]]))
        found: Bools = ~self._later[roots]
        return found

    def _look(self, fresh: I64) -> None:
        """Find out to which of the functions ``fresh`` some way leads that begins elsewhere: from callers to
        their callers, as far as that needs."""
        starting = np.array(sorted(self.roots), dtype=np.int64)
        ways: list[tuple[I64, I64]] = []
        while len(fresh):
            self._looked[fresh] = True
            callers, callees = self._uses.callers(fresh)
            alone = fresh[~among(fresh, distinct(callees))]
            self._later[alone] = ~among(alone, starting)
            self._later[callees[self._later[callers]]] = True
            unsure = ~self._later[callees]
            callers, callees = callers[unsure], callees[unsure]
            ways.append((callers, callees))
            if len(ways) == _STEPS:
                callers = self._side.program.fragments.root
            fresh = distinct(callers[~self._later[callers] & ~self._looked[callers]])
        if ways:
            self._follow(*(np.concatenate(column) for column in zip(*ways, strict=True)))

    def _follow(self, callers: I64, callees: I64) -> None:
        """Pass on along the calls that some way leads to a function."""
        order = np.argsort(callers, kind="stable")
        callers, callees = callers[order], callees[order]
        fresh = distinct(callers[self._later[callers]])
        while len(fresh):
            low, high = callers.searchsorted(fresh), callers.searchsorted(fresh, side="right")
            led = callees[members(low, high)]
            fresh = distinct(led[~self._later[led]])
            self._later[fresh] = True

    def idle(self, root: int) -> bool:
        """True for a function that nothing is known to use: its callers have it inlined."""
        if self._live[root] or root in self.roots:
            return False
        return not len(self._uses.callers(np.array([root], dtype=np.int64))[0])

    def all_only(self, roots: set[int]) -> bool:
        """True when there are ``roots``, and ``only`` of each."""
        return bool(roots) and bool(self.only_of(np.array(sorted(roots), dtype=np.int64)).all())

    def _reached_anyhow(self) -> Bools:
        """By fragment: other modules or unknown callers reach the function that begins with it. It is
        exported, a handler, or its address is taken anywhere but in a list of initialisers."""
        uses = self._uses
        found = uses.taken.copy()
        found[[self._entered] if self._entered >= 0 else []] = True
        skip = [item.range for item in self.lists]
        found[uses.pointed(skip + ([uses.tls.callbacks_table] if uses.tls else []))] = True
        return found


def callbacks(side: Side) -> tuple[int, ...]:
    """The roots of the thread-local callbacks, in order; -1 for what is no function."""
    local = tls(side.program.image)
    return tuple(_root(side.program, rva) for rva in (local.callbacks if local else ()))


def _root(program: Program, rva: int) -> int:
    fragment = program.fragment_at(rva)
    return int(program.fragments.root[fragment]) if fragment >= 0 else -1


def startup(side: Side) -> Startup:
    """The answers for one side. A list that is known by its shape alone counts only when none but code that
    runs at the start uses it."""
    candidates = tuple(initialiser_lists(side))
    sure = tuple(item for item in candidates if not item.namers)
    uses = Uses(side)
    first = Startup(side, sure, False, uses)
    root = side.program.fragments.root
    users = {item.range: {int(root[namer]) for namer in item.namers} for item in candidates}
    lists = [
        item
        for item in candidates
        if not item.namers or first.all_only({user for user in users[item.range] if not first.idle(user)})
    ]
    return Startup(side, tuple(lists), True, uses)
