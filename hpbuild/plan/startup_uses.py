"""Who uses the functions of one side, whatever runs at the start."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import members
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64, FieldForm, Program
from hpbuild.match.sides import Side
from hpbuild.pe.tls import tls
from hpbuild.plan.wholes import Wholes
from hpbuild.values import Interval

Bools = npt.NDArray[np.bool_]


class Uses:
    """Answers for one side who calls its functions, and how else they are reached; ``tls`` is its
    thread-local directory."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self.tls = tls(side.program.image)
        self._wholes = Wholes(side.program.fragments)

    def callers(self, roots: I64) -> tuple[I64, I64]:
        """Columns (caller, callee) of roots: direct calls of the functions with ``roots`` (distinct) and
        jumps to them, from other functions."""
        program, links = self._side.program, self._side.links
        root, references = program.fragments.root, program.references
        code = self._wholes.of(roots)
        rows = links.rows[members(links.first[code], links.last[code])]
        rows = rows[references.kind[rows] <= RefKind.CALL]
        callers, callees = root[references.fragment[rows]], root[self._side.targets.code[rows]]
        others = callers != callees
        return callers[others], callees[others]

    @cached_property
    def taken(self) -> Bools:
        """By fragment: it is exported, a handler, or code takes its address."""
        program, places = self._side.program, self._side.targets
        table, references = program.fragments, program.references
        handlers = np.fromiter(program.exceptions.funclets, np.int64, len(program.exceptions.funclets))
        filters = np.zeros(len(table), dtype=np.bool_)
        filters[roots_at(program, handlers)] = True
        found = filters.copy()
        exported = np.array([index for index, _ in program.exported], dtype=np.int64)
        found[table.root[exported]] = True
        taken = np.flatnonzero(references.kind > RefKind.CALL)
        taken = taken[places.code[taken] >= 0]
        taken = taken[places.offset[taken] == 0]
        # The filter of Microsoft's DLL start takes that function's address, only to compare it.
        taken = taken[~filters[table.root[references.fragment[taken]]]]
        found[places.code[taken]] = True
        return found

    def pointed(self, skip: list[Interval]) -> I64:
        """The roots of the functions whose addresses are in data, outside of unwind records and of the runs
        to ``skip``."""
        sites, roots = self._pointers
        kept = np.ones(len(sites), dtype=np.bool_)
        for run in skip:
            low, high = sites.searchsorted((run.start, run.end)).tolist()
            kept[low:high] = False
        return roots[kept]

    @cached_property
    def _pointers(self) -> tuple[I64, I64]:
        """Where the addresses in data are that lead to functions, outside of unwind records, ascending, and
        the roots of those."""
        fields, pointers = self._side.program.fields, self._side.pointers
        named = (pointers.code >= 0) & (pointers.offset == 0)
        named &= (fields.form == FieldForm.ADDR64) | (fields.form == FieldForm.ADDR32NB)
        rows = np.flatnonzero(named)
        records = self._side.program.exceptions
        rows = rows[~_inside(fields.site[rows], records.starts, records.sizes)]
        return fields.site[rows], self._side.program.fragments.root[pointers.code[rows]]


def roots_at(program: Program, rvas: I64) -> I64:
    """The roots of the functions that hold ``rvas``: of those that one does."""
    table = program.fragments
    held = table.start.searchsorted(rvas, side="right") - 1
    inside = (held >= 0) & (rvas < np.append(table.end, 0)[held])
    return table.root[held[inside]]


def _inside(sites: I64, starts: I64, sizes: I64) -> Bools:
    """Which of ``sites`` lie in one of the runs of ``sizes`` at ``starts``, ascending and apart."""
    if not len(starts):
        return np.zeros(len(sites), dtype=np.bool_)
    index = starts.searchsorted(sites, side="right") - 1
    found: Bools = (index >= 0) & (sites < (starts + sizes)[index])
    return found
