from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hpbuild.bundle.contents import subject_findings
from hpbuild.bundle.layout import ENVELOPE
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.statement import decode_statement, encode_statement, make_statement
from hpbuild.bundle.writer import assemble, write_bundle
from hpbuild.codes import bundle as bundle_codes
from hpbuild.codes import manifest as manifest_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.codec import encode
from hpbuild.manifest.model import Manifest
from hpbuild.sign.algorithms import Algorithm, generate_private, spki_sha256
from hpbuild.sign.bundle_signing import envelope_statement_findings, sign_bundle
from hpbuild.sign.dsse import decode_envelope, sign_envelope, verify_envelope
from hpbuild.sign.signer import FileSigner, Signing
from hpbuild.values import Digest

FIRST = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
SECOND = FileSigner(generate_private(Algorithm.ECDSA_P384))
GOLDEN = "913b1b9a42e75b784d6ba9a5d649e46b982741dcb6f9a7c6e3aae9e8fcc81ba8"
"""SHA-256 of the signed bundle of the sample manifest. A change here is a new version of a format."""


@pytest.fixture(scope="module")
def unsigned(sample_manifest: Manifest, patch_images: dict[str, bytes]) -> bytes:
    return assemble(sample_manifest, patch_images)


def refusal(data: bytes, *signers: FileSigner) -> Code:
    with pytest.raises(HpbuildError) as caught:
        sign_bundle(data, signers or (FIRST,))
    return caught.value.code


def test_golden_signed_bundle(unsigned: bytes) -> None:
    assert read_bundle(sign_bundle(unsigned, [FIRST])).sha256.hex == GOLDEN


def test_signing_changes_no_signed_member(unsigned: bytes) -> None:
    signed = read_bundle(sign_bundle(unsigned, [FIRST, SECOND]))
    before = read_bundle(unsigned)
    assert before.envelope is None
    assert {name: signed.members[name] for name in before.members} == dict(before.members)
    assert signed.envelope is not None
    result = verify_envelope(signed.envelope, [FIRST.public, SECOND.public])
    assert result.payload == signed.statement
    assert result.votes == {spki_sha256(FIRST.public), spki_sha256(SECOND.public)}
    assert envelope_statement_findings(signed) == envelope_statement_findings(before) == ()


@pytest.mark.parametrize("algorithm", Algorithm)
def test_countersigning_changes_no_digest(unsigned: bytes, algorithm: Algorithm) -> None:
    """Whatever signs next: every member but the envelope, and so the statement, keeps its SHA-256."""
    once = sign_bundle(unsigned, [FIRST])
    chain = Signing(FileSigner(generate_private(algorithm)), (b"leaf",), lambda signature: b"stamp")
    before, after = read_bundle(once), read_bundle(sign_bundle(once, [chain]))
    first, second = (
        {name: Digest.of(content) for name, content in bundle.members.items() if name != ENVELOPE}
        for bundle in (before, after)
    )
    assert len(first) == 3
    assert first == second
    assert after.statement == before.statement
    assert before.envelope is not None
    assert after.envelope is not None
    assert decode_envelope(after.envelope).signatures[:1] == decode_envelope(before.envelope).signatures


def test_customer_can_countersign(unsigned: bytes) -> None:
    once = sign_bundle(unsigned, [FIRST])
    assert sign_bundle(once, [SECOND]) == sign_bundle(unsigned, [FIRST, SECOND])


def test_every_flipped_bit_of_a_signed_bundle_is_noticed(unsigned: bytes) -> None:
    """Every 11th bit: 11 is odd, so that all bits of a byte get their turn."""
    signed = sign_bundle(unsigned, [FIRST])
    for position in range(0, len(signed) * 8, 11):
        damaged = bytearray(signed)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(HpbuildError):
            read_bundle(bytes(damaged))


def test_changed_member_with_a_right_checksum_is_noticed(unsigned: bytes) -> None:
    """Someone who repairs the container still cannot repair the statement without the key."""
    signed = read_bundle(sign_bundle(unsigned, [FIRST]))
    statement = decode_statement(signed.statement)
    for name in ("manifest.json", "images/bin/codec.dll"):
        members = {**signed.members, name: signed.members[name] + b" "}
        forged = read_bundle(write_bundle(members))
        assert [item.place for item in subject_findings(forged.members, statement)] == [name]
    other = encode_statement(replace(statement, sequence=9))
    forged = read_bundle(write_bundle({**signed.members, "statement.json": other}))
    assert [item.code for item in envelope_statement_findings(forged)] == [codes.PAYLOAD_DIFFERS]


def test_second_signature_by_a_key_fails(unsigned: bytes) -> None:
    assert refusal(sign_bundle(unsigned, [FIRST])) is codes.ALREADY_SIGNED


def test_nobody_signs_fails(unsigned: bytes) -> None:
    with pytest.raises(HpbuildError) as caught:
        sign_bundle(unsigned, [])
    assert caught.value.code is codes.NO_SIGNERS


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("images/bin/codec.dll", bundle_codes.SUBJECT_MISMATCH),
        ("attachments/new", bundle_codes.SUBJECT_MISSING),
    ],
)
def test_member_that_is_not_in_the_statement_fails(unsigned: bytes, name: str, code: Code) -> None:
    members = {**read_bundle(unsigned).members, name: b"changed"}
    assert refusal(write_bundle(members)) is code


def test_statement_about_another_package_fails(unsigned: bytes, sample_manifest: Manifest) -> None:
    members = dict(read_bundle(unsigned).members)
    statement = make_statement(replace(sample_manifest, id="other"), members)
    assert refusal(write_bundle({**members, "statement.json": encode_statement(statement)})) is (
        bundle_codes.STATEMENT_DISAGREES
    )


def test_inconsistent_manifest_fails(sample_manifest: Manifest, patch_images: dict[str, bytes]) -> None:
    data = assemble(replace(sample_manifest, unchanged=("../x",)), patch_images)
    assert refusal(data) is manifest_codes.BAD_PATH


def test_missing_patch_image_fails(sample_manifest: Manifest) -> None:
    assert refusal(assemble(sample_manifest, {})) is bundle_codes.IMAGE_MISSING


def test_other_patch_image_fails(sample_manifest: Manifest) -> None:
    assert refusal(assemble(sample_manifest, {"images/bin/codec.dll": b"MZ"})) is bundle_codes.IMAGE_MISMATCH


def test_envelope_about_another_statement_fails(unsigned: bytes) -> None:
    envelope = sign_envelope(b"other", [SECOND])
    data = write_bundle({**read_bundle(unsigned).members, "signatures.dsse.json": envelope})
    assert [item.code for item in envelope_statement_findings(read_bundle(data))] == [codes.PAYLOAD_DIFFERS]
    assert refusal(data) is codes.PAYLOAD_DIFFERS


def test_manifest_of_the_bundle_is_the_one_that_was_given(unsigned: bytes, sample_manifest: Manifest) -> None:
    assert read_bundle(unsigned).manifest == encode(sample_manifest)
