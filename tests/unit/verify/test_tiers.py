"""Identity of a build in the four tiers, over files that osslsigncode signed and files made to deceive."""

import hashlib
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.codes import verify as codes
from hpbuild.errors import Code, ExitStatus
from hpbuild.pe.reader import parse_image
from hpbuild.verify import Verification
from hpbuild.verify.states import CheckStatus, ModuleState, Tier
from tests.certificates import Entity, make_authority, make_leaf

from .conftest import Release, make_module, make_release

CERTIFICATE = 4


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Entity:
    require_tool("openssl")
    folder = tmp_path_factory.mktemp("signer")
    return make_leaf(folder / "leaf", make_authority(folder / "root"), algorithm="rsa-2048")


@pytest.fixture
def sign(signer: Entity, tmp_path: Path, require_tool: Callable[[str], str]) -> Callable[..., bytes]:
    tool = require_tool("osslsigncode")

    def make(data: bytes, *options: str) -> bytes:
        before, after = tmp_path / "before.dll", tmp_path / "after.dll"
        before.write_bytes(data)
        after.unlink(missing_ok=True)
        call = [tool, "sign", "-h", "sha256", "-certs", str(signer.certificate), "-key", str(signer.key)]
        subprocess.run(
            [*call, *options, "-in", str(before), "-out", str(after)], check=True, capture_output=True
        )
        return after.read_bytes()

    return make


def against(release: Release, data: bytes, lowest: Tier = Tier.AUTHENTICODE) -> Verification:
    path = release.root.parent / "installed.dll"
    path.write_bytes(data)
    return release.verify(path, replace(release.policy, lowest_tier=lowest))


def outcome(result: Verification) -> tuple[ExitStatus, Tier | None]:
    return result.exit, result.modules[0].tier


def of_pin(result: Verification) -> list[Code]:
    (check,) = [item for item in result.checks if item.number == "V11"]
    assert check.status is CheckStatus.FAILED
    return [finding.code for finding in check.findings]


def directory_at(data: bytes) -> int:
    return int.from_bytes(data[0x3C:0x40], "little") + 24 + 112 + 8 * CERTIFICATE


def with_directory(data: bytes, start: int, size: int) -> bytes:
    at = directory_at(data)
    return data[:at] + struct.pack("<II", start, size) + data[at + 8 :]


def test_the_very_file(release: Release) -> None:
    result = against(release, release.installed.read_bytes(), Tier.EXACT)
    assert outcome(result) == (ExitStatus.YES, Tier.EXACT)


def test_signed_again_and_again(release: Release, sign: Callable[..., bytes]) -> None:
    once = sign(release.installed.read_bytes())
    for data in (once, sign(once), sign(once, "-nest"), sign(once, "-ph")):
        assert outcome(against(release, data)) == (ExitStatus.YES, Tier.AUTHENTICODE)
    assert of_pin(against(release, once, Tier.EXACT)) == [codes.TIER_TOO_LOW]


def test_stuffing_does_not_change_the_build(release: Release, sign: Callable[..., bytes]) -> None:
    """The loader maps nothing of the certificate table. Who asks for the publisher is told (V18)."""
    stuffed = sign(release.installed.read_bytes(), "-addUnauthenticatedBlob")
    start, size = struct.unpack_from("<II", stuffed, directory_at(stuffed))
    more = with_directory(stuffed, start, size + 16) + b"stuffed stuffed!"
    for data in (stuffed, more):
        assert outcome(against(release, data)) == (ExitStatus.YES, Tier.AUTHENTICODE)


@pytest.mark.parametrize("extra", [b"x", b"abc", b"seven b"])
def test_an_unsigned_file_of_odd_size(
    tmp_path: Path, binaries: Path, signers, sign: Callable[..., bytes], extra: bytes
) -> None:
    """Signing fills up to 8 bytes with zeros, which the hash of the unsigned file has counted already."""
    release = make_release(["codec.dll"], tmp_path, binaries, signers)
    odd = release.installed.read_bytes() + extra
    assert len(odd) % 8
    fixed = parse_image((release.fixed_root / "codec.dll").read_bytes(), "codec.dll")
    module, image = make_module("codec.dll", parse_image(odd, "codec.dll"), fixed)
    release = replace(
        release,
        manifest=replace(release.manifest, modules=(module,)),
        images={module.image.member: image},
    )
    assert outcome(against(release, odd)) == (ExitStatus.YES, Tier.EXACT)
    assert outcome(against(release, sign(odd))) == (ExitStatus.YES, Tier.AUTHENTICODE)
    # Other bytes in the place of the zeros are another file.
    assert of_pin(against(release, odd + b"y")) == [codes.TIER_TOO_LOW]


def test_appended_data(release: Release, sign: Callable[..., bytes]) -> None:
    baseline = release.installed.read_bytes()
    for data in (baseline + bytes(8) + b"appended", sign(baseline) + b"appended"):
        result = against(release, data)
        assert (result.exit, of_pin(result)) == (ExitStatus.NOT_APPLICABLE, [codes.TIER_TOO_LOW])
        assert outcome(against(release, data, Tier.SECTIONS)) == (ExitStatus.YES, Tier.SECTIONS)


def linear_hash(data: bytes) -> str:
    """The hash as implementations compute it that leave out the table wherever it lies."""
    at = directory_at(data)
    start, size = struct.unpack_from("<II", data, at)
    checksum = at - 112 - 8 * CERTIFICATE + 64
    end = start + size if size else len(data)
    kept = data[:checksum] + data[checksum + 4 : at] + data[at + 8 : start or len(data)] + data[end:]
    return hashlib.sha256(kept + bytes(-(len(kept) + 12) % 8)).hexdigest()


def test_a_certificate_table_over_code(release: Release) -> None:
    """Other code where the sections are, declared to be certificates, and the genuine code behind it: the
    hash is the genuine one for whoever leaves the table out wherever it lies."""
    genuine = release.installed.read_bytes()
    pin = release.module.baseline
    assert pin.authenticode is not None
    assert linear_hash(genuine) == pin.authenticode.hex
    headers = parse_image(genuine, "x").size_of_headers
    evil = bytearray(genuine[headers:])
    evil[0x10:0x30] = b"\xcc" * 0x20
    evil += bytes(-len(evil) % 8)
    forged = with_directory(genuine[:headers] + bytes(evil) + genuine[headers:], headers, len(evil))
    assert linear_hash(forged) == pin.authenticode.hex
    for lowest in Tier:
        result = against(release, forged, lowest)
        assert result.exit is not ExitStatus.YES
        assert result.modules[0].state in (ModuleState.UNKNOWN_BASELINE, ModuleState.CONFLICT)
    assert of_pin(against(release, forged)) in ([codes.TIER_TOO_LOW], [codes.PIN_MISMATCH])
