"""Tiers and recorded bytes, one pin field at a time, without a bundle around them."""

from dataclasses import replace

import pytest

from hpbuild.codes.verify import FUNCTION_DIFFERS, REFERENCE_DIFFERS
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.image import IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE, Image
from hpbuild.pe.reader import parse_image
from hpbuild.values import Digest, Interval
from hpbuild.verify.baseline import (
    function_findings,
    headers_stay,
    match_pin,
    match_subject,
    patch_is_present,
    pin_contradictions,
    reference_findings,
    same_ids,
    sections_agree,
    subject_of,
)
from hpbuild.verify.states import Tier

NO_DIGEST = Digest(bytes(32))


@pytest.fixture
def image(release) -> Image:
    return parse_image(release.installed.read_bytes(), "codec.dll")


def test_each_tier(release, image: Image) -> None:
    pin = release.module.baseline
    assert match_pin(pin, image).tier is Tier.EXACT
    pin = replace(pin, sha256=NO_DIGEST)
    assert match_pin(pin, image).tier is Tier.AUTHENTICODE
    pin = replace(pin, authenticode=None)
    assert match_pin(pin, image).tier is Tier.SECTIONS
    pin = replace(pin, sections=())
    assert match_pin(pin, image).tier is None


@pytest.mark.parametrize(
    ("field", "value"), [("machine", 0xAA64), ("image_base", 0x10000), ("size_of_image", 0x9000)]
)
@pytest.mark.parametrize("with_authenticode", [True, False])
def test_layout_is_part_of_every_tier_but_exact(
    release, image: Image, field: str, value: int, with_authenticode: bool
) -> None:
    pin = replace(release.module.baseline, sha256=NO_DIGEST, **{field: value})
    if not with_authenticode:
        pin = replace(pin, authenticode=None)
    assert match_pin(pin, image).tier is None


def test_a_larger_image_is_not_the_pinned_sections(release, image: Image) -> None:
    pin = replace(release.module.baseline, sha256=NO_DIGEST, authenticode=None, size_of_image=0x7000)
    assert match_pin(pin, image).tier is None


@pytest.mark.parametrize(
    ("field", "tiers"),
    [
        ("machine", 3), ("image_base", 3), ("size_of_image", 3), ("time_date_stamp", 2), ("checksum", 1),
    ],
)  # fmt: skip
def test_what_a_pin_says_beside_its_digests(release, image: Image, field: str, tiers: int) -> None:
    """``tiers``: in how many of the three, strongest first, the field must be right."""
    pin = release.module.baseline
    wrong = replace(pin, **{field: getattr(pin, field) ^ 0x10000})
    for index, tier in enumerate((Tier.EXACT, Tier.AUTHENTICODE, Tier.SECTIONS)):
        assert pin_contradictions(pin, image, tier) == ()
        assert len(pin_contradictions(wrong, image, tier)) == (index < tiers)


def test_pinned_sections_are_the_image_s(release, image: Image) -> None:
    pin = release.module.baseline
    first, *rest = pin.sections
    for sections in ((), (replace(first, size=first.size + 1), *rest), (replace(first, name="x"), *rest)):
        assert pin_contradictions(replace(pin, sections=sections), image, Tier.EXACT)


def test_the_time_stamp_is_an_id(release, image: Image) -> None:
    pin = release.module.baseline
    assert same_ids(pin, image)
    assert not same_ids(replace(pin, time_date_stamp=pin.time_date_stamp ^ 1), image)


def test_two_implementations_of_authenticode_must_agree(
    release, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpbuild.pe import authenticode

    monkeypatch.setattr(authenticode, "_digest_by_lief", lambda image: bytes(32))
    match = match_pin(replace(release.module.baseline, sha256=NO_DIGEST), image)
    assert match.tier is Tier.SECTIONS
    assert "LIEF" in match.note


def test_sections_behind_the_pinned_ones(release, image: Image) -> None:
    pin = release.module.baseline
    assert sections_agree(pin, image)
    assert not sections_agree(pin, replace(image, sections=image.sections[:-1]))
    inside = replace(pin, sections=pin.sections[:-1])
    assert not sections_agree(inside, image)
    behind = replace(inside, size_of_image=image.sections[-1].rva)
    assert sections_agree(behind, image)


@pytest.mark.parametrize(
    ("index", "stays"), [(0, False), (1, False), (3, True), (4, True), (5, True), (9, False)]
)
def test_directories_that_may_leave_the_pinned_image(release, image: Image, index: int, stays: bool) -> None:
    size = release.module.baseline.size_of_image
    directories = list(image.directories)
    directories[index] = Interval(size, size + 8)
    changed = replace(image, directories=tuple(directories))
    assert headers_stay(release.module.baseline, image)
    assert headers_stay(release.module.baseline, changed) is stays


def test_functions_and_references_outside_the_image(release, image: Image) -> None:
    size = image.size_of_image
    outside = Interval(size - 4, size + 4)
    function = replace(release.module.functions[0], baseline=(outside,))
    module = replace(release.module, functions=(function,))
    ((index, finding),) = function_findings(module, subject_of(image), FUNCTION_DIFFERS)
    assert (index, finding.code) == (0, FUNCTION_DIFFERS)
    assert "leaves" in finding.cause
    for digest in (NO_DIGEST, None):
        reference = replace(release.module.references[0], range=outside, sha256=digest)
        module = replace(release.module, references=(reference,))
        (finding,) = reference_findings(module, subject_of(image), REFERENCE_DIFFERS)
        assert finding.code is REFERENCE_DIFFERS


def test_added_functions_have_no_baseline_to_compare(release, image: Image) -> None:
    function = replace(release.module.functions[0], reason="added", baseline=(), baseline_sha256=None)
    module = replace(release.module, functions=(function,))
    assert function_findings(module, subject_of(image), FUNCTION_DIFFERS) == ()


@pytest.mark.parametrize("flag", [IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE])
@pytest.mark.parametrize("name", [".text", ".rdata", ".data"])
def test_protection_of_the_new_code(release, applied: bytes, flag: int, name: str) -> None:
    image = parse_image(applied, "applied")
    patch = parse_image(release.images[release.module.image.member], "patch")
    assert patch_is_present(image, patch)
    start = release.module.image.range.start
    sections = tuple(
        replace(section, characteristics=section.characteristics ^ flag)
        if section.name == name and section.rva >= start
        else section
        for section in image.sections
    )
    assert not patch_is_present(replace(image, sections=sections), patch)


def test_new_code_that_is_not_there_at_all(release, image: Image) -> None:
    patch = parse_image(release.images[release.module.image.member], "patch")
    assert not patch_is_present(image, patch)


def test_a_digest_that_is_known_is_not_computed_again(release, image: Image) -> None:
    pin = release.module.baseline
    assert match_pin(pin, image, pin.sha256).tier is Tier.EXACT
    assert match_pin(pin, image, NO_DIGEST).tier is not Tier.EXACT
    subject = subject_of(image, NO_DIGEST)
    assert match_subject(pin, subject).tier is not Tier.EXACT
    assert match_subject(pin, subject_of(image)).tier is Tier.EXACT


def test_fail_a_digest_of_another_file_does_not_stay(release, image: Image) -> None:
    pin = release.module.baseline
    changed = bytearray(image.data.whole())
    changed[-1] ^= 1
    other = replace(image, data=FileBytes.of(bytes(changed)))
    subject = subject_of(image, pin.sha256)
    assert (
        match_subject(pin, subject.with_image(replace(image, memory=image.memory.copy()))).tier is Tier.EXACT
    )
    assert match_subject(pin, subject.with_image(other)).tier is not Tier.EXACT
