"""Two-phase signing, with openssl in the other room; chains of certificates for signers."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hpbuild.bundle.layout import ENVELOPE
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.bundle.writer import assemble
from hpbuild.codes import bundle as bundle_codes
from hpbuild.codes import certificates as certificate_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.model import Manifest
from hpbuild.sign.algorithms import Algorithm, generate_private, spki_sha256
from hpbuild.sign.bundle_signing import sign_bundle
from hpbuild.sign.dsse import decode_envelope, pae, verify_envelope
from hpbuild.sign.extension import Extension, decode_extension
from hpbuild.sign.keys import generate, read_private, read_public, write_key_pair
from hpbuild.sign.prepare import MadeElsewhere, bytes_to_sign, signings
from hpbuild.sign.signer import FileSigner
from tests.certificates import CODE_SIGNING, make_authority, make_leaf

FIRST = FileSigner(generate_private(Algorithm.ED25519))
SECOND = FileSigner(generate_private(Algorithm.ECDSA_P256))
MOMENT = datetime(2025, 1, 1, tzinfo=UTC)

OPENSSL = {
    Algorithm.ED25519: ("pkeyutl", "-sign", "-rawin", "-inkey", "k.key", "-in", "x.tosign", "-out", "x.sig"),
    Algorithm.ECDSA_P256: ("dgst", "-sha256", "-sign", "k.key", "-out", "x.sig", "x.tosign"),
    Algorithm.ECDSA_P384: ("dgst", "-sha384", "-sign", "k.key", "-out", "x.sig", "x.tosign"),
    Algorithm.RSA_PSS: (
        *("dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"),
        *("-sign", "k.key", "-out", "x.sig", "x.tosign"),
    ),
}
"""What the other room types."""


@pytest.fixture(scope="module")
def unsigned(sample_manifest: Manifest, patch_images: dict[str, bytes]) -> bytes:
    return assemble(sample_manifest, patch_images)


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


def certificate(signer: FileSigner, name: str = "release") -> bytes:
    """A self-signed certificate in PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, signer.public, 1, MOMENT, MOMENT)
    issuer: Any = signer.private
    made = builder.sign(issuer, None if signer is FIRST else hashes.SHA256())
    return made.public_bytes(Encoding.PEM)


def test_bytes_to_sign_are_what_every_signer_signs(unsigned: bytes) -> None:
    statement = read_bundle(unsigned).statement
    assert bytes_to_sign(unsigned, FIRST.public) == pae(PAYLOAD_TYPE, statement)
    assert bytes_to_sign(sign_bundle(unsigned, [FIRST]), SECOND.public) == pae(PAYLOAD_TYPE, statement)


@pytest.mark.parametrize("algorithm", list(OPENSSL))
def test_signature_made_by_openssl_in_another_room(
    tmp_path: Path, unsigned: bytes, require_tool: Callable[[str], str], algorithm: Algorithm
) -> None:
    openssl = require_tool("openssl")
    public = read_public(write_key_pair(tmp_path / "k", generate(algorithm, None))[1])
    (tmp_path / "x.tosign").write_bytes(bytes_to_sign(unsigned, public))
    subprocess.run([openssl, *OPENSSL[algorithm]], cwd=tmp_path, capture_output=True, check=True)
    signed = sign_bundle(unsigned, [MadeElsewhere(public, (tmp_path / "x.sig").read_bytes())])
    envelope = read_bundle(signed).members[ENVELOPE]
    assert verify_envelope(envelope, [public]).votes == {spki_sha256(public)}


@pytest.mark.parametrize("algorithm", Algorithm)
def test_attached_signature_gives_the_bundle_that_the_key_gives(
    unsigned: bytes, algorithm: Algorithm
) -> None:
    signer = FileSigner(generate_private(algorithm))
    signature = signer.sign(bytes_to_sign(unsigned, signer.public))
    signed = sign_bundle(unsigned, [MadeElsewhere(signer.public, signature)])
    found = decode_envelope(read_bundle(signed).members[ENVELOPE]).signatures
    assert [(item.keyid, item.sig) for item in found] == [(spki_sha256(signer.public), signature)]


