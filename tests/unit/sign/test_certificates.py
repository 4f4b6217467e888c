import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hpbuild.codes import certificates as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.algorithms import Algorithm, algorithm_of, generate_private, spki_sha256
from hpbuild.sign.certificates import (
    MAX_CERTIFICATE,
    MAX_PEM,
    MAX_PEM_CERTIFICATES,
    certificate_key,
    certificate_pem,
    load_certificate,
    load_certificates_pem,
)
from hpbuild.sign.keys import read_private
from tests.certificates import Entity, make_authority, make_leaf


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


@pytest.fixture(scope="module")
def leaf(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Entity:
    require_tool("openssl")
    folder = tmp_path_factory.mktemp("certificates")
    root = make_authority(folder / "root", "Root")
    return make_leaf(folder / "leaf", root, subject="/O=Example/CN=Release")


def test_what_a_certificate_says(leaf: Entity) -> None:
    certificate = load_certificate(leaf.der, "x")
    assert (certificate.subject, certificate.issuer) == ("CN=Release,O=Example", "CN=Root")
    assert certificate.not_before == datetime(2015, 1, 1, tzinfo=UTC)
    assert certificate.not_after == datetime(2045, 1, 1, tzinfo=UTC)
    assert not certificate.self_issued
    assert spki_sha256(certificate_key(certificate)) == spki_sha256(read_private(leaf.key, None).public_key())
    assert load_certificates_pem(certificate_pem(certificate) + leaf.pem, "x") == (certificate, certificate)


@pytest.mark.parametrize("algorithm", ["ecdsa-p384", "ed25519", "rsa-3072"])
def test_keys_of_each_kind(tmp_path: Path, require_tool: Callable[[str], str], algorithm: str) -> None:
    require_tool("openssl")
    made = make_leaf(tmp_path, None, algorithm=algorithm)
    wanted = "rsa-pss" if algorithm == "rsa-3072" else algorithm
    assert algorithm_of(certificate_key(load_certificate(made.der, "x"))) == wanted


@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_65, Algorithm.ML_DSA_87])
def test_post_quantum_certificate(algorithm: Algorithm) -> None:
    private = generate_private(algorithm)
    assert isinstance(private, mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PQ")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(private, None)
    )
    loaded = load_certificate(made.public_bytes(Encoding.DER), "x")
    assert len(loaded.der) < MAX_CERTIFICATE
    assert algorithm_of(certificate_key(loaded)) is algorithm


@pytest.mark.parametrize("algorithm", ["rsa-2048", "ecdsa-secp256k1"])
def test_keys_that_sign_no_package(
    tmp_path: Path, require_tool: Callable[[str], str], algorithm: str
) -> None:
    require_tool("openssl")
    certificate = load_certificate(make_leaf(tmp_path, None, algorithm=algorithm).der, "x")
    assert refusal(lambda: certificate_key(certificate)) is codes.UNSUPPORTED_CERTIFICATE_KEY


def test_not_a_certificate(leaf: Entity) -> None:
    for data in (b"", b"x", leaf.der[:-1], leaf.der + b"\0", bytes(MAX_CERTIFICATE + 1)):
        assert refusal(lambda data=data: load_certificate(data, "x")) is codes.BAD_CERTIFICATE
    block = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"
    for pem in (b"", block, leaf.pem * (MAX_PEM_CERTIFICATES + 1), bytes(MAX_PEM + 1)):
        assert refusal(lambda pem=pem: load_certificates_pem(pem, "x")) is codes.BAD_CERTIFICATE


def test_every_flipped_bit_is_another_certificate_or_none(leaf: Entity) -> None:
    """Nothing but certificates and refusals comes out, without a warning."""
    found = set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for position in range(len(leaf.der)):
            for bit in range(8):
                data = bytearray(leaf.der)
                data[position] ^= 1 << bit
                found.add(outcome(bytes(data)))
    # Flips inside names and signatures leave a certificate.
    assert found == {None, codes.BAD_CERTIFICATE.id, codes.UNSUPPORTED_CERTIFICATE_KEY.id}


def outcome(der: bytes) -> str | None:
    try:
        certificate_key(load_certificate(der, "x"))
    except HpbuildError as error:
        return error.code.id
    return None


def test_unused_bits_of_the_signature(leaf: Entity) -> None:
    """A second spelling of the same signature, which its verification would not notice."""
    data = bytearray(leaf.der)
    position = len(data) - len(load_certificate(leaf.der, "x").raw.signature) - 1
    assert data[position] == 0
    for bits in range(1, 8):
        data[position] = bits
        if data[-1] % (1 << bits) == 0:
            x509.load_der_x509_certificate(bytes(data))
        assert refusal(lambda: load_certificate(bytes(data), "x")) is codes.BAD_CERTIFICATE
