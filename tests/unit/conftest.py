"""A small release with every kind of entry, for the tests of manifest, bundle, sign and verify."""

import dataclasses

import hypothesis
import pytest

from hpbuild.manifest import model
from hpbuild.values import Digest, Interval, Rva

# No test may fail because a machine is busy.
hypothesis.settings.register_profile(
    "hpbuild", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("hpbuild")

IMAGE_MEMBER = "images/bin/codec.dll"
PATCH_IMAGE = b"MZ" + bytes(range(256))


def _pin(fill: bytes, size_of_image: int) -> model.Pin:
    return model.Pin(
        file_name="Codec.dll",
        size=90112,
        sha256=Digest.of(fill),
        authenticode=Digest.of(fill + b"authenticode"),
        sections=(
            model.SectionPin(name=".text", rva=Rva(0x1000), size=0x3000, sha256=Digest.of(fill + b"text")),
            model.SectionPin(name=".data", rva=Rva(0x4000), size=0x800, sha256=Digest.of(fill + b"data")),
        ),
        machine=0x8664,
        time_date_stamp=0x65000000,
        checksum=0x12345,
        size_of_image=size_of_image,
        image_base=0x180000000,
        pdb_guid="00112233445566778899aabbccddeeff",
        pdb_age=1,
        version="1.2.3.4",
    )


def _functions() -> tuple[model.Function, ...]:
    changed = model.Function(
        name="codec_decode",
        reason="changed",
        level="symbol",
        cause="bounds check added",
        baseline=(Interval(0x1010, 0x1040), Interval(0x2000, 0x2008)),
        fixed=(Interval(0x1020, 0x1060),),
        patch=(Interval(0x10000, 0x10040),),
        baseline_sha256=Digest.of(b"old decode"),
        fixed_sha256=Digest.of(b"new decode"),
    )
    added = model.Function(
        name="codec_check",
        reason="added",
        level="",
        cause="not in the baseline",
        baseline=(),
        fixed=(Interval(0x1060, 0x1080),),
        patch=(Interval(0x10040, 0x10060),),
        baseline_sha256=None,
        fixed_sha256=Digest.of(b"new check"),
    )
    referrer = dataclasses.replace(
        changed,
        name="codec_version",
        reason="referrer",
        cause="refers to version_text",
        baseline=(Interval(0x1110, 0x1120),),
        fixed=(Interval(0x1130, 0x1140),),
        patch=(Interval(0x10060, 0x10070),),
    )
    return changed, added, referrer


def _redirections() -> tuple[model.Redirection, ...]:
    return (
        model.Redirection(
            function=0,
            kind="entry-jump",
            entry=Rva(0x1010),
            window=Interval(0x1010, 0x1018),
            old=bytes.fromhex("5548894889e5cc90"),
            new=bytes.fromhex("e9ebef0000") + bytes.fromhex("e5cc90"),
        ),
        model.Redirection(
            function=2,
            kind="pad-jump",
            entry=Rva(0x1110),
            window=Interval(0x110B, 0x1112),
            old=bytes.fromhex("cccccccccc8bff"),
            new=bytes.fromhex("e950ef0000ebf9"),
        ),
    )


@pytest.fixture(scope="session")
def patch_images() -> dict[str, bytes]:
    """Members with the patch images that ``sample_manifest`` names."""
    return {IMAGE_MEMBER: PATCH_IMAGE}


@pytest.fixture(scope="session")
def sample_module() -> model.Module:
    """A module with a changed, an added and a referring function."""
    return model.Module(
        path="bin/Codec.dll",
        baseline=_pin(b"baseline", 0x8000),
        fixed=_pin(b"fixed", 0x9000),
        image=model.PatchImagePin(
            member=IMAGE_MEMBER,
            size=len(PATCH_IMAGE),
            sha256=Digest.of(PATCH_IMAGE),
            range=Interval(0x10000, 0x12000),
        ),
        functions=_functions(),
        data=(
            model.Datum(
                name="version_text",
                reason="changed",
                kind="rodata",
                cause="1.2.3 became 1.2.4",
                baseline=Interval(0x3000, 0x3010),
                fixed=Interval(0x3020, 0x3030),
                patch=Interval(0x11000, 0x11010),
            ),
            model.Datum(
                name="counter",
                reason="added",
                kind="bss",
                cause="not in the baseline",
                baseline=None,
                fixed=Interval(0x4800, 0x4808),
                patch=Interval(0x11010, 0x11018),
            ),
        ),
        redirections=_redirections(),
        pages=(model.PagePin(Rva(0x1000), Digest.of(b"page")),),
        fixups=model.Fixups(
            addr64=(Rva(0x11008),), rel32=(Rva(0x10002), Rva(0x10010)), addr32nb=(Rva(0x11020),)
        ),
        references=(
            model.BaselineReference(range=Interval(0x1200, 0x1280), sha256=Digest.of(b"helper")),
            model.BaselineReference(range=Interval(0x4010, 0x4018), sha256=None),
        ),
        exclusions=(
            model.Exclusion(klass="version-resource", place="VERSIONINFO", cause="1.2.3 became 1.2.4"),
        ),
        findings=(
            model.ManifestFinding(code="HP3004", severity="warn", place="DllMain", cause="ran already"),
        ),
        account=(
            model.ByteClass(klass="identical-code", size=9000),
            model.ByteClass(klass="padding", size=7),
        ),
    )


@pytest.fixture(scope="session")
def sample_manifest(sample_module: model.Module) -> model.Manifest:
    """A consistent manifest of one module."""
    return model.Manifest(
        id="codec-1.2.4-hp1",
        product="Codec",
        sequence=3,
        advisories=("CVE-2025-0001",),
        created="2025-01-31T12:00:00Z",
        tool="hpbuild 0.1.0",
        modules=(sample_module,),
        unchanged=("bin/other.dll",),
    )
