import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import (
    EDWARDS_PRIME,
    PSS,
    SMALL_ORDER_Y,
    Algorithm,
    PublicKey,
    algorithm_of,
    generate_private,
    sign,
    spki,
    spki_sha256,
    verify,
)
from hpbuild.sign.keys import load_public_der

DETERMINISTIC = {Algorithm.ED25519, Algorithm.ECDSA_P256, Algorithm.ECDSA_P384}
PRIVATE = {algorithm: generate_private(algorithm) for algorithm in Algorithm}


@pytest.mark.parametrize("algorithm", Algorithm)
def test_key_has_its_algorithm(algorithm: Algorithm) -> None:
    assert algorithm.post_quantum == algorithm.value.startswith("ml-dsa")
    assert algorithm_of(PRIVATE[algorithm]) is algorithm
    assert algorithm_of(PRIVATE[algorithm].public_key()) is algorithm


def test_other_keys_have_none() -> None:
    assert algorithm_of(ec.generate_private_key(ec.SECP521R1())) is None
    assert algorithm_of(rsa.generate_private_key(65537, 1024).public_key()) is None


@given(st.sampled_from(Algorithm), st.binary(max_size=100))
@settings(max_examples=30)
def test_signature_is_by_this_key_over_this_message(algorithm: Algorithm, message: bytes) -> None:
    private = PRIVATE[algorithm]
    signature = sign(private, message)
    assert (sign(private, message) == signature) == (algorithm in DETERMINISTIC)
    assert verify(private.public_key(), message, signature)
    assert not verify(private.public_key(), message + b"\x00", signature)
    for other in Algorithm:
        assert verify(PRIVATE[other].public_key(), message, signature) == (other is algorithm)


@given(st.sampled_from(Algorithm), st.binary(max_size=120))
@settings(max_examples=50)
def test_garbage_is_no_signature(algorithm: Algorithm, signature: bytes) -> None:
    assert not verify(PRIVATE[algorithm].public_key(), b"message", signature)


def test_published_deterministic_signature() -> None:
    """RFC 6979, A.2.5: P-256, SHA-256, message "sample"."""
    number = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    signature = sign(ec.derive_private_key(number, ec.SECP256R1()), b"sample")
    assert "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" in signature.hex()
    assert "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8" in signature.hex()


