"""The certificate for the closure proof, made from the comparison and the plan."""

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np

from hpbuild.code.model import FieldForm
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import is_filler, referenced
from hpbuild.pe.metadata import metadata_extents
from hpbuild.plan.model import Plan
from hpbuild.prove.claims import ADDR32NB, END32NB, TABLE32, Claims
from hpbuild.values import Interval

Row = tuple[int, ...]
_KINDS = {FieldForm.ADDR32NB: ADDR32NB, FieldForm.TABLE32: TABLE32, FieldForm.END32NB: END32NB}


def certificate(comparison: Comparison, plan: Plan) -> Claims:
    """What the proof is to check: every byte of the fixed image in one class."""
    program = comparison.fixed.program
    functions = _Runs(run for function in plan.functions for run in function.fixed)
    objects = _Runs(datum.fixed for datum in plan.data)
    fragments, baseline = program.fragments, comparison.baseline.program.fragments
    code = [
        (int(fragments.start[index]), int(fragments.end[index]), int(baseline.start[comparison.pairing.fixed[index]]))
        for index in np.flatnonzero(comparison.agreement.identical).tolist()
        if not functions.holds(int(fragments.start[index]))
    ]
    opaque = np.flatnonzero(fragments.opaque)
    data, filler, excluded = _data_rows(comparison, objects)
    records = {chunk.source for chunk in plan.chunks if chunk.kind == "unwind"}
    carried_records = _Runs(records)
    return Claims.of(
        code=list[Row](code),
        data=[row for row in data if not carried_records.holds(row[0])],
        padding=[tuple(run) for run in program.padding.tolist()] + filler,
        metadata=[(run.start, run.end) for _, run in metadata_extents(program.image)],
        opaque=list(zip(fragments.start[opaque].tolist(), fragments.end[opaque].tolist(), strict=True)),
        fields=_field_rows(comparison),
        excluded=[row for row in excluded if not carried_records.holds(row[0])] + _unused_code(comparison, functions),
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


def _data_rows(comparison: Comparison, objects: _Runs) -> tuple[list[Row], list[Row], list[Row]]:
    """Atoms as (corresponding data, filler, excluded). Adjoining rows of one distance are joined."""
    side, data = comparison.fixed, comparison.data
    named = referenced(side)
    rows: list[list[int]] = []
    filler: list[Row] = []
    excluded: list[Row] = []
    for atom, (start, end) in enumerate(zip(side.atoms.start.tolist(), side.atoms.end.tolist(), strict=True)):
        if objects.holds(start):
            continue
        place = int(data.baseline[atom])
        if place >= 0 and data.same[atom]:
            if rows and rows[-1][1] == start and rows[-1][2] + start - rows[-1][0] == place:
                rows[-1][1] = end
            else:
                rows.append([start, end, place])
        elif place < 0 and is_filler(side, atom, named):
            filler.append((start, end))
        else:
            excluded.append((start, end))
    return [tuple(row) for row in rows], filler, excluded


def _unused_code(comparison: Comparison, functions: _Runs) -> list[Row]:
    """Code that is neither identical nor carried: new functions that nothing carried uses."""
    fragments = comparison.fixed.program.fragments
    left = ~comparison.agreement.identical & ~fragments.opaque
    return [
        (int(fragments.start[index]), int(fragments.end[index]))
        for index in np.flatnonzero(left).tolist()
        if not functions.holds(int(fragments.start[index]))
    ]


def _field_rows(comparison: Comparison) -> list[Row]:
    fields = comparison.fixed.program.fields
    rows = np.flatnonzero(fields.form != FieldForm.ADDR64).tolist()
    return [
        (int(fields.site[row]), 4, _KINDS[FieldForm(int(fields.form[row]))], int(fields.origin[row])) for row in rows
    ]
