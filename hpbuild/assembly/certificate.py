"""The certificate for the closure proof, made from the comparison and the plan."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import FieldForm, Program
from hpbuild.manifest.model import Module
from hpbuild.match.comparison import Comparison
from hpbuild.match.content import agreed_length
from hpbuild.match.facts import is_filler, referenced
from hpbuild.pe.metadata import metadata_runs
from hpbuild.plan.model import Plan
from hpbuild.plan.planner import Decision
from hpbuild.prove.claims import ADDR32NB, END32NB, TABLE32, Claims
from hpbuild.values import Interval

Row = tuple[int, ...]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_KINDS = {FieldForm.ADDR32NB: ADDR32NB, FieldForm.TABLE32: TABLE32, FieldForm.END32NB: END32NB}


def certificate(comparison: Comparison, plan: Plan | Decision, module: Module) -> Claims:
    """What the proof is to check: every byte of the fixed image in one class. What is carried is what
    ``module`` says: with other symbols than the package was made with, the plan may cut data elsewhere."""
    program = comparison.fixed.program
    functions = _Runs(run for function in module.functions for run in function.fixed)
    objects = _Runs(datum.fixed for datum in module.data)
    left = _Runs(_left_out(module))
    records = _carried_records(program, plan.unwind_records, functions)
    data, filler, excluded = _data_rows(comparison, (objects, records, left))
    runs = metadata_runs(program.image)
    metadata = _columns(runs.starts, runs.ends)
    filler += _behind_records(comparison, records, metadata)
    unused = excluded + _unused_code(comparison, (functions, left))
    return Claims.of(
        code=_code_rows(comparison, (functions, left)),
        data=data,
        padding=np.concatenate([_columns(program.padding[:, 0], program.padding[:, 1]), _rows(filler, 2)]),
        metadata=metadata,
        opaque=_opaque_rows(comparison, data, objects),
        fields=_field_rows(comparison),
        excluded=_without(unused, metadata),
    )


def _left_out(module: Module) -> Rows:
    """(start, end) of all that a list of functions leaves out, by start."""
    borders = [number for item in module.left_out for number in item.fixed]
    rows = np.array(borders, dtype=np.int64).reshape(-1, 2)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def _columns(*columns: npt.NDArray[np.integer[Any]]) -> Rows:
    return np.column_stack([column.astype(np.int64) for column in columns])


def _rows(rows: list[Row], width: int) -> Rows:
    return np.array(rows, dtype=np.int64).reshape(-1, width)


class _Runs:
    """Disjoint runs, asked whether they hold addresses."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, runs: Iterable[Interval] | Rows) -> None:
        rows = (
            runs if isinstance(runs, np.ndarray) else _rows(sorted((run.start, run.end) for run in runs), 2)
        )
        self._starts, self._ends = np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1])

    def hold(self, rva: npt.NDArray[np.integer[Any]]) -> Flags:
        """By address: does one of the runs hold it?"""
        if not len(self._starts):
            return np.zeros(len(rva), dtype=np.bool_)
        index = np.searchsorted(self._starts, rva.astype(np.int64), side="right") - 1
        result: Flags = (index >= 0) & (rva < self._ends[index])
        return result


def _held(runs: Iterable[_Runs], rva: npt.NDArray[np.integer[Any]]) -> Flags:
    """By address: does one of the runs of any of ``runs`` hold it?"""
    result: Flags = np.zeros(len(rva), dtype=np.bool_)
    for one in runs:
        result |= one.hold(rva)
    return result


def _code_rows(comparison: Comparison, others: tuple[_Runs, ...]) -> Rows:
    """Fragments that are the same and in none of ``others``."""
    fragments, baseline = comparison.fixed.program.fragments, comparison.baseline.program.fragments
    same = np.flatnonzero(comparison.agreement.identical)
    same = same[~_held(others, fragments.start[same])]
    return _columns(
        fragments.start[same], fragments.end[same], baseline.start[comparison.pairing.fixed[same]]
    )


def _carried_records(program: Program, records: Iterable[Interval], functions: _Runs) -> _Runs:
    """Unwind records that only carried functions have: the patch image's copies are compared instead."""
    fragments, some = program.fragments, sorted(set(records))
    starts = np.array([record.start for record in some], dtype=np.int64)
    others = fragments.unwind[~functions.hold(fragments.start)]
    place = np.searchsorted(starts, others)
    used = np.append(starts, -1).take(place) == others
    shared = frozenset(place[used].tolist())
    return _Runs(record for number, record in enumerate(some) if number not in shared)


