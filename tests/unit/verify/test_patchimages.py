"""The patch image against the manifest; each test changes one thing alone."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hpbuild.codes.bundle import IMAGE_MISMATCH, IMAGE_MISSING
from hpbuild.codes.patchimage import FIXUPS_DISAGREE, PATCH_OVER_BASELINE, PATCH_SECTIONS
from hpbuild.codes.verify import PATCH_IMAGE_PLACE, PATCH_TABLE_DISAGREES
from hpbuild.errors import Code, ExitStatus
from hpbuild.patchimage.format import CHECKSUM_OFFSET, TIME_STAMP_OFFSET
from hpbuild.patchimage.read import read_patch_image
from hpbuild.pe import hotpatch_format as native
from hpbuild.values import Digest, Interval
from hpbuild.verify import Verification
from hpbuild.verify.patchimages import table_findings
from hpbuild.verify.states import CheckStatus

PATCH_IMAGES = 7
INFO, BASE_LIST = 28, 4
BASE = INFO + BASE_LIST
HASHES = BASE + native.BASE_SIZE
TABLE = HASHES + native.HASHES_SIZE


def codes_of(result: Verification) -> list[Code]:
    return [finding.code for finding in result.checks[PATCH_IMAGES].findings]


def restamped(data: bytearray) -> bytes:
    """``data`` with time stamp and checksum as the format demands."""
    for offset in (TIME_STAMP_OFFSET, CHECKSUM_OFFSET):
        data[offset : offset + 4] = bytes(4)
    data[TIME_STAMP_OFFSET : TIME_STAMP_OFFSET + 4] = hashlib.sha256(data).digest()[:4]
    total = int(np.frombuffer(data, dtype="<u2").sum(dtype=np.uint64))
    checksum = (total - 1) % 0xFFFF + 1 + len(data)
    data[CHECKSUM_OFFSET : CHECKSUM_OFFSET + 4] = checksum.to_bytes(4, "little")
    return bytes(data)


def with_image(release, data: bytes):
    """The release with other bytes as its patch image, pinned as they are."""
    pin = replace(release.module.image, size=len(data), sha256=Digest.of(data))
    return replace(release.with_module(image=pin), images={pin.member: data})


def edited(release, change: Callable[[bytearray, int], None]):
    """The release with a patch image that ``change`` edited; it gets the blob's file offset."""
    data = release.images[release.module.image.member]
    patch = read_patch_image(data, "p")
    section = next(each for each in patch.image.sections if each.name == ".hotp")
    changed = bytearray(data)
    change(changed, section.raw_offset + patch.hotpatch.range.start - section.rva)
    return with_image(release, restamped(changed))


def add(offset: int, value: int = 1) -> Callable[[bytearray, int], None]:
    """Adds ``value`` to the 32-bit value at ``offset`` of the blob."""

    def change(data: bytearray, blob: int) -> None:
        at = blob + offset
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "little") + value).to_bytes(4, "little")

    return change


def causes_of(result: Verification) -> str:
    return "; ".join(finding.cause for finding in result.checks[PATCH_IMAGES].findings)


def offsets(release) -> dict[int, int]:
    """Blob offset of each kind's first record."""
    (base,) = read_patch_image(release.images[release.module.image.member], "p").hotpatch.bases
    found, at = {}, TABLE
    for chunk in base.chunks:
        found[chunk.kind] = at + 4
        at += 4 + 12 * len(chunk.records)
    return found


def test_restamping_is_what_the_format_demands(release) -> None:
    assert edited(release, lambda data, blob: None).images == release.images


def test_the_fixture_has_every_kind_of_record(release) -> None:
    kinds = {native.KIND_FUNCTION, native.KIND_REL32, native.KIND_ABSOLUTE, native.KIND_CALL_TARGET}
    assert set(offsets(release)) == kinds


def test_other_bytes_than_pinned(release) -> None:
    data = bytearray(release.images[release.module.image.member])
    data[-1] ^= 1
    result = replace(release, images={release.module.image.member: bytes(data)}).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [IMAGE_MISMATCH])


def test_other_size_than_pinned(release) -> None:
    data = release.images[release.module.image.member] + bytes(512)
    result = replace(release, images={release.module.image.member: data}).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [IMAGE_MISMATCH])


