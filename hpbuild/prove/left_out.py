"""Step 10, of packages that are limited to a list of functions: what is left out stays as it was.

Nothing shows that a part had to be left out; the step shows that the list, what is carried and what is
declared as left out agree, and that the baseline's version of each part is its own and stays in use. That
nothing carried refers to such a part, and that all who stay refer to the old version, is shown in steps 3
to 6.
"""

from collections.abc import Iterator
from itertools import chain

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.manifest.check_selection import selection_findings
from hpbuild.manifest.left_out import LeftOutPart
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.claims import Claims
from hpbuild.prove.references import Numbers


def left_out(claims: Claims, module: Module, fixed: Image, baseline: Image) -> Check:
    """Step 10: list entries and declared parts examined."""
    recorder = Recorder("P10", "left out by choice, and stays as it was: entries and parts examined")
    recorder.examined = len(module.only) + sum(item.count for item in module.left_out)
    for finding in selection_findings(module, module.path):
        recorder.fail(codes.SELECTION_DIFFERS, finding.place, finding.cause)
    _sections(recorder, module, fixed, baseline)
    _own_versions(recorder, claims, module, baseline)
    return recorder.done()


def _sections(recorder: Recorder, module: Module, fixed: Image, baseline: Image) -> None:
    """Old and new version of a part lie in memory of one protection."""
    for item in _parts(module):
        for new, old in zip(item.fixed, item.baseline, strict=False):
            here, there = fixed.section_at(new.start), baseline.section_at(old.start)
            if here is None or there is None:
                recorder.fail(codes.LEFT_OUT_UNSOUND, item.place, f"{new} or {old} lies in no section")
            elif (here.writable, here.executable) != (there.writable, there.executable):
                cause = f"{new} and {old} of the baseline have other protections"
                recorder.fail(codes.LEFT_OUT_UNSOUND, item.place, cause)


def _parts(module: Module) -> Iterator[LeftOutPart]:
    return chain.from_iterable(item.parts() for item in module.left_out)


def _own_versions(recorder: Recorder, claims: Claims, module: Module, baseline: Image) -> None:
    """No function or variable of the baseline stands for two of the fixed image. Constants may."""
    replaced = sorted((part.start, part.end) for item in module.functions for part in item.baseline)
    rows = np.concatenate([claims.code, claims.data]).astype(np.int64)
    used = np.column_stack((rows[:, 2], rows[:, 2] + rows[:, 1] - rows[:, 0]))
    taken = _Spans(np.concatenate([used, np.array(replaced, dtype=np.int64).reshape(-1, 2)]))
    seen: set[int] = set()
    for item in _parts(module):
        for old in item.baseline:
            section = baseline.section_at(old.start)
            if section is None or not (section.writable or section.executable):
                continue
            if old.start in seen or taken.hold(old.start):
                cause = f"{old} of the baseline is the version of something else too"
                recorder.fail(codes.LEFT_OUT_UNSOUND, item.place, cause)
            seen.add(old.start)


class _Spans:
    """Ranges that may overlap, asked whether one of them holds an address."""

    __slots__ = ("_reach", "_start")

    def __init__(self, rows: Numbers) -> None:
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        self._start = rows[:, 0]
        self._reach = np.maximum.accumulate(rows[:, 1]) if len(rows) else rows[:, 1]

    def hold(self, address: int) -> bool:
        index = int(np.searchsorted(self._start, address, side="right")) - 1
        return index >= 0 and address < int(self._reach[index])
