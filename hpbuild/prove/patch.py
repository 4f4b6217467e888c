"""Steps 1 and 7: the patch image is the pinned one and can be moved; there is nothing in it but what the
manifest names, and the redirections lead to it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.patchimage.place import place
from hpbuild.patchimage.read import PatchImage, read_patch_image
from hpbuild.pe.image import Image
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.records import read_record, read_records
from hpbuild.prove.redirections import check_digests, check_redirections
from hpbuild.prove.references import Numbers, distinct
from hpbuild.prove.space import Space
from hpbuild.prove.unwind import Table
from hpbuild.values import Digest, Interval

_STEP = 0x10000
_REACH = 1 << 31
_MOVES = 2048
_HIGHEST_BASE = 0x7FF000000000
_TABLE_SECTIONS = (".pdata", ".hotp", ".reloc")
_CODE = ".text"
_ROW = 12


@dataclass(frozen=True, slots=True)
class Placed:
    """The patch image as read, the distance it was moved by, and its bytes at the new place with the fixups
    applied, under another image base."""

    image: PatchImage
    delta: int
    space: Space

    def runtime_functions(self) -> Table:
        """Rows of the exception directory, read at the new place; their addresses are new ones."""
        section = self.image.section(".pdata")
        if section is None:
            return tuple(np.zeros(0, dtype=np.int64) for _ in range(3))  # type: ignore[return-value]
        raw = self.space.slice(section.start + self.delta, len(section) // _ROW * _ROW)
        rows = raw.view("<u4").reshape(-1, 3).astype(np.int64)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        return rows[:, 0].copy(), rows[:, 1].copy(), rows[:, 2].copy()


def placement(module: Module, patch: bytes, baseline: Image) -> tuple[Check, Placed | None]:
    """Step 1. Place and image base follow from the image's digest, so that the proof is repeatable; the
    result is None when the step failed."""
    recorder = Recorder("P1", "patch image read back and moved: bytes")
    recorder.examined = len(patch)
    member = module.image.member
    digest = Digest.of(patch)
    if digest != module.image.sha256 or len(patch) != module.image.size:
        cause = f"{len(patch)} bytes, SHA-256 {digest.hex}; the manifest says {module.image.sha256.hex}"
        recorder.fail(codes.PATCH_IMAGE_NOT_PINNED, member, cause)
        return recorder.done(), None
    try:
        image = read_patch_image(patch, member, baseline.size_of_image)
        if image.range != module.image.range or image.image.image_base != baseline.image_base:
            cause = f"{image.range} under {image.image.image_base:#x}; the manifest says {module.image.range}"
            recorder.fail(codes.PATCH_IMAGE_NOT_PINNED, member, cause)
            return recorder.done(), None
        placed = _place(module, image, baseline, digest)
    except HpbuildError as error:
        recorder.fail(codes.PATCH_IMAGE_UNUSABLE, member, str(error.finding))
        return recorder.done(), None
    return recorder.done(), placed


def _place(module: Module, image: PatchImage, baseline: Image, digest: Digest) -> Placed:
    room = (_REACH - image.range.end) // _STEP
    if room < 1:
        raise HpbuildError(codes.PATCH_IMAGE_UNUSABLE, module.image.member, "there is no room to move it")
    delta = _STEP * (1 + int.from_bytes(digest.raw[:4], "little") % min(room, _MOVES))
    shift = _STEP * (1 + int.from_bytes(digest.raw[4:6], "little"))
    base = baseline.image_base + shift
    if base + _REACH > _HIGHEST_BASE:
        base = _STEP * (1 + int.from_bytes(digest.raw[4:6], "little"))
    memory = place(image.memory, image.range, baseline.image_base, module.fixups, base, delta)
    space = Space(
        name=module.image.member,
        memory=np.frombuffer(memory, dtype=np.uint8),
        start=image.range.start + delta,
        image_base=base,
        relocated=np.array(sorted(module.fixups.addr64), dtype=np.int64) + delta,
    )
    return Placed(image, delta, space)


def nothing_else(
    module: Module,
    placed: Placed,
    images: tuple[Image, Image],
    identical: Numbers,
    language: Sequence[Interval],
) -> Check:
    """Step 7. ``images`` are the fixed and the baseline image; ``identical`` are rows (baseline start,
    baseline end) of what stays in use there, by start; ``language`` are nominal extents of language data in
    the patch image that step 6 compared."""
    recorder = Recorder("P7", "nothing else in the patch image, redirections: bytes accounted")
    _account(recorder, module, placed, [(run.start, run.end) for run in language])
    check_redirections(recorder, module, images[1], identical)
    check_digests(recorder, module, images)
    return recorder.done()


def _account(recorder: Recorder, module: Module, placed: Placed, language: list[tuple[int, int]]) -> None:
    """Every byte of a section belongs to a function, a datum, an unwind record or a table, or is filler."""
    functions = [(part.start, part.end) for item in module.functions for part in item.patch]
    data = [(item.patch.start, item.patch.end) for item in module.data]
    runs = sorted(functions + data)
    for (_, end), (start, _) in pairwise(runs):
        if start < end:
            recorder.fail(
                codes.UNACCOUNTED_PATCH_BYTES, f"{start:#x}", "two parts of the manifest overlap there"
            )
    records = _records(placed)
    for section in placed.image.image.sections:
        extent = section.range
        recorder.examined += len(extent)
        if section.name in _TABLE_SECTIONS:
            continue
        known = functions if section.name == _CODE else [*data, *records, *language]
        left = np.ones(len(extent), dtype=np.bool_)
        for start, end in known:
            left[max(start - extent.start, 0) : max(end - extent.start, 0)] = False
        memory = placed.image.image.memory[extent.start : extent.end]
        left &= memory != (0xCC if section.name == _CODE else 0)
        if left.any():
            at = int(np.argmax(left))
            sample = memory[at : at + 16].tobytes().hex()
            cause = f"{int(left.sum())} bytes, first at {extent.start + at:#x}: {sample}"
            recorder.fail(codes.UNACCOUNTED_PATCH_BYTES, f"section {section.name}", cause)
    for part in runs:
        if not placed.image.range.covers(Interval(*part)):
            recorder.fail(codes.MANIFEST_RANGES, f"{part[0]:#x}", "it lies outside the patch image")


def _records(placed: Placed) -> list[tuple[int, int]]:
    """Nominal extents of the unwind records that the patch image's exception directory reaches."""
    pending = distinct(placed.runtime_functions()[2])
    known = np.zeros(0, dtype=np.int64)
    found: list[tuple[int, int]] = []
    while len(pending):
        table = read_records(placed.space, pending)
        some = [(rva, read_record(placed.space, rva)) for rva in pending[~table.sound].tolist()]
        others = [(rva, record) for rva, record in some if record is not None]
        found += [(rva - placed.delta, rva - placed.delta + record.size) for rva, record in others]
        start = pending[table.sound] - placed.delta
        found += zip(start.tolist(), (start + table.extent[table.sound]).tolist(), strict=True)
        known = np.concatenate([known, pending])
        parents = [record.chained[2] for _, record in others if record.chained is not None]
        chained = table.parent[table.sound & table.chained]
        following = distinct(np.concatenate([chained, np.array(parents, dtype=np.int64)]))
        pending = following[~np.isin(following, known)]
    return found