def test_missing_and_extra_images(release) -> None:
    (data,) = release.images.values()
    result = replace(release, images={}).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [IMAGE_MISSING])
    result = replace(release, images={**release.images, "images/extra.dll": data}).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [IMAGE_MISSING])


@pytest.mark.parametrize("data", [b"no PE at all", b"MZ"])
def test_no_pe(release, data: bytes) -> None:
    result = with_image(release, data).verify(release.installed)
    assert result.exit is ExitStatus.NO
    assert codes_of(result)[0].id.startswith("HP1")
    assert result.checks[-2].passed, "the installed file is looked at all the same"


def test_writable_code_is_refused(release) -> None:
    data = bytearray(release.images[release.module.image.member])
    flags = data.index(b".text\0") + 36
    data[flags + 3] |= 0x80
    result = with_image(release, restamped(data)).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PATCH_SECTIONS])


def test_the_baseline_itself_is_no_patch_image(release) -> None:
    result = with_image(release, release.installed.read_bytes()).verify()
    assert result.exit is ExitStatus.NO
    assert codes_of(result)[0].id.startswith("HP36")


def test_below_the_end_of_the_baseline(release) -> None:
    """The patch image starts at 64 KiB; a baseline that is said to be larger would be covered."""
    baseline = replace(release.module.baseline, size_of_image=0x11000)
    pin = replace(release.module.image, range=Interval(0x11000, 0x100000))
    result = release.with_module(baseline=baseline, image=pin).verify()
    assert result.exit is ExitStatus.NO
    found = {finding.code for check in result.checks for finding in check.findings}
    assert PATCH_OVER_BASELINE in found or "V07" in {
        check.number for check in result.checks if check.status is CheckStatus.FAILED
    }


def test_another_range(release) -> None:
    pin = release.module.image
    changed = replace(pin, range=Interval(pin.range.start, pin.range.end + 0x1000))
    result = release.with_module(image=changed).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PATCH_IMAGE_PLACE])


def test_another_machine(release) -> None:
    """Both pins agree with each other, the patch image with neither."""
    pins = {side: replace(getattr(release.module, side), machine=0xAA64) for side in ("baseline", "fixed")}
    result = release.with_module(**pins).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PATCH_IMAGE_PLACE])


def test_another_image_base(release) -> None:
    baseline = replace(release.module.baseline, image_base=release.module.baseline.image_base + 0x10000)
    result = release.with_module(baseline=baseline).verify()
    assert (result.exit, set(codes_of(result))) == (ExitStatus.NO, {PATCH_IMAGE_PLACE})


@pytest.mark.parametrize("drop", [0, 1])
def test_fixups_are_the_base_relocations(release, drop: int) -> None:
    sites = list(release.module.fixups.addr64)
    del sites[drop]
    result = release.with_module(fixups=replace(release.module.fixups, addr64=tuple(sites))).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [FIXUPS_DISAGREE])


def test_rel32_fixups_are_the_records(release) -> None:
    fixups = replace(release.module.fixups, rel32=release.module.fixups.rel32[1:])
    result = release.with_module(fixups=fixups).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [FIXUPS_DISAGREE])


def test_a_variable_that_lies_in_code(release) -> None:
    first, *rest = release.module.data
    end = release.module.functions[-1].patch[0].end
    moved = replace(first, patch=Interval(end, end + len(first.patch)))
    result = release.with_module(data=(moved, *rest)).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PATCH_IMAGE_PLACE])


@pytest.mark.parametrize("field", ["time_date_stamp", "checksum"])
def test_ids_of_the_baseline_in_the_table(release, field: str) -> None:
    pin = release.module.baseline
    result = release.with_module(baseline=replace(pin, **{field: getattr(pin, field) ^ 1})).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PATCH_TABLE_DISAGREES])


def test_digest_of_the_baseline_in_the_table(release) -> None:
    pin = replace(release.module.baseline, sha256=Digest(bytes(32)))
    result = release.with_module(baseline=pin).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PATCH_TABLE_DISAGREES])


def test_sequence_of_the_manifest(release) -> None:
    result = release.with_manifest(sequence=8).verify()
    assert (result.exit, set(codes_of(result))) == (ExitStatus.NO, {PATCH_TABLE_DISAGREES})


