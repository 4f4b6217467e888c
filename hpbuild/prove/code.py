"""Steps 3 and 4: identical code against the baseline, carried code against the patch image."""

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.dataclass import dataclass, replace
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.pe.unwind import primary_begins, runtime_functions
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.claims import Claims, Rows
from hpbuild.prove.compare import Runs, Side, claimed_fields, compare, pointers
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.decode import Known, references
from hpbuild.prove.image_base import Limits
from hpbuild.prove.pieces import Pieces
from hpbuild.prove.pinned import check_pinned
from hpbuild.prove.references import Numbers, References, join
from hpbuild.prove.space import Space


@dataclass(frozen=True, slots=True)
class Read:
    """How much a step went through: instructions decoded, references followed."""

    instructions: int
    references: int


def identical_code(
    claims: Claims,
    image: Image,
    fixed: Space,
    baseline: Space,
    judge: Correspondence,
    lines: Numbers,
    known: Known | None = None,
) -> tuple[Check, Read]:
    """Step 3: every fragment called identical is, in bytes and in what it refers to. ``lines`` are the sound
    line numbers (step 11), whose bytes may differ; ``known`` is what was decoded of ``fixed`` before."""
    recorder = Recorder("P3", "identical code: fragments and references checked")
    side = Side(
        fixed=fixed,
        other=baseline,
        judge=judge,
        carried=False,
        differs=codes.CODE_DIFFERS,
        refers=codes.CODE_REFERENCE,
        relocated=codes.RELOCATIONS_DIFFER,
    )
    runs = Runs.claimed(claims.code, "code at")
    read, _ = _compare_code(recorder, side, runs, claims, image, lines, known)
    return recorder.done(), read


def carried_code(
    claims: Claims,
    module: Module,
    image: Image,
    fixed: Space,
    patch: Space,
    delta: int,
    judge: Correspondence,
) -> tuple[Check, Read]:
    """Step 4: every function of the manifest is a copy of the fixed image's, as step 3.

    ``patch`` is the patch image placed ``delta`` bytes above its nominal place.
    """
    recorder = Recorder("P4", "carried code: fragments and references checked")
    rows: list[tuple[int, int, int, str]] = []
    for function in module.functions:
        lengths = [len(part) for part in function.fixed], [len(part) for part in function.patch]
        if lengths[0] != lengths[1] or not lengths[0]:
            recorder.fail(codes.MANIFEST_RANGES, function.name, f"lengths {lengths[0]} became {lengths[1]}")
            continue
        for part, copy in zip(function.fixed, function.patch, strict=True):
            if part.end > image.size_of_image:
                recorder.fail(codes.MANIFEST_RANGES, function.name, f"{part} lies outside the fixed image")
            else:
                rows.append((part.start, part.end, copy.start + delta, function.name))
    side = Side(
        fixed=fixed,
        other=patch,
        judge=judge,
        carried=True,
        differs=codes.CARRIED_CODE_DIFFERS,
        refers=codes.CARRIED_CODE_REFERENCE,
        relocated=codes.RELOCATIONS_DIFFER,
    )
    read, targets = _compare_code(recorder, side, Runs.of(rows), claims, image)
    check_pinned(recorder, module, targets, patch.start)
    return recorder.done(), read


def _compare_code(
    recorder: Recorder,
    side: Side,
    runs: Runs,
    claims: Claims,
    image: Image,
    lines: Numbers | None = None,
    known: Known | None = None,
) -> tuple[Read, Numbers]:
    """Decode ``runs`` without their opaque parts and compare them; also the addresses they name."""
    rows, pieces = _without(runs, claims.opaque, _functions(image, runs.start))
    decoded = references(side.fixed.memory, pieces, _limits(image), known)
    for at, piece in decoded.undecodable:
        recorder.fail(codes.UNDECODABLE, runs.name(int(rows[piece])), f"no instruction at {at:#x}")
    found = _in_runs(decoded.references, rows)
    absolute = pointers(runs, side.fixed.relocated)
    tables = claimed_fields(runs, claims.fields, within=claims.opaque)
    everything = join([found, absolute, tables])
    recorder.examined += len(runs) + len(everything)
    targets = compare(recorder, side, runs, everything, lines)
    return Read(decoded.instructions, len(everything)), targets


def decoded_ahead(image: Image, fixed: Space, begin: Numbers, end: Numbers) -> Known:
    """The fragments ``[begin, end)`` of an image that lies in ``fixed``, decoded before anybody claims
    anything of them. Which ones does not matter to the proof: what is claimed and not among them it decodes
    then."""
    return Known.of(fixed.memory, Pieces(begin, end, begin, end, _functions(image, begin)), _limits(image))


def _limits(image: Image) -> Limits:
    """Where an address relative to the image base can lie."""
    first = min((int(section.rva) for section in image.sections), default=image.size_of_headers)
    return max(first, image.size_of_headers), image.size_of_image


def _in_runs(found: References, rows: Numbers) -> References:
    return replace(found, row=rows[found.row]) if len(found) else found


def _functions(image: Image, starts: Numbers) -> Numbers:
    """For each address the begin of the function it belongs to by the unwind records, else itself."""
    table = runtime_functions(image)
    if not len(table):
        return starts
    row = np.searchsorted(table.begin, starts, side="right") - 1
    inside = (row >= 0) & (starts < table.end[row])
    return np.where(inside, primary_begins(image, table)[row], starts)


def _without(runs: Runs, opaque: Rows, functions: Numbers) -> tuple[Numbers, Pieces]:
    """What is left of ``runs`` without ``opaque``, and the run that each piece belongs to."""
    low, high = opaque[:, 0].astype(np.int64), opaque[:, 1].astype(np.int64)
    first = np.searchsorted(high, runs.start, side="right")
    last = np.searchsorted(low, runs.end, side="left")
    rows: list[tuple[int, int, int]] = []
    for row in np.flatnonzero(last > first).tolist():
        at, end, holes = int(runs.start[row]), int(runs.end[row]), slice(int(first[row]), int(last[row]))
        for start, stop in [*zip(low[holes].tolist(), high[holes].tolist(), strict=True), (end, end)]:
            if start > at:
                rows.append((row, at, start))
            at = max(at, stop)
    whole = np.flatnonzero((last <= first) & (runs.start < runs.end))
    table = np.concatenate(
        [
            np.column_stack((whole, runs.start[whole], runs.end[whole])),
            np.array(rows, dtype=np.int64).reshape(-1, 3),
        ]
    )
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    owner, begins, ends = (np.ascontiguousarray(column) for column in table.T)
    return owner, Pieces(begins, ends, runs.start[owner], runs.end[owner], functions[owner])
