"""Step 7, second part: the native hotpatch table says the same as the manifest."""

from collections.abc import Iterable

from hpbuild.codes import prove as codes
from hpbuild.manifest.model import Module
from hpbuild.patchimage.read import PatchImage
from hpbuild.pe import hotpatch_format as native
from hpbuild.pe.hotpatch_table import HotPatchBase
from hpbuild.pe.image import Image
from hpbuild.prove.checks import Check, Recorder


def native_table(module: Module, patch: PatchImage, baseline: Image) -> Check:
    """Its base is the baseline, its FUNCTION records are the redirections, and its records for references
    into the baseline are the fixups that lead there."""
    recorder = Recorder("P8", "native hotpatch table agrees with the manifest: records compared")
    member = module.image.member
    (base,) = patch.hotpatch.bases
    _base(recorder, module, base, baseline)
    redirections = {
        (int(item.entry), int(module.functions[item.function].patch[0].start))
        for item in module.redirections
        if 0 <= item.function < len(module.functions) and module.functions[item.function].patch
    }
    _agree(recorder, member, "FUNCTION", _records(base, native.KIND_FUNCTION), redirections)
    _agree(recorder, member, "ABSOLUTE", _records(base, native.KIND_ABSOLUTE), set(_absolute(module, patch)))
    _agree_sites(recorder, member, base, native.KIND_REL32, set(module.fixups.rel32))
    entries = {int(item.patch[0].start) for item in module.functions if item.patch}
    _agree_sites(recorder, member, base, native.KIND_CALL_TARGET, entries)
    known = {native.KIND_FUNCTION, native.KIND_ABSOLUTE, native.KIND_REL32, native.KIND_CALL_TARGET}
    for chunk in base.chunks:
        if chunk.kind not in known:
            recorder.fail(codes.NATIVE_TABLE_DISAGREES, member, f"{chunk.name} records that nothing asks for")
    return recorder.done()


def _base(recorder: Recorder, module: Module, base: HotPatchBase, baseline: Image) -> None:
    """The table's base image is the baseline, which has the digest of the manifest."""
    member = module.image.member
    stamps = (base.original_time_date_stamp, base.original_checksum)
    if stamps != (baseline.time_date_stamp, baseline.checksum):
        cause = f"it is for time stamp {stamps[0]:#x} and checksum {stamps[1]:#x}, not for the baseline's"
        recorder.fail(codes.NATIVE_TABLE_DISAGREES, member, cause)
    if base.hashes is not None and base.hashes.sha256 != module.baseline.sha256:
        cause = f"it is for the file with SHA-256 {base.hashes.sha256.hex}"
        recorder.fail(codes.NATIVE_TABLE_DISAGREES, member, cause)


def _records(base: HotPatchBase, kind: int) -> set[tuple[int, int]]:
    return {
        (record.written, record.other)
        for chunk in base.chunks
        if chunk.kind == kind
        for record in chunk.records
    }


def _agree_sites(recorder: Recorder, member: str, base: HotPatchBase, kind: int, wanted: set[int]) -> None:
    """``_agree`` for records of which only the place that is written counts."""
    found = {record.written for chunk in base.chunks if chunk.kind == kind for record in chunk.records}
    if found == wanted:
        recorder.examined += len(wanted)
        return
    name = native.KIND_NAMES[kind]
    _agree(recorder, member, name, *({(site, 0) for site in sites} for sites in (found, wanted)))


def _absolute(module: Module, patch: PatchImage) -> Iterable[tuple[int, int]]:
    """The absolute addresses that lead into the baseline: (site, target)."""
    for site in module.fixups.addr64:
        target = patch.image.u64(site) - patch.image.image_base
        if target < patch.range.start:
            yield int(site), target


def _agree(
    recorder: Recorder, member: str, kind: str, found: set[tuple[int, int]], wanted: set[tuple[int, int]]
) -> None:
    recorder.examined += len(wanted)
    for what, rows in (("an extra", found - wanted), ("a missing", wanted - found)):
        for site, target in sorted(rows):
            cause = f"{what} {kind} record: {site:#x} and {target:#x}"
            recorder.fail(codes.NATIVE_TABLE_DISAGREES, member, cause)
