"""Step 7, first part: every redirection leads to its function's copy and disturbs nothing else.

Intel SDM volume 2, "JMP": E9 rel32 counts from the end of its 5 bytes, EB rel8 from the end of its 2.
"""

from itertools import pairwise

import numpy as np
from capstone import x86

from hpbuild.codes import prove as codes
from hpbuild.dataclass import dataclass
from hpbuild.manifest.model import Module, Redirection
from hpbuild.manifest.pages import page_range
from hpbuild.pe.identity import masked_digest
from hpbuild.pe.image import Image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.prove.checks import Recorder
from hpbuild.prove.cursor import Cursor
from hpbuild.prove.references import Bytes, Numbers
from hpbuild.values import Interval

_FILLER = (0xCC, 0x90, 0x00)
_JUMP = 5
_LONGEST = 20
_CALLS = frozenset((x86.X86_INS_CALL, x86.X86_INS_LCALL))
_BACK = b"\xeb\xf9"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terrain:
    """The baseline: its image, rows (start, furthest end so far) of what stays in use, sorted, and the rows
    start, end, number of the ranges of redirected functions."""

    baseline: Image
    start: Numbers
    reach: Numbers
    own: Numbers


def check_redirections(recorder: Recorder, module: Module, baseline: Image, identical: Numbers) -> None:
    """Record every redirection that does not do what the manifest says, or does more. ``identical`` are
    rows (start, end) of the baseline's code and data that stay in use, by start."""
    own = [
        (part.start, part.end, number)
        for number, function in enumerate(module.functions)
        for part in function.baseline
    ]
    terrain = _Terrain(
        baseline=baseline,
        start=np.ascontiguousarray(identical[:, 0]),
        reach=np.maximum.accumulate(identical[:, 1]),
        own=np.ascontiguousarray(np.array(own, dtype=np.int64).reshape(-1, 3).T),
    )
    cursor, memory = Cursor(), np.ascontiguousarray(baseline.memory)
    written: list[Interval] = []
    for redirection in module.redirections:
        where = f"redirection {redirection.entry:#x}"
        place, cause = _place(module, redirection, baseline)
        if cause:
            recorder.fail(codes.REDIRECTION_WRONG, where, cause)
            continue
        written.append(place)
        _untouched(recorder, where, place, redirection.function, terrain)
        back = _returns_into(cursor, memory, redirection.entry, place.end)
        if back:
            recorder.fail(codes.CALL_RETURNS_INTO_JUMP, where, f"a call returns to {back:#x}")
    for one, other in pairwise(sorted(written)):
        if one.overlaps(other):
            cause = f"another redirection writes {other}"
            recorder.fail(codes.REDIRECTION_TOUCHES_IDENTICAL, f"{one}", cause)
    _all_redirected(recorder, module)


def _place(module: Module, redirection: Redirection, baseline: Image) -> tuple[Interval, str]:
    """The bytes that the redirection changes, and what is wrong with it."""
    nothing, entry, window = Interval(0, 0), redirection.entry, redirection.window
    if not 0 <= redirection.function < len(module.functions):
        return nothing, f"there is no function {redirection.function}"
    function = module.functions[redirection.function]
    if not function.baseline or not function.patch or function.baseline[0].start != entry:
        return nothing, f"it is not the entry of {function.name}"
    if redirection.kind not in ("pad-jump", "entry-jump") or entry < _JUMP:
        return nothing, f"kind {redirection.kind} is unknown"
    pad = redirection.kind == "pad-jump"
    place = Interval(entry - _JUMP, entry + len(_BACK)) if pad else Interval(entry, entry + _JUMP)
    if window.end > baseline.size_of_image or not window.covers(place):
        return nothing, f"{window} does not hold the bytes that change, {place}"
    old = baseline.read(window.start, len(window))
    if old != redirection.old:
        return nothing, f"{window} of the baseline does not hold the old bytes"
    distance = (function.patch[0].start - (place.start + _JUMP)) & 0xFFFFFFFF
    jump = b"\xe9" + distance.to_bytes(4, "little") + (_BACK if pad else b"")
    at = place.start - window.start
    if redirection.new != old[:at] + jump + old[at + len(jump) :]:
        return nothing, f"the new bytes do not lead to {function.patch[0].start:#x} alone"
    return place, ""