def test_published_edwards_signature() -> None:
    """RFC 8032, 7.1, TEST 1."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signature = sign(ed25519.Ed25519PrivateKey.from_private_bytes(secret), b"")
    assert signature.hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


def test_identity_of_a_key_is_the_digest_of_its_der() -> None:
    raw = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    public = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    assert spki(public).hex() == "302a300506032b6570032100" + raw.hex()
    assert spki_sha256(public) == "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9"


def test_every_spelling_of_a_key_has_one_identity(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """A compressed or hybrid point, explicit curve parameters, and the RSASSA-PSS object identifier."""
    openssl = require_tool("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=tmp_path, capture_output=True, check=True)

    def identity(name: str) -> tuple[Algorithm | None, str]:
        key = serialization.load_pem_public_key((tmp_path / name).read_bytes())
        return algorithm_of(key), spki_sha256(key)  # type: ignore[arg-type]

    run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec.key")
    for form in ("uncompressed", "compressed", "hybrid"):
        run("ec", "-in", "ec.key", "-pubout", "-conv_form", form, "-out", form)
    run("ec", "-in", "ec.key", "-pubout", "-param_enc", "explicit", "-out", "explicit")
    names = ("uncompressed", "compressed", "hybrid", "explicit")
    assert len({(tmp_path / name).read_bytes() for name in names}) == 4
    assert len({identity(name) for name in names}) == 1
    assert identity("compressed")[0] is Algorithm.ECDSA_P256

    run("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:3072", "-out", "pss.key")
    run("pkey", "-in", "pss.key", "-pubout", "-out", "pss")
    algorithm, key = identity("pss")
    assert algorithm is Algorithm.RSA_PSS
    private = serialization.load_pem_private_key((tmp_path / "pss.key").read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = private.public_key().public_numbers()
    assert spki_sha256(numbers.public_key()) == key


@pytest.mark.parametrize("bits", [1024, 2048, 3071])
def test_short_rsa_keys_are_not_used(bits: int) -> None:
    private = rsa.generate_private_key(65537, bits)
    assert algorithm_of(private) is algorithm_of(private.public_key()) is None
    assert not verify(private.public_key(), b"m", private.sign(b"m", PSS, hashes.SHA256()))


@pytest.mark.parametrize(("exponent", "bits"), [(3, 3072), (65536, 3072), (2**64 + 1, 3072), (65537, 8193)])
def test_odd_rsa_numbers_are_not_used(exponent: int, bits: int) -> None:
    try:
        public = rsa.RSAPublicNumbers(exponent, (1 << bits - 1) + 0x10001).public_key()
    except ValueError:
        assert exponent == 65536  # cryptography itself refuses an even exponent
        return
    assert algorithm_of(public) is None


EDWARDS_D = -121665 * pow(121666, -1, EDWARDS_PRIME) % EDWARDS_PRIME


def doubled(point: tuple[int, int]) -> tuple[int, int]:
    """RFC 8032, section 5.1.4, in affine coordinates."""
    x, y = point
    cross = EDWARDS_D * x * x * y * y
    return (
        2 * x * y * pow(1 + cross, -1, EDWARDS_PRIME) % EDWARDS_PRIME,
        (y * y + x * x) * pow(1 - cross, -1, EDWARDS_PRIME) % EDWARDS_PRIME,
    )


def x_of(y: int) -> int:
    """RFC 8032, section 5.1.3."""
    square = (y * y - 1) * pow(EDWARDS_D * y * y + 1, -1, EDWARDS_PRIME) % EDWARDS_PRIME
    x = pow(square, (EDWARDS_PRIME + 3) // 8, EDWARDS_PRIME)
    if x * x % EDWARDS_PRIME != square:
        x = x * pow(2, (EDWARDS_PRIME - 1) // 4, EDWARDS_PRIME) % EDWARDS_PRIME
    assert x * x % EDWARDS_PRIME == square
    return x


def test_the_points_of_small_order_are_all_named() -> None:
    """Eight times each is the neutral element, and with both signs of x they are eight."""
    points = {(x, y) for y in SMALL_ORDER_Y for x in (x_of(y), -x_of(y) % EDWARDS_PRIME)}
    assert {doubled(doubled(doubled(point))) for point in points} == {(0, 1)}
    assert len(points) == 8


@pytest.mark.parametrize("y", [*SMALL_ORDER_Y, EDWARDS_PRIME, EDWARDS_PRIME + 1, 2**255 - 1])
@pytest.mark.parametrize("sign_bit", [0, 1 << 255])
def test_edwards_keys_of_small_order_sign_nothing(y: int, sign_bit: int) -> None:
    """The neutral element as R and 0 as S verify under such a key for one message in eight, or for all."""
    public = ed25519.Ed25519PublicKey.from_public_bytes((y | sign_bit).to_bytes(32, "little"))
    neutral = b"\x01" + bytes(63)
    assert algorithm_of(public) is None
    assert not any(verify(public, bytes([number]), neutral) for number in range(64))


def test_a_key_of_small_order_would_verify_anything() -> None:
    """Why they are refused: the library alone accepts this forgery."""
    public = ed25519.Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31))
    public.verify(b"\x01" + bytes(63), b"any message")


def other_spellings(der: bytes) -> list[bytes]:
    """The same two numbers in BER, with more behind, and as raw r and s."""
    r, s = decode_dss_signature(der)
    size = (len(der) - 6) // 2
    width = 32 if size <= 33 else 48
    split = 4 + der[3]
    return [
        der + b"\x00",
        b"\x30\x81" + der[1:],
        b"\x30\x80" + der[2:] + b"\x00\x00",
        b"\x30" + bytes([der[1] + 1]) + b"\x02" + bytes([der[3] + 1]) + b"\x00" + der[4:],
        b"\x30" + bytes([der[1] + 1]) + der[2:split] + b"\x02\x81" + der[split + 1 :],
        r.to_bytes(width, "big") + s.to_bytes(width, "big"),
        b"\x31" + der[1:],
        der[:-1],
        b"",
    ]


@pytest.mark.parametrize("algorithm", [Algorithm.ECDSA_P256, Algorithm.ECDSA_P384])
def test_only_the_der_form_of_a_signature_counts(algorithm: Algorithm) -> None:
    private = PRIVATE[algorithm]
    for number in range(8):
        message = bytes([number])
        signature = sign(private, message)
        assert verify(private.public_key(), message, signature)
        for other in other_spellings(signature):
            assert not verify(private.public_key(), message, other), other.hex()


@pytest.mark.parametrize("hashing", [hashes.SHA384(), hashes.SHA512(), hashes.SHA1()])
def test_ecdsa_over_another_hash_does_not_count(hashing: hashes.HashAlgorithm) -> None:
    private = PRIVATE[Algorithm.ECDSA_P256]
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert not verify(private.public_key(), b"m", private.sign(b"m", ec.ECDSA(hashing)))


def test_other_forms_of_edwards_signatures_do_not_count() -> None:
    """S not reduced (RFC 8032, section 5.1.7), other lengths, and a digest signed in place of the message."""
    private = PRIVATE[Algorithm.ED25519]
    public, signature = private.public_key(), sign(private, b"message")
    order = 2**252 + 27742317777372353535851937790883648493
    larger = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    for other in (signature[:32] + larger, signature + b"\x00", signature[:-1], bytes(64)):
        assert not verify(public, b"message", other)
    assert not verify(public, b"message", sign(private, hashlib.sha512(b"message").digest()))


@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_65, Algorithm.ML_DSA_87])
def test_a_signature_with_a_context_does_not_count(algorithm: Algorithm) -> None:
    private = PRIVATE[algorithm]
    assert isinstance(private, mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey)
    public = private.public_key()
    assert verify(public, b"message", private.sign(b"message"))
    assert verify(public, b"message", private.sign(b"message", b""))
    assert not verify(public, b"message", private.sign(b"message", b"context"))


@pytest.mark.parametrize(
    ("hashing", "salt"),
    [(hashes.SHA256(), 20), (hashes.SHA256(), 0), (hashes.SHA384(), 32), (hashes.SHA512(), 64)],
)
def test_pss_with_other_parameters_does_not_count(hashing: hashes.HashAlgorithm, salt: int) -> None:
    private = PRIVATE[Algorithm.RSA_PSS]
    assert isinstance(private, rsa.RSAPrivateKey)
    signature = private.sign(b"m", padding.PSS(padding.MGF1(hashing), salt), hashing)
    assert not verify(private.public_key(), b"m", signature)
    assert not verify(private.public_key(), b"m", private.sign(b"m", padding.PKCS1v15(), hashes.SHA256()))


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("ed25519_test", Algorithm.ED25519),
        ("ecdsa_secp256r1_sha256_test", Algorithm.ECDSA_P256),
        ("ecdsa_secp384r1_sha384_test", Algorithm.ECDSA_P384),
        ("rsa_pss_3072_sha256_mgf1_32_test", Algorithm.RSA_PSS),
        ("mldsa_65_verify_test", Algorithm.ML_DSA_65),
        ("mldsa_87_verify_test", Algorithm.ML_DSA_87),
    ],
)
def test_published_vectors(root: Path, name: str, algorithm: Algorithm) -> None:
    """Every vector of Wycheproof. None of these files marks one as merely ``acceptable``; one that did
    would fail here, so that somebody looks. A signature over a context is another signature to hpbuild."""
    path = root.parent / "shared" / "vectors" / "wycheproof" / f"{name}.json"
    if not path.is_file():
        pytest.skip("no ../shared/vectors beside the checkout")
    document = json.loads(path.read_bytes())
    wrong = []
    count = 0
    for group in document["testGroups"]:
        public = vector_key(group)
        assert public is None or algorithm_of(public) is algorithm
        for case in group["tests"]:
            count += 1
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            found = public is not None and verify(public, message, signature)
            wanted = {"valid": True, "invalid": False}[case["result"]] and not case.get("ctx")
            if found != wanted:
                wrong.append(case["tcId"])
    assert not wrong
    assert count == document["numberOfTests"]


def vector_key(group: dict[str, Any]) -> PublicKey | None:
    """The key of a group of vectors; None for one of a wrong length, whose vectors must all be invalid."""
    try:
        return load_public_der(bytes.fromhex(group["publicKeyDer"]), "vector")
    except HpbuildError:
        flags = {(case["result"], *case["flags"]) for case in group["tests"]}
        assert flags == {("invalid", "IncorrectPublicKeyLength")}
        return None
