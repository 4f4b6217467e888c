import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.sign.algorithms import Algorithm, algorithm_of, generate_private, sign, spki, spki_sha256, verify

PRIVATE = {algorithm: generate_private(algorithm) for algorithm in Algorithm}


@pytest.mark.parametrize("algorithm", Algorithm)
def test_key_has_its_algorithm(algorithm: Algorithm) -> None:
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
    assert sign(private, message) == signature
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


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("ed25519_test", Algorithm.ED25519),
        ("ecdsa_secp256r1_sha256_test", Algorithm.ECDSA_P256),
        ("ecdsa_secp384r1_sha384_test", Algorithm.ECDSA_P384),
    ],
)
def test_published_vectors(root: Path, name: str, algorithm: Algorithm) -> None:
    path = root.parent / "shared" / "vectors" / "wycheproof" / f"{name}.json"
    if not path.is_file():
        pytest.skip("no ../shared/vectors beside the checkout")
    document = json.loads(path.read_bytes())
    wrong = []
    count = 0
    for group in document["testGroups"]:
        public = serialization.load_pem_public_key(group["publicKeyPem"].encode())
        assert algorithm_of(public) is algorithm
        for case in group["tests"]:
            count += 1
            found = verify(public, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))  # type: ignore[arg-type]
            if found != (case["result"] == "valid"):
                wrong.append(case["tcId"])
    assert not wrong
    assert count == document["numberOfTests"]
