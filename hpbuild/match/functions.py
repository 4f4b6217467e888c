"""Functions: the fragments that belong together, and whether all of them are identical."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice

import numpy as np

from hpbuild.code.model import I64, Program
from hpbuild.dataclass import dataclass
from hpbuild.match.agreement import Agreement
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Side
from hpbuild.values import Interval

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionFact:
    """A function of the fixed image by its fragments; ``partner`` is the root of its counterpart or -1.

    ``identical`` holds for a function that need not be carried: all of it agrees, but for line numbers
    when ``line_only``."""

    root: int
    fragments: tuple[int, ...]
    partner: int
    identical: bool
    line_only: bool = False


class Groups(Mapping[int, tuple[int, ...]]):
    """Root fragment -> all its code fragments, root first, in address order. ``roots`` are the keys,
    ascending. Nearly nobody asks for a function: its fragments are put together when somebody does."""

    def __init__(self, roots: I64, owners: I64, parts: I64, count: int) -> None:
        """``parts`` are the fragments that are no roots, together with those of the same function, and
        ``owners`` the root of each, ascending; ``count`` is the number of all fragments."""
        self.roots, self._owners, self._parts = roots, owners, parts
        self._begins = np.zeros(count, dtype=np.bool_)
        self._begins[roots] = True

    def __getitem__(self, root: int) -> tuple[int, ...]:
        if root not in self:
            raise KeyError(root)
        first, last = self._owners.searchsorted((root, root + 1)).tolist()
        return (root, *self._parts[first:last].tolist())

    def __contains__(self, root: object) -> bool:
        if not isinstance(root, (int, np.integer)):
            return False
        return bool(0 <= root < len(self._begins) and self._begins[root])

    def __iter__(self) -> Iterator[int]:
        return iter(self.roots.tolist())

    def __len__(self) -> int:
        return len(self.roots)


class FunctionFacts(Mapping[int, FunctionFact]):
    """All functions of the fixed image by their roots, ascending; in columns, because nearly all are
    identical and nobody asks for them: each fact is made when it is asked for. ``partner``, ``identical`` and
    ``line_only`` as in the facts, in the order of ``roots``. ``reasons`` keeps the first differences that
    ``hpbuild.match.facts.reason`` was asked for, by root."""

    def __init__(self, groups: Groups, partner: I64, identical: Bool, line_only: Bool) -> None:
        self._groups, self.roots = groups, groups.roots
        self.partner, self.identical, self.line_only = partner, identical, line_only
        self.reasons: dict[int, str] = {}
        self._made: dict[int, FunctionFact] = {}

    def __getitem__(self, root: int) -> FunctionFact:
        fact = self._made.get(root)
        if fact is None:
            if root not in self._groups:
                raise KeyError(root)
            (fact,) = self._facts(np.array([self.roots.searchsorted(root)], dtype=np.int64))
        return fact

    def __contains__(self, root: object) -> bool:
        return root in self._groups

    def __iter__(self) -> Iterator[int]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)

    @cached_property
    def every(self) -> tuple[FunctionFact, ...]:
        """All of them: where those that differ are enough, ask for ``differing``."""
        return self._facts(np.arange(len(self.roots)))

    @cached_property
    def differing(self) -> tuple[FunctionFact, ...]:
        """Those that are not identical, or but for line numbers."""
        return self._facts(np.flatnonzero(~self.identical | self.line_only))

    def _facts(self, rows: I64) -> tuple[FunctionFact, ...]:
        """Those of some rows of the columns; the same objects for the same rows."""
        columns = self.roots, self.partner, self.identical, self.line_only
        made, groups = self._made, self._groups
        found = []
        for root, partner, identical, line_only in zip(
            *(part[rows].tolist() for part in columns), strict=True
        ):
            fact = made.get(root)
            if fact is None:
                fact = made[root] = FunctionFact(
                    root=root,
                    fragments=groups[root],
                    partner=partner,
                    identical=identical,
                    line_only=line_only,
                )
            found.append(fact)
        return tuple(found)


def function_facts(
    fixed: Side, baseline: Side, pairing: Pairing, agreement: Agreement, lines: frozenset[int]
) -> FunctionFacts:
    """All functions of the fixed image; a function is identical when all its fragments are, and pair with
    fragments of one baseline function. ``lines`` are fragments in which line numbers differ."""
    members = groups(fixed.program)
    roots = members.roots
    partner = pairing.fixed[roots]
    mates = (
        np.where(partner >= 0, baseline.program.fragments.root[partner], -1)
        if len(pairing.baseline)
        else partner
    )
    same = _all_identical(fixed, baseline, pairing, agreement, roots, mates)
    moved = np.zeros(len(fixed.forms), dtype=np.bool_)
    for line in lines:
        moved[[line, fixed.program.fragments.root[line]]] = True
    return FunctionFacts(members, mates, same, same & moved[roots])


def _all_identical(
    fixed: Side, baseline: Side, pairing: Pairing, agreement: Agreement, roots: I64, mates: I64
) -> Bool:
    """By root: all fragments of the function are identical, and belong to one function of the baseline."""
    root, home = fixed.program.fragments.root, baseline.program.fragments.root
    same = np.zeros(len(root), dtype=np.bool_)
    same[roots] = agreement.identical[roots]
    mate = np.full(len(root), -1, dtype=np.int64)
    mate[roots] = mates
    parts = np.flatnonzero(~fixed.program.fragments.opaque)
    equal = agreement.identical[parts].copy()
    whole = parts[equal]
    equal[equal] = home[pairing.fixed[whole]] == mate[root[whole]]
    same[root[parts[~equal]]] = False
    return same[roots]


def groups(program: Program) -> Groups:
    """The functions of a program by their roots."""
    opaque, root = program.fragments.opaque, program.fragments.root
    code = np.flatnonzero(~(opaque | opaque[root]))
    parts = code[np.flatnonzero(root[code] != code)]
    keys = np.sort(root[parts] << 32 | parts)
    begins = np.zeros(len(root), dtype=np.bool_)
    begins[root[code]] = True
    return Groups(np.flatnonzero(begins), keys >> 32, keys & 0xFFFFFFFF, len(root))


def ranges(program: Program, fragments: tuple[int, ...]) -> tuple[Interval, ...]:
    """Address ranges of fragments."""
    start, end = program.fragments.start.item, program.fragments.end.item
    return tuple([Interval(start(index), end(index)) for index in fragments])


def ranges_of_each(program: Program, groups: Sequence[tuple[int, ...]]) -> list[tuple[Interval, ...]]:
    """Address ranges of fragments, for many groups of them at once."""
    rows = np.fromiter(chain.from_iterable(groups), dtype=np.int64)
    fragments = program.fragments
    found = map(Interval, fragments.start[rows].tolist(), fragments.end[rows].tolist())
    return [tuple(islice(found, len(group))) for group in groups]
