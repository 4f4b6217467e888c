"""The certificate for the closure proof, made from the comparison and the plan."""

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np

from hpbuild.code.model import FieldForm, Program
from hpbuild.manifest.model import Module
from hpbuild.match.comparison import Comparison
from hpbuild.match.content import agreed_length
from hpbuild.match.facts import is_filler, referenced
from hpbuild.pe.metadata import metadata_extents
from hpbuild.plan.model import ChunkKind, Plan
from hpbuild.prove.claims import ADDR32NB, END32NB, TABLE32, Claims
from hpbuild.values import Interval

Row = tuple[int, ...]
_KINDS = {FieldForm.ADDR32NB: ADDR32NB, FieldForm.TABLE32: TABLE32, FieldForm.END32NB: END32NB}


def certificate(comparison: Comparison, plan: Plan, module: Module) -> Claims:
    """What the proof is to check: every byte of the fixed image in one class. What is carried is what
    ``module`` says: with other symbols than the package was made with, the plan may cut data elsewhere."""
    program = comparison.fixed.program
    functions = _Runs(run for function in module.functions for run in function.fixed)
    objects = _Runs(datum.fixed for datum in module.data)
    left = _Runs(run for item in module.left_out for run in item.fixed)
    fragments, baseline = program.fragments, comparison.baseline.program.fragments
    code = [
        (
            int(fragments.start[index]),
            int(fragments.end[index]),
            int(baseline.start[comparison.pairing.fixed[index]]),
        )
        for index in np.flatnonzero(comparison.agreement.identical).tolist()
        if not functions.holds(int(fragments.start[index])) and not left.holds(int(fragments.start[index]))
    ]
    records = _carried_records(program, plan, functions)
    data, filler, excluded = _data_rows(comparison, (objects, records, left))
    metadata = [(run.start, run.end) for _, run in metadata_extents(program.image)]
    filler += _behind_records(comparison, records, metadata)
    unused = excluded + _unused_code(comparison, (functions, left))
    return Claims.of(
        code=list[Row](code),
        data=data,
        padding=[tuple(run) for run in program.padding.tolist()] + filler,
        metadata=list[Row](metadata),
        opaque=_opaque_rows(comparison, data, objects),
        fields=_field_rows(comparison),
        excluded=_without(unused, metadata),
    )


class _Runs:
    """Disjoint runs, asked whether they hold an address."""

    __slots__ = ("_runs", "_starts")

    def __init__(self, runs: Iterable[Interval]) -> None:
        self._runs = sorted(runs)
        self._starts = [run.start for run in self._runs]

    def holds(self, rva: int) -> bool:
        index = bisect_right(self._starts, rva) - 1
        return index >= 0 and rva in self._runs[index]


def _carried_records(program: Program, plan: Plan, functions: _Runs) -> _Runs:
    """Unwind records that only carried functions have: the patch image's copies are compared instead."""
    fragments = program.fragments
    table = zip(fragments.start.tolist(), fragments.unwind.tolist(), strict=True)
    shared = {unwind for start, unwind in table if not functions.holds(start)}
    return _Runs(
        chunk.source
        for chunk in plan.chunks
        if chunk.kind is ChunkKind.UNWIND and chunk.source.start not in shared
    )


def _behind_records(comparison: Comparison, records: _Runs, metadata: list[tuple[int, int]]) -> list[Row]:
    """The zero bytes that MSVC aligns unwind records with, behind those that only carried functions have."""
    atoms, image = comparison.fixed.atoms, comparison.fixed.program.image
    table = zip(atoms.start.tolist(), atoms.end.tolist(), strict=True)
    tails = _without([(start, end) for start, end in table if records.holds(start)], metadata)
    return [(start, end) for start, end in tails if not image.memory[start:end].any()]


def _data_rows(comparison: Comparison, others: tuple[_Runs, ...]) -> tuple[list[Row], list[Row], list[Row]]:
    """Atoms that lie in none of ``others`` as (corresponding data, filler, excluded). Adjoining rows of one
    distance are joined."""
    side, data = comparison.fixed, comparison.data
    named = referenced(side)
    rows: list[list[int]] = []
    filler: list[Row] = []
    excluded: list[Row] = []
    for atom, (start, end) in enumerate(zip(side.atoms.start.tolist(), side.atoms.end.tolist(), strict=True)):
        if any(runs.holds(start) for runs in others):
            continue
        place = int(data.baseline[atom])
        if place >= 0 and data.same[atom]:
            whole, end = end, start + agreed_length(side, comparison.baseline, atom, place)
            if end < whole:
                filler.append((end, whole))
            if rows and rows[-1][1] == start and rows[-1][2] + start - rows[-1][0] == place:
                rows[-1][1] = end
            elif start < end:
                rows.append([start, end, place])
        elif place < 0 and is_filler(side, atom, named):
            filler.append((start, end))
        else:
            excluded.append((start, end))
    return [tuple(row) for row in rows], filler, excluded


def _opaque_rows(comparison: Comparison, data: list[Row], objects: _Runs) -> list[Row]:
    """Data in code that is compared, in the corresponding rows or as carried objects."""
    fragments = comparison.fixed.program.fragments
    opaque = np.flatnonzero(fragments.opaque)
    runs = _Runs(Interval(row[0], row[1]) for row in data)
    rows = list(zip(fragments.start[opaque].tolist(), fragments.end[opaque].tolist(), strict=True))
    return [row for row in rows if (runs.holds(row[0]) and runs.holds(row[1] - 1)) or objects.holds(row[0])]


def _without(rows: list[Row], taken: list[tuple[int, int]]) -> list[Row]:
    """``rows`` less what lies in ``taken`` (ascending, disjoint)."""
    left: list[Row] = []
    ends = [end for _, end in taken]
    for start, end in sorted((row[0], row[1]) for row in rows):
        at = start
        for index in range(bisect_right(ends, start), len(taken)):
            if taken[index][0] >= end:
                break
            if taken[index][0] > at:
                left.append((at, taken[index][0]))
            at = max(at, taken[index][1])
        if at < end:
            left.append((at, end))
    return left


def _unused_code(comparison: Comparison, others: tuple[_Runs, ...]) -> list[Row]:
    """Code that is neither identical nor carried: new functions that nothing carried uses."""
    fragments = comparison.fixed.program.fragments
    left = ~comparison.agreement.identical & ~fragments.opaque
    return [
        (int(fragments.start[index]), int(fragments.end[index]))
        for index in np.flatnonzero(left).tolist()
        if not any(runs.holds(int(fragments.start[index])) for runs in others)
    ]


def _field_rows(comparison: Comparison) -> list[Row]:
    fields = comparison.fixed.program.fields
    rows = np.flatnonzero(fields.form != FieldForm.ADDR64).tolist()
    return [
        (int(fields.site[row]), 4, _KINDS[FieldForm(int(fields.form[row]))], int(fields.origin[row]))
        for row in rows
    ]