@pytest.mark.parametrize("offset", [BASE + 8, BASE + 12, HASHES, HASHES + 28])
def test_each_field_of_the_table(release, offset: int) -> None:
    result = edited(release, add(offset)).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PATCH_TABLE_DISAGREES])


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (native.KIND_FUNCTION, 0, 16), (native.KIND_FUNCTION, 4, 1), (native.KIND_FUNCTION, 8, 1),
        (native.KIND_CALL_TARGET, 0, 1),
    ],
)  # fmt: skip
def test_each_field_of_a_record(release, kind: int, field: int, value: int) -> None:
    result = edited(release, add(offsets(release)[kind] + field, value)).verify()
    assert result.exit is ExitStatus.NO
    assert set(codes_of(result)) == {PATCH_TABLE_DISAGREES}


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (native.KIND_REL32, 0, 1), (native.KIND_REL32, 4, 1), (native.KIND_REL32, 8, 1),
        (native.KIND_ABSOLUTE, 0, 8), (native.KIND_ABSOLUTE, 4, 1),
    ],
)  # fmt: skip
def test_each_field_of_a_fixup_record(release, kind: int, field: int, value: int) -> None:
    result = edited(release, add(offsets(release)[kind] + field, value)).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [FIXUPS_DISAGREE])


def test_a_record_that_is_there_twice(release) -> None:
    """One more redirection record, in the place of a call target."""

    def change(data: bytearray, blob: int) -> None:
        at = blob + offsets(release)[native.KIND_FUNCTION]
        data[at : at + 12] = data[at + 12 : at + 24]

    result = edited(release, change).verify()
    assert set(codes_of(result)) == {PATCH_TABLE_DISAGREES}
    assert "1 FUNCTION records are missing" in causes_of(result)


def test_a_kind_without_meaning_here(release) -> None:
    def change(data: bytearray, blob: int) -> None:
        at = blob + offsets(release)[native.KIND_CALL_TARGET] - 4
        header = int.from_bytes(data[at : at + 4], "little")
        header += native.KIND_NO_CALL_TARGET - native.KIND_CALL_TARGET
        data[at : at + 4] = header.to_bytes(4, "little")

    result = edited(release, change).verify()
    assert set(codes_of(result)) == {PATCH_TABLE_DISAGREES}
    assert "inverse records of kind NO_CALL_TARGET have no meaning here" in causes_of(result)


def test_an_inverse_function_record(release) -> None:
    """Windows would write into the patch image, not into the baseline."""

    def change(data: bytearray, blob: int) -> None:
        base = release.module.image.range.start
        at = blob + offsets(release)[native.KIND_FUNCTION] - 4
        data[at + 3] |= native.CHUNK_INVERSE >> 24
        for record in (at + 4, at + 16):
            data[record : record + 4] = (base + 16).to_bytes(4, "little")

    result = edited(release, change).verify()
    assert set(codes_of(result)) == {PATCH_TABLE_DISAGREES}
    assert "inverse records of kind FUNCTION have no meaning here" in causes_of(result)


def test_a_pointer_that_no_record_announces(release) -> None:
    """The constant that points at the new code is made to point at the baseline."""
    data = release.images[release.module.image.member]
    patch = read_patch_image(data, "p")
    site = patch.address_sites[1]
    section = patch.image.section_at(site)
    assert section is not None
    at = section.raw_offset + site - section.rva
    changed = bytearray(data)
    changed[at : at + 8] = (patch.image.image_base + 0x1000).to_bytes(8, "little")
    result = with_image(release, restamped(changed)).verify()
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PATCH_TABLE_DISAGREES])


def test_one_record_too_many(release) -> None:
    """Every redirection is announced, one of them twice."""
    patch = read_patch_image(release.images[release.module.image.member], "p")
    assert table_findings(release.module, patch, release.manifest.sequence) == []
    (base,) = patch.hotpatch.bases
    chunks = tuple(
        replace(chunk, records=(*chunk.records, chunk.records[0]))
        if chunk.kind == native.KIND_FUNCTION
        else chunk
        for chunk in base.chunks
    )
    twice = replace(patch, hotpatch=replace(patch.hotpatch, bases=(replace(base, chunks=chunks),)))
    (finding,) = table_findings(release.module, twice, release.manifest.sequence)
    assert finding.code is PATCH_TABLE_DISAGREES
    assert "3 FUNCTION records for 2 redirections" in finding.cause