def _returns_into(cursor: Cursor, memory: Bytes, entry: int, end: int) -> int:
    """The end of the first call among the instructions from ``entry`` on that ends before ``end``, or 0."""
    step = cursor.start(memory, entry, min(entry + _LONGEST, len(memory)))
    while step() and int(cursor.state[2]) < end:
        if cursor.instruction.id in _CALLS:
            return int(cursor.state[2])
    return 0


def _untouched(recorder: Recorder, where: str, place: Interval, number: int, terrain: _Terrain) -> None:
    """What is written belongs to the redirected function, or is filler that nothing uses."""
    row = int(np.searchsorted(terrain.start, place.end)) - 1
    if row >= 0 and terrain.reach[row] > place.start:
        cause = f"it writes {place}; code or data that stays in use reaches to {int(terrain.reach[row]):#x}"
        recorder.fail(codes.REDIRECTION_TOUCHES_IDENTICAL, where, cause)
    start, end, owner = terrain.own
    near = np.flatnonzero((start < place.end) & (end > place.start))
    rows = list(zip(start[near].tolist(), end[near].tolist(), owner[near].tolist(), strict=True))
    for address in range(place.start, place.end):
        owners = {other for first, last, other in rows if first <= address < last}
        if owners - {number}:
            cause = f"{address:#x} belongs to another function"
        elif not owners and int(terrain.baseline.memory[address]) not in _FILLER:
            cause = f"{address:#x} lies outside the function and is no filler"
        else:
            continue
        recorder.fail(codes.REDIRECTION_TOUCHES_IDENTICAL, where, cause)


def _all_redirected(recorder: Recorder, module: Module) -> None:
    """Every carried function with a place in the baseline is redirected exactly once, from its own entry."""
    counts = [0] * len(module.functions)
    for redirection in module.redirections:
        if 0 <= redirection.function < len(counts):
            counts[redirection.function] += 1
    entries: dict[int, int] = {}
    for number, (function, count) in enumerate(zip(module.functions, counts, strict=True)):
        if count != (1 if function.baseline else 0):
            cause = f"{count} redirections for {len(function.baseline)} ranges in the baseline"
            recorder.fail(codes.REDIRECTION_MISSING, function.name, cause)
        if function.baseline:
            other = entries.setdefault(function.baseline[0].start, number)
            if other != number:
                cause = f"it shares its baseline entry with {module.functions[other].name}"
                recorder.fail(codes.REDIRECTION_TOUCHES_IDENTICAL, function.name, cause)


def check_digests(recorder: Recorder, module: Module, images: tuple[Image, Image]) -> None:
    """The digests by which a verifier knows functions, references and pages again are those of the fixed
    image and the baseline (``images``)."""
    fixed, baseline = images
    sites = relocation_sites(fixed), relocation_sites(baseline)
    for function in module.functions:
        for image, relocated, ranges, digest in (
            (fixed, sites[0], function.fixed, function.fixed_sha256),
            (baseline, sites[1], function.baseline, function.baseline_sha256),
        ):
            if any(part.end > image.size_of_image for part in ranges):
                recorder.fail(codes.MANIFEST_RANGES, function.name, f"a range lies outside {image.name}")
            elif digest != (masked_digest(image, ranges, relocated) if ranges else None):
                recorder.fail(codes.MANIFEST_DIGEST, function.name, f"its bytes in {image.name} have another")
    for item in module.references:
        if item.range.end > baseline.size_of_image:
            recorder.fail(codes.MANIFEST_RANGES, f"reference {item.range}", "it lies outside the baseline")
        elif item.sha256 is not None and item.sha256 != masked_digest(baseline, (item.range,), sites[1]):
            recorder.fail(codes.MANIFEST_DIGEST, f"reference {item.range}", "its bytes have another")
    for page in module.pages:
        extent = page_range(page.rva, baseline.size_of_image)
        if not len(extent):
            recorder.fail(codes.MANIFEST_RANGES, f"page {page.rva:#x}", "it lies outside the baseline")
        elif page.sha256 != masked_digest(baseline, (extent,), sites[1]):
            recorder.fail(codes.MANIFEST_DIGEST, f"page {page.rva:#x}", "its bytes have another")
