"""V08: the patch images are the ones that the manifest describes, and do what it says.

Read with ``hpbuild.patchimage.read``, which accepts one shape of file only; here its content is compared
with the manifest: where it lies, which addresses it adjusts, and what its native hotpatch table tells
Windows to do.
"""

from collections.abc import Iterable, Mapping

from hpbuild.bundle.contents import image_findings
from hpbuild.bundle.reader import Bundle
from hpbuild.codes.verify import PATCH_IMAGE_PLACE, PATCH_TABLE_DISAGREES
from hpbuild.errors import Finding, HpbuildError
from hpbuild.manifest.model import Manifest, Module
from hpbuild.patchimage.agree import check_fixups
from hpbuild.patchimage.read import PatchImage, read_patch_image
from hpbuild.pe import hotpatch_format as native
from hpbuild.pe.hotpatch_chunks import HotPatchRecord
from hpbuild.pe.hotpatch_table import HotPatchBase
from hpbuild.pe.image import Image
from hpbuild.values import Interval
from hpbuild.verify.checks import PATCH_IMAGES, CheckResult, judged

SECTION_OF_KIND = {"rodata": (".rdata", ".xdata"), "data": (".data",), "bss": (".bss",)}


def check_patch_images(bundle: Bundle, manifest: Manifest) -> tuple[CheckResult, Mapping[str, Image]]:
    """V08, and the parsed patch image of every module whose own is sound, by module path. Pure."""
    findings = list(image_findings(bundle, manifest))
    spoiled = {finding.place for finding in findings}
    images: dict[str, Image] = {}
    for index, module in enumerate(manifest.modules):
        content = bundle.members.get(module.image.member)
        if content is None or f"manifest.json: modules[{index}].image" in spoiled:
            continue
        try:
            patch = read_patch_image(content, module.image.member, module.baseline.size_of_image)
            check_fixups(patch, module.fixups)
        except HpbuildError as error:
            findings.append(error.finding)
            continue
        found = [
            *_place_findings(module, patch),
            *table_findings(module, patch, manifest.sequence),
        ]
        findings += found
        if not found:
            images[module.path] = patch.image
    return judged(PATCH_IMAGES, findings, (("patch images", len(manifest.modules)),)), images


def _place_findings(module: Module, patch: PatchImage) -> list[Finding]:
    """Range, image base and machine are the manifest's, and everything carried lies in the section for its
    kind."""
    pairs = (
        ("range", str(patch.range), str(module.image.range)),
        ("image base", f"{patch.image.image_base:#x}", f"{module.baseline.image_base:#x}"),
        ("machine", f"{patch.image.machine:#x}", f"{module.baseline.machine:#x}"),
    )
    place = module.image.member
    findings = [
        Finding(PATCH_IMAGE_PLACE, place, f"its {what} is {found}, the manifest says {wanted}")
        for what, found, wanted in pairs
        if found != wanted
    ]
    carried: list[tuple[str, tuple[str, ...], Interval]] = [
        (function.name, (".text",), part) for function in module.functions for part in function.patch
    ]
    carried += [(datum.name, SECTION_OF_KIND[datum.kind], datum.patch) for datum in module.data]
    for name, sections, part in carried:
        if not any(_covers(patch.section(section), part) for section in sections):
            cause = f"{part} does not lie in {' or '.join(sections)}"
            findings.append(Finding(PATCH_IMAGE_PLACE, f"{place}: {name}", cause))
    return findings


def _covers(section: Interval | None, part: Interval) -> bool:
    return section is not None and section.covers(part)


def table_findings(module: Module, patch: PatchImage, sequence: int) -> list[Finding]:
    """The native table is for this baseline and lists the manifest's redirections."""
    place = module.image.member
    (base,), pin = patch.hotpatch.bases, module.baseline
    pairs = (
        ("sequence number", patch.hotpatch.sequence, sequence),
        ("TimeDateStamp", base.original_time_date_stamp, pin.time_date_stamp),
        ("CheckSum", base.original_checksum, pin.checksum),
        ("SHA-256", base.hashes.sha256.hex if base.hashes else "", pin.sha256.hex),
    )
    findings = [
        Finding(PATCH_TABLE_DISAGREES, place, f"its {what} is {found}, the manifest says {wanted}")
        for what, found, wanted in pairs
        if found != wanted
    ]
    known = {native.KIND_FUNCTION, native.KIND_REL32, native.KIND_ABSOLUTE, native.KIND_CALL_TARGET}
    for chunk in base.chunks:
        if chunk.kind not in known or chunk.inverse == (chunk.kind == native.KIND_FUNCTION):
            direction = "inverse" if chunk.inverse else "forward"
            cause = f"{direction} records of kind {chunk.name} have no meaning here"
            findings.append(Finding(PATCH_TABLE_DISAGREES, place, cause))
    causes = [
        *_function_records(module, _records(base, native.KIND_FUNCTION)),
        *_absolute_records(patch, _records(base, native.KIND_ABSOLUTE)),
        *_difference(
            "CALL_TARGET",
            {record.written for record in _records(base, native.KIND_CALL_TARGET)},
            {function.patch[0].start for function in module.functions},
        ),
    ]
    return findings + [Finding(PATCH_TABLE_DISAGREES, place, cause) for cause in causes]


def _records(base: HotPatchBase, kind: int) -> list[HotPatchRecord]:
    return [record for chunk in base.chunks if chunk.kind == kind for record in chunk.records]


def _function_records(module: Module, records: list[HotPatchRecord]) -> list[str]:
    """FUNCTION records against redirections; the extra value holds the old bytes at the entry."""
    wanted = {
        (redirection.entry, module.functions[redirection.function].patch[0].start)
        for redirection in module.redirections
    }
    causes = _difference("FUNCTION", {(record.written, record.other) for record in records}, wanted)
    if len(records) != len(wanted):
        causes.append(f"{len(records)} FUNCTION records for {len(wanted)} redirections")
    old_bytes: dict[int, bytes] = {
        redirection.entry: redirection.old[redirection.entry - redirection.window.start :][:4]
        for redirection in module.redirections
    }
    for record in records:
        old = old_bytes.get(record.written, b"")
        if record.extra[0].to_bytes(4, "little")[: len(old)] != old:
            causes.append(f"the original bytes of the entry {record.written:#x} are not {old.hex(' ')}")
    return causes


def _absolute_records(patch: PatchImage, records: list[HotPatchRecord]) -> list[str]:
    """ABSOLUTE records against the pointers into the baseline: Windows fills in no others."""
    image = patch.image
    values = ((site, image.u64(site) - image.image_base) for site in patch.address_sites)
    outward = {(site, rva) for site, rva in values if rva < patch.range.start}
    return _difference("ABSOLUTE", {(record.written, record.other) for record in records}, outward)


def _difference(kind: str, found: Iterable[object], wanted: Iterable[object]) -> list[str]:
    odd = set(found) ^ set(wanted)
    return [f"{len(odd)} {kind} records are missing or have no counterpart in the manifest"] if odd else []
