"""Step 5: identical data against the baseline, carried data against the patch image."""

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.claims import Claims
from hpbuild.prove.compare import Runs, Side, claimed_fields, compare, pointers
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.pinned import check_pinned
from hpbuild.prove.protection import EXECUTABLE, NO_SECTION, WRITABLE, protection
from hpbuild.prove.references import Numbers, join
from hpbuild.prove.runtime_types import check_runtime_types
from hpbuild.prove.space import Space


def data(
    claims: Claims,
    module: Module,
    images: tuple[Image, Image],
    spaces: tuple[Space, Space, Space],
    delta: int,
    judge: Correspondence,
) -> Check:
    """Step 5: every run of data called identical is, every datum of the manifest is a copy of the fixed
    image's, and the pointers of both lead to counterparts.

    ``images`` are the fixed and the baseline image, ``spaces`` the fixed image, the baseline and the patch
    image placed ``delta`` bytes above its nominal place.
    """  # fmt: skip
    recorder = Recorder("P5", "identical and carried data: runs compared")
    fixed, baseline, patch = spaces
    runs = Runs.claimed(claims.data, "data at")
    side = Side(
        fixed=fixed,
        other=baseline,
        judge=judge,
        carried=False,
        differs=codes.DATA_DIFFERS,
        refers=codes.DATA_REFERENCE,
        relocated=codes.RELOCATIONS_DIFFER,
    )
    _compare(recorder, side, runs, claims)
    for what, claimed in (("code at", Runs.claimed(claims.code, "code at")), ("data at", runs)):
        _same_protection(recorder, images, claimed, what)
    _no_shared_variables(recorder, images[1], runs)
    side = Side(
        fixed=fixed,
        other=patch,
        judge=judge,
        carried=True,
        differs=codes.CARRIED_DATA_DIFFERS,
        refers=codes.CARRIED_DATA_REFERENCE,
        relocated=codes.RELOCATIONS_DIFFER,
    )
    targets = _compare(recorder, side, _copies(recorder, module, images[0], delta), claims)
    check_pinned(recorder, module, targets, patch.start)
    check_runtime_types(recorder, module, images[0], (fixed, patch))
    return recorder.done()


def _compare(recorder: Recorder, side: Side, runs: Runs, claims: Claims) -> Numbers:
    recorder.examined += len(runs)
    fields = [pointers(runs, side.fixed.relocated), claimed_fields(runs, claims.fields)]
    return compare(recorder, side, runs, join(fields))


def _copies(recorder: Recorder, module: Module, fixed: Image, delta: int) -> Runs:
    rows: list[tuple[int, int, int, str]] = []
    for datum in module.data:
        if len(datum.fixed) != len(datum.patch) or datum.fixed.end > fixed.size_of_image:
            cause = f"{datum.fixed} of the fixed image became {datum.patch}"
            recorder.fail(codes.MANIFEST_RANGES, datum.name, cause)
        else:
            rows.append((datum.fixed.start, datum.fixed.end, datum.patch.start + delta, datum.name))
    return Runs.of(rows)


def _same_protection(recorder: Recorder, images: tuple[Image, Image], runs: Runs, what: str) -> None:
    """First and last byte of every run in sections of one protection, the same on both sides."""
    ends = runs.end - 1
    kinds = np.stack(
        [
            protection(images[0], runs.start),
            protection(images[0], ends),
            protection(images[1], runs.start + runs.shift),
            protection(images[1], ends + runs.shift),
        ]
    )
    wrong = (kinds != kinds[0]).any(axis=0) | (kinds[0] == NO_SECTION)
    if what == "code at":
        wrong |= (kinds[0] & EXECUTABLE) == 0
    for row in np.flatnonzero(wrong).tolist():
        cause = f"its section and that of {int(runs.start[row] + runs.shift[row]):#x} have other protections"
        recorder.fail(codes.DATA_DIFFERS if what == "data at" else codes.CODE_DIFFERS, runs.name(row), cause)


def _no_shared_variables(recorder: Recorder, baseline: Image, runs: Runs) -> None:
    """No byte of a writable section of the baseline is the counterpart of two bytes."""
    there = runs.start + runs.shift
    writable = (protection(baseline, there) & WRITABLE) != 0
    order = np.argsort(there, kind="stable")
    order = order[writable[order]]
    size = runs.end - runs.start
    shared = there[order][1:] < (there + size)[order][:-1]
    for index in np.flatnonzero(shared).tolist():
        row, other = int(order[index + 1]), int(order[index])
        cause = f"{int(there[row]):#x} of the baseline is also the counterpart of {runs.name(other)}"
        recorder.fail(codes.SHARED_VARIABLE, runs.name(row), cause)