def _behind_records(comparison: Comparison, records: _Runs, metadata: Rows) -> list[Row]:
    """The zero bytes that MSVC aligns unwind records with, behind those that only carried functions have."""
    atoms, image = comparison.fixed.atoms, comparison.fixed.program.image
    held = records.hold(atoms.start)
    table = zip(atoms.start[held].tolist(), atoms.end[held].tolist(), strict=True)
    tails = _without([(start, end) for start, end in table], metadata)
    return [(start, end) for start, end in tails if not image.memory[start:end].any()]


def _data_rows(comparison: Comparison, others: tuple[_Runs, ...]) -> tuple[Rows, list[Row], list[Row]]:
    """Atoms that lie in none of ``others`` as (corresponding data, filler, excluded). Adjoining rows of one
    distance are joined."""
    side, data = comparison.fixed, comparison.data
    named = referenced(side)
    free = ~_held(others, side.atoms.start)
    same = np.flatnonzero(free & (data.baseline >= 0) & data.same)
    start, whole, place = side.atoms.start[same], side.atoms.end[same], data.baseline[same]
    end = _agreed_ends(comparison, same)
    filler: list[Row] = list(zip(end[end < whole].tolist(), whole[end < whole].tolist(), strict=True))
    excluded: list[Row] = []
    for atom in np.flatnonzero(free & ~((data.baseline >= 0) & data.same)).tolist():
        run = int(side.atoms.start[atom]), int(side.atoms.end[atom])
        unpaired = data.baseline[atom] < 0 and is_filler(side, atom, named)
        (filler if unpaired else excluded).append(run)
    start, end, place = (column[start < end] for column in (start, end, place))
    if not len(start):
        return _rows([], 3), filler, excluded
    joined = (end[:-1] == start[1:]) & (place[1:] - start[1:] == place[:-1] - start[:-1])
    first = np.flatnonzero(np.append(True, ~joined))
    return _columns(start[first], end[np.append(first[1:], len(end)) - 1], place[first]), filler, excluded


def _agreed_ends(comparison: Comparison, atoms: Rows) -> Rows:
    """Where what must agree of the atoms that correspond ends."""
    side, baseline = comparison.fixed, comparison.baseline
    start, end, place = side.atoms.start[atoms], side.atoms.end[atoms].copy(), comparison.data.baseline[atoms]
    mate = baseline.atoms.at(place)
    fits = (mate >= 0) & (end - start <= baseline.atoms.end[mate] - place)
    for row in np.flatnonzero(~fits).tolist():
        length = agreed_length(side, baseline, int(atoms[row]), int(place[row]))
        end[row] = start[row] + length
    return end


def _opaque_rows(comparison: Comparison, data: Rows, objects: _Runs) -> Rows:
    """Data in code that is compared, in the corresponding rows or as carried objects."""
    fragments = comparison.fixed.program.fragments
    rows = _columns(fragments.start, fragments.end)[fragments.opaque]
    runs = _Runs(data)
    return rows[(runs.hold(rows[:, 0]) & runs.hold(rows[:, 1] - 1)) | objects.hold(rows[:, 0])]


def _without(rows: list[Row], taken: Rows) -> list[Row]:
    """``rows`` less what lies in ``taken`` (ascending, disjoint)."""
    left: list[Row] = []
    whole = _rows(sorted((row[0], row[1]) for row in rows), 2)
    first = np.searchsorted(taken[:, 1], whole[:, 0], side="right")
    last = np.searchsorted(taken[:, 0], whole[:, 1])
    for (start, end), low, high in zip(whole.tolist(), first.tolist(), last.tolist(), strict=True):
        at = start
        for begin, behind in taken[low:high].tolist() if low < high else ():
            if begin > at:
                left.append((at, begin))
            at = max(at, behind)
        if at < end:
            left.append((at, end))
    return left


def _unused_code(comparison: Comparison, others: tuple[_Runs, ...]) -> list[Row]:
    """Code that is neither identical nor carried: new functions that nothing carried uses."""
    fragments = comparison.fixed.program.fragments
    left = ~comparison.agreement.identical & ~fragments.opaque & ~_held(others, fragments.start)
    return list(zip(fragments.start[left].tolist(), fragments.end[left].tolist(), strict=True))


def _field_rows(comparison: Comparison) -> Rows:
    fields = comparison.fixed.program.fields
    rows = np.flatnonzero(fields.form != FieldForm.ADDR64)
    kinds = np.zeros(max(FieldForm) + 1, dtype=np.int64)
    kinds[list(_KINDS)] = list(_KINDS.values())
    return _columns(fields.site[rows], np.full(len(rows), 4), kinds[fields.form[rows]], fields.origin[rows])
