"""Step 10, of packages that are limited to a list of functions: what is left out stays as it was.

Nothing shows that a part had to be left out; the step shows that the list, what is carried and what is
declared as left out agree, and that the baseline's version of each part is its own and stays in use. That
nothing carried refers to such a part, and that all who stay refer to the old version, is shown in steps 3
to 6.
"""

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.dataclass import dataclass
from hpbuild.manifest.check_selection import selection_findings
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.claims import Claims
from hpbuild.prove.protection import NO_SECTION, protection
from hpbuild.prove.records import Flags
from hpbuild.prove.references import Numbers, ascending
from hpbuild.values import Interval


def left_out(claims: Claims, module: Module, fixed: Image, baseline: Image) -> Check:
    """Step 10: list entries and declared parts examined."""
    recorder = Recorder("P10", "left out by choice, and stays as it was: entries and parts examined")
    recorder.examined = len(module.only) + sum(item.count for item in module.left_out)
    for finding in selection_findings(module, module.path):
        recorder.fail(codes.SELECTION_DIFFERS, finding.place, finding.cause)
    kept = _Kept.of(module)
    _sections(recorder, kept, fixed, baseline)
    _own_versions(recorder, kept, claims, module, baseline)
    return recorder.done()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Ranges of the baseline that stay in use, part after part: columns ``start`` and ``end``; ``ours`` is
    where the range of the fixed image begins that each is the old version of. ``group`` and ``part`` number
    the groups of ``module`` and the parts in them."""

    module: Module
    start: Numbers
    end: Numbers
    ours: Numbers
    group: Numbers
    part: Numbers

    @classmethod
    def of(cls, module: Module) -> "_Kept":
        tables = [np.zeros((0, 5), dtype=np.int64)]
        for number, item in enumerate(module.left_out):
            table = np.zeros((item.count, item.kept, 5), dtype=np.int64)
            old, new = (np.array(borders, dtype=np.int64) for borders in (item.baseline, item.fixed))
            table[..., :2] = old.reshape(item.count, item.kept, 2)
            table[..., 2] = new.reshape(item.count, item.ranges, 2)[:, : item.kept, 0]
            table[..., 3], table[..., 4] = number, np.arange(item.count)[:, None]
            tables.append(table.reshape(-1, 5))
        start, end, ours, group, part = np.ascontiguousarray(np.concatenate(tables).T)
        return cls(module=module, start=start, end=end, ours=ours, group=group, part=part)

    def fail(self, recorder: Recorder, row: int, cause: str) -> None:
        """Record that the part of a range is not left out soundly."""
        place = self.module.left_out[int(self.group[row])].place(int(self.part[row]))
        recorder.fail(codes.LEFT_OUT_UNSOUND, place, cause)

    def range(self, row: int) -> Interval:
        """One of the ranges."""
        return Interval(int(self.start[row]), int(self.end[row]))


def _sections(recorder: Recorder, kept: _Kept, fixed: Image, baseline: Image) -> None:
    """Old and new version of a part lie in memory of one protection."""
    here, there = protection(fixed, kept.ours), protection(baseline, kept.start)
    for row in np.flatnonzero((here == NO_SECTION) | (here != there)).tolist():
        new, old = f"the range at {int(kept.ours[row]):#x}", kept.range(row)
        if NO_SECTION in (here[row], there[row]):
            kept.fail(recorder, row, f"{new} or {old} of the baseline lies in no section")
        else:
            kept.fail(recorder, row, f"{new} and {old} of the baseline have other protections")


def _own_versions(recorder: Recorder, kept: _Kept, claims: Claims, module: Module, baseline: Image) -> None:
    """No function or variable of the baseline stands for two of the fixed image. Constants may."""
    replaced = sorted((part.start, part.end) for item in module.functions for part in item.baseline)
    rows = np.concatenate([claims.code, claims.data]).astype(np.int64)
    used = np.column_stack((rows[:, 2], rows[:, 2] + rows[:, 1] - rows[:, 0]))
    used = np.concatenate([used, np.array(replaced, dtype=np.int64).reshape(-1, 2)])
    own = np.flatnonzero(~np.isin(protection(baseline, kept.start), (0, NO_SECTION)))
    start = kept.start[own]
    first = np.unique(start, return_index=True)[1]
    twice = _held(used, start)
    twice[np.setdiff1d(np.arange(len(own)), first)] = True
    for row in own[twice].tolist():
        kept.fail(recorder, row, f"{kept.range(row)} of the baseline is the version of something else too")


def _held(runs: Numbers, addresses: Numbers) -> Flags:
    """By address: does it lie in one of the ``runs``, which may overlap?"""
    if not len(runs):
        return np.zeros(len(addresses), dtype=np.bool_)
    runs = runs[ascending(runs[:, 0])]
    row = np.searchsorted(runs[:, 0], addresses, side="right") - 1
    result: Flags = (row >= 0) & (addresses < np.maximum.accumulate(runs[:, 1])[row])
    return result
