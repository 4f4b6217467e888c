"""Which chunks the patch image gets: a run of adjoining code, an unwind record or an object each, and where
carried fragments and data lie in them."""

from itertools import chain

import numpy as np

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.model import I64
from hpbuild.codes import plan as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.sides import Side
from hpbuild.pe.unwind import runtime_functions
from hpbuild.plan.parts import Records
from hpbuild.plan.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """Chunks by number: code, then unwind records, then objects; ``start`` and ``end`` are their addresses in
    the fixed image, ``codes`` and ``records`` count those of the first two kinds. ``function_chunks`` gives
    by function the numbers of its chunks, the entry's first. ``member`` are the carried fragments by chunk,
    those of chunk ``n`` in the rows ``[first[n], first[n + 1])``. By fragment and by atom: its chunk or -1,
    and the place in it."""

    start: I64
    end: I64
    codes: int
    records: int
    function_chunks: dict[int, range]
    object_chunk: dict[int, int]
    member: I64
    first: I64
    fragment_chunk: I64
    fragment_offset: I64
    atom_chunk: I64
    atom_offset: I64


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of adjoining fragments in the order of their numbers: the ``member`` fragments by run, ``first``
    as in ``Numbering``; ``start``, ``end``, and the number of the ``function``."""

    member: I64
    first: I64
    start: I64
    end: I64
    function: I64


def number(side: Side, selection: Selection) -> tuple[Numbering, list[Finding]]:
    """Give every carried run of code, unwind record and object its chunk number; and findings for unwind
    records that cannot be carried."""
    runs, atoms, count = _runs(side, selection), side.atoms, len(side.atoms)
    record, size = _records(side, selection.shapes.records, runs)
    first, last = selection.first, selection.last
    codes_count, before = len(runs.start), len(runs.start) + len(record)
    start = np.concatenate([runs.start, record, atoms.start[first]])
    end = np.concatenate([runs.end, record + size, atoms.end[last]])
    fragments = side.program.fragments
    fragment_chunk = np.full(len(fragments), -1, dtype=np.int64)
    fragment_chunk[runs.member] = np.repeat(np.arange(codes_count), np.diff(runs.first))
    atom_chunk = np.full(count, -1, dtype=np.int64)
    home = atoms.at(record)
    known = home >= 0
    behind = np.maximum(np.searchsorted(atoms.start, record + size), home)[known]
    atom_chunk[members(home[known], behind)] = np.repeat(
        np.flatnonzero(known) + codes_count, behind - home[known]
    )
    sizes = np.fromiter((len(item[0]) for item in selection.objects.values()), np.int64, len(first))
    parts = np.fromiter(chain.from_iterable(item[0] for item in selection.objects.values()), np.int64)
    atom_chunk[parts] = np.repeat(np.arange(len(first)) + before, sizes)
    bounds = np.searchsorted(runs.function, np.arange(len(selection.functions) + 1)).tolist()
    made = Numbering(
        start=start,
        end=end,
        codes=codes_count,
        records=len(record),
        function_chunks={
            root: range(bounds[place], bounds[place + 1]) for place, root in enumerate(selection.functions)
        },
        object_chunk={item: before + place for place, item in enumerate(selection.objects)},
        member=runs.member,
        first=runs.first,
        fragment_chunk=fragment_chunk,
        fragment_offset=fragments.start - np.append(start, 0)[fragment_chunk],
        atom_chunk=atom_chunk,
        atom_offset=atoms.start - np.append(start, 0)[atom_chunk],
    )
    return made, _unfit_records(side, runs)


def _runs(side: Side, selection: Selection) -> _Runs:
    """Runs of adjoining fragments of the carried functions, by function, the entry's run first."""
    facts, table = selection.facts, side.program.fragments
    roots = np.fromiter(selection.functions, np.int64, len(selection.functions))
    parts = [facts[root].fragments for root in selection.functions]
    counts = np.fromiter(map(len, parts), np.int64, len(parts))
    fragment = np.fromiter(chain.from_iterable(parts), np.int64, int(counts.sum()))
    function = np.repeat(np.arange(len(parts)), counts)
    order = np.lexsort((table.start[fragment], function))
    fragment, function = fragment[order], function[order]
    begins = np.ones(len(fragment), dtype=np.bool_)
    begins[1:] = table.end[fragment[:-1]] != table.start[fragment[1:]]
    begins[1:] |= function[1:] != function[:-1]
    low = np.flatnonzero(begins)
    sizes = np.diff(np.append(low, len(fragment)))
    start, end = table.start[fragment[low]], table.end[fragment[low + sizes - 1]]
    order = np.lexsort((start, start != table.start[roots[function[low]]], function[low]))
    low, sizes = low[order], sizes[order]
    return _Runs(
        member=fragment[members(low, low + sizes)],
        first=np.append(0, np.cumsum(sizes)),
        start=start[order],
        end=end[order],
        function=function[low],
    )


def _records(side: Side, known: Records, runs: _Runs) -> tuple[I64, I64]:
    """Addresses and sizes of the unwind records of the carried fragments."""
    rvas, sizes = known.starts, known.sizes
    found = distinct(side.program.fragments.unwind[runs.member])
    found = found[among(found, rvas) & (found != 0)]
    return found, sizes[np.searchsorted(rvas, found)]


def _unfit_records(side: Side, runs: _Runs) -> list[Finding]:
    """Findings for records whose language data is not understood, and for rows of the exception directory
    that begin elsewhere than a carried fragment."""
    program, table = side.program, side.program.fragments
    unwind, start = table.unwind[runs.member], table.start[runs.member]
    unknown = sorted(set(unwind.tolist()) & program.exceptions.unknown - {0})
    findings = [
        Finding(codes.EXCEPTION_DATA, f"unwind record at {rva:#x}", "its language data is not understood")
        for rva in unknown
    ]
    begins = runtime_functions(program.image).begin.astype(np.int64)
    for row in np.flatnonzero((unwind != 0) & ~among(start, begins)).tolist():
        cause = f"its row of the exception directory begins before its entry at {int(start[row]):#x}"
        findings.append(Finding(codes.EXCEPTION_DATA, program.name_of(int(runs.member[row])), cause))
    return findings