def test_signature_of_other_bytes_or_spelling_is_not_attached(
    unsigned: bytes, sample_manifest: Manifest
) -> None:
    message = bytes_to_sign(unsigned, SECOND.public)
    right = SECOND.sign(message)
    raw = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(right))
    for signature in (
        raw,
        right + b"\n",
        right.hex().encode(),
        SECOND.sign(message + b"\n"),
        b"",
        FIRST.sign(message),
    ):
        made = MadeElsewhere(SECOND.public, signature)
        assert refusal(lambda made=made: sign_bundle(unsigned, [made])) is codes.WRONG_SIGNATURE


def test_key_that_signed_already_has_nothing_to_sign(unsigned: bytes) -> None:
    signed = sign_bundle(unsigned, [FIRST])
    assert refusal(lambda: bytes_to_sign(signed, FIRST.public)) is codes.ALREADY_SIGNED


def test_package_that_no_verifier_takes_is_not_given_out(sample_manifest: Manifest) -> None:
    broken = assemble(sample_manifest, {})
    assert refusal(lambda: bytes_to_sign(broken, FIRST.public)) is bundle_codes.IMAGE_MISSING


def test_each_chain_goes_to_its_key(unsigned: bytes) -> None:
    other = certificate(FIRST, "above")
    chains = [("second.pem", certificate(SECOND) + other), ("first.pem", certificate(FIRST))]
    made = signings([FIRST, SECOND], chains, None)
    der = x509.load_pem_x509_certificate(certificate(FIRST)).public_bytes(Encoding.DER)
    assert made[0].chain == (der,)
    assert len(made[1].chain) == 2
    signatures = decode_envelope(read_bundle(sign_bundle(unsigned, made)).members[ENVELOPE]).signatures
    assert [decode_extension(item.extension, "test") for item in signatures] == [
        Extension(item.chain, ()) for item in made
    ]


def test_signers_without_a_chain() -> None:
    assert [item.chain for item in signings([FIRST, SECOND])] == [(), ()]


@pytest.mark.parametrize(
    ("year", "usage", "code"),
    [
        (2025, CODE_SIGNING, None),
        (2014, CODE_SIGNING, certificate_codes.NOT_YET_VALID),
        (2046, CODE_SIGNING, certificate_codes.EXPIRED),
        (2025, "extendedKeyUsage=serverAuth", certificate_codes.WRONG_PURPOSE),
    ],
)
def test_chain_that_no_verifier_takes_is_not_signed_with(
    tmp_path: Path, require_tool: Callable[[str], str], year: int, usage: str, code: Code | None
) -> None:
    require_tool("openssl")
    issuing = make_authority(tmp_path / "issuing", "Issuing", issuer=make_authority(tmp_path / "root"))
    leaf = make_leaf(tmp_path / "leaf", issuing, usage=usage)
    signer = FileSigner(read_private(leaf.key, None))
    chains = [("chain.pem", leaf.pem + issuing.pem)]
    at = datetime(year, 6, 1, tzinfo=UTC)
    if code is None:
        assert signings([signer], chains, at=at)[0].chain == (leaf.der, issuing.der)
    else:
        assert refusal(lambda: signings([signer], chains, at=at)) is code
    assert len(signings([signer], chains)[0].chain) == 2


def test_chain_of_another_key_fails() -> None:
    chains = [("chain.pem", certificate(SECOND))]
    assert refusal(lambda: signings([FIRST], chains)) is codes.CERTIFICATE_OF_ANOTHER_KEY


def test_chain_whose_second_certificate_is_the_keys_fails() -> None:
    chains = [("chain.pem", certificate(SECOND) + certificate(FIRST))]
    assert refusal(lambda: signings([FIRST], chains)) is codes.CERTIFICATE_OF_ANOTHER_KEY


def test_two_chains_of_one_key_fail() -> None:
    chains = [("a.pem", certificate(FIRST)), ("b.pem", certificate(FIRST, "again"))]
    assert refusal(lambda: signings([FIRST], chains)) is codes.CERTIFICATE_OF_ANOTHER_KEY


def test_file_without_a_certificate_fails() -> None:
    assert refusal(lambda: signings([FIRST], [("a.pem", b"")])) is certificate_codes.BAD_CERTIFICATE
