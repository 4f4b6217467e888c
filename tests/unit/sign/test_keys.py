import base64
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.codes import bundle as file_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.algorithms import Algorithm, algorithm_of, generate_private, sign, spki, spki_sha256, verify
from hpbuild.sign.keys import (
    generate,
    load_private,
    load_public,
    load_public_der,
    read_private,
    read_public,
    write_key_pair,
)

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PLAIN = serialization.NoEncryption()
PRIVATE = {algorithm: generate_private(algorithm) for algorithm in Algorithm}
PUBLIC = {algorithm: private.public_key() for algorithm, private in PRIVATE.items()}
SIGNATURES = {algorithm: sign(private, b"message") for algorithm, private in PRIVATE.items()}
OTHER_KEYS: list[PrivateKeyTypes] = [
    ec.generate_private_key(ec.SECP256K1()),
    ec.generate_private_key(ec.SECP521R1()),
    rsa.generate_private_key(65537, 2048),
    x25519.X25519PrivateKey.generate(),
]


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("passphrase", [None, "pass phräse".encode()])
def test_generated_key_signs(algorithm: Algorithm, passphrase: bytes | None) -> None:
    pair = generate(algorithm, passphrase)
    private = load_private(pair.private_pem, passphrase, "key")
    public = load_public(pair.public_pem, "key")
    assert algorithm_of(private) is algorithm
    assert spki_sha256(private.public_key()) == spki_sha256(public)
    assert verify(public, b"message", sign(private, b"message"))
    assert (b"ENCRYPTED" in pair.private_pem) == (passphrase is not None)


def test_passphrase_for_an_open_key_is_ignored() -> None:
    pair = generate(Algorithm.ED25519, None)
    assert algorithm_of(load_private(pair.private_pem, b"unneeded", "key")) is Algorithm.ED25519


def test_key_files_are_written_once(tmp_path: Path) -> None:
    pair = generate(Algorithm.ED25519, None)
    private, public = write_key_pair(tmp_path / "release.2025", pair)
    assert (private.name, public.name) == ("release.2025.key", "release.2025.pub")
    assert spki_sha256(read_private(private, None).public_key()) == spki_sha256(read_public(public))
    if os.name == "posix":
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    again = generate(Algorithm.ED25519, None)
    assert refusal(lambda: write_key_pair(tmp_path / "release.2025", again)) is file_codes.ALREADY_EXISTS
    assert private.read_bytes() == pair.private_pem


@pytest.mark.parametrize("suffix", [".key", ".pub"])
def test_one_existing_half_leaves_no_other_half(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"mine")
    pair = generate(Algorithm.ED25519, None)
    assert refusal(lambda: write_key_pair(tmp_path / "a", pair)) is file_codes.ALREADY_EXISTS
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {f"a{suffix}": b"mine"}


def test_secret_is_not_shown() -> None:
    assert "PRIVATE" not in repr(generate(Algorithm.ED25519, None))


def test_empty_passphrase_fails() -> None:
    assert refusal(lambda: generate(Algorithm.ED25519, b"")) is codes.EMPTY_PASSPHRASE


@pytest.mark.parametrize("passphrase", [None, b"", b"wrong"])
def test_missing_or_wrong_passphrase_fails(passphrase: bytes | None) -> None:
    pair = generate(Algorithm.ECDSA_P256, b"right")
    assert refusal(lambda: load_private(pair.private_pem, passphrase, "key")) is codes.WRONG_PASSPHRASE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\x00",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----",
        generate(Algorithm.ED25519, None).public_pem,
    ],
)
def test_no_private_key_fails(data: bytes) -> None:
    assert refusal(lambda: load_private(data, None, "key")) is codes.BAD_KEY


def test_old_encryption_of_a_private_key_fails() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = serialization.BestAvailableEncryption(b"x")
    data = key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption)
    assert refusal(lambda: load_private(data, b"x", "key")) is codes.BAD_KEY


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----",
    ],
)
def test_no_public_key_fails(data: bytes) -> None:
    assert refusal(lambda: load_public(data, "key")) is codes.BAD_KEY


@pytest.mark.parametrize("passphrase", [None, b"x"])
def test_private_key_as_public_key_fails(passphrase: bytes | None) -> None:
    pair = generate(Algorithm.ED25519, passphrase)
    assert refusal(lambda: load_public(pair.private_pem, "key")) is codes.PRIVATE_KEY_GIVEN
    assert refusal(lambda: load_public(pair.public_pem + pair.private_pem, "key")) is codes.PRIVATE_KEY_GIVEN


@pytest.mark.parametrize("key", OTHER_KEYS, ids=lambda key: type(key).__name__)
def test_other_kinds_of_keys_fail(key: PrivateKeyTypes) -> None:
    private = key.private_bytes(PEM, PKCS8, PLAIN)
    public = key.public_key().public_bytes(PEM, SPKI)
    assert refusal(lambda: load_private(private, None, "key")) is codes.UNSUPPORTED_KEY
    assert refusal(lambda: load_public(public, "key")) is codes.UNSUPPORTED_KEY


def test_missing_key_file_fails(tmp_path: Path) -> None:
    assert refusal(lambda: read_public(tmp_path / "a.pub")) is file_codes.NO_SUCH_FILE
    assert refusal(lambda: read_private(tmp_path / "a.key", None)) is file_codes.NO_SUCH_FILE


def test_ml_dsa_key_is_stored_as_its_seed() -> None:
    """RFC 9881, section 6: the seed form of the private key, 32 bytes under the tag [0]."""
    for algorithm, end in ((Algorithm.ML_DSA_65, "12"), (Algorithm.ML_DSA_87, "13")):
        private = load_private(generate(algorithm, None).private_pem, None, "key")
        assert isinstance(private, mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey)
        der = private.private_bytes(serialization.Encoding.DER, PKCS8, PLAIN)
        head = f"3034020100300b06096086480165030403{end}04228020"
        assert der.hex() == head + private.private_bytes_raw().hex()


def test_public_key_in_der() -> None:
    public = load_public(generate(Algorithm.ECDSA_P384, None).public_pem, "key")
    assert spki_sha256(load_public_der(spki(public), "key")) == spki_sha256(public)


@pytest.mark.parametrize("data", [b"", b"\x30", b"-----BEGIN PUBLIC KEY-----"])
def test_no_public_key_in_der_fails(data: bytes) -> None:
    assert refusal(lambda: load_public_der(data, "key")) is codes.BAD_KEY


@given(st.sampled_from(Algorithm), st.data())
@settings(max_examples=150)
def test_damaged_public_key_is_another_key_or_none(algorithm: Algorithm, data: st.DataObject) -> None:
    der = bytearray(spki(PUBLIC[algorithm]))
    position = data.draw(st.integers(0, min(len(der), 60) * 8 - 1))
    der[position // 8] ^= 1 << position % 8
    try:
        found = load_public_der(bytes(der), "key")
    except HpbuildError:
        return
    assert spki_sha256(found) != spki_sha256(PUBLIC[algorithm])
    assert not verify(found, b"message", SIGNATURES[algorithm])


def test_bytes_behind_a_public_key_fail() -> None:
    public = load_public(generate(Algorithm.ED25519, None).public_pem, "key")
    assert refusal(lambda: load_public_der(spki(public) + b"\x00", "key")) is codes.BAD_KEY


def test_two_keys_in_one_file_fail() -> None:
    """Readers that take the first and readers that take the last would trust different keys."""
    both = generate(Algorithm.ED25519, None).public_pem + generate(Algorithm.ED25519, None).public_pem
    assert refusal(lambda: load_public(both, "key")) is codes.BAD_KEY


@pytest.mark.parametrize("raw", [b"\x01" + bytes(31), bytes(32), b"\xed" + b"\xff" * 30 + b"\x7f"])
def test_key_of_small_order_fails(raw: bytes) -> None:
    public = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    assert refusal(lambda: load_public(public.public_bytes(PEM, SPKI), "key")) is codes.UNSUPPORTED_KEY
    assert refusal(lambda: load_public_der(spki(public), "key")) is codes.UNSUPPORTED_KEY


def test_ml_dsa_key_without_its_seed_fails() -> None:
    """RFC 9881, section 6: the expanded form, 4032 bytes for ML-DSA-65."""
    head = bytes.fromhex("30820fd8020100300b060960864801650304031204820fc404820fc0")
    body = base64.encodebytes(head + bytes(4032))
    data = b"-----BEGIN PRIVATE KEY-----\n" + body + b"-----END PRIVATE KEY-----\n"
    with pytest.raises(HpbuildError, match="seed form") as caught:
        load_private(data, None, "key")
    assert caught.value.code is codes.BAD_KEY


def test_smaller_ml_dsa_fails() -> None:
    key = mldsa.MLDSA44PrivateKey.generate()
    assert refusal(lambda: load_private(key.private_bytes(PEM, PKCS8, PLAIN), None, "key")) is (
        codes.UNSUPPORTED_KEY
    )


OPENSSL_OPTIONS = {
    Algorithm.ECDSA_P256: ["-digest", "sha256"],
    Algorithm.ECDSA_P384: ["-digest", "sha384"],
    Algorithm.RSA_PSS: [
        *("-digest", "sha256", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:32"),
        *("-pkeyopt", "rsa_mgf1_md:sha256"),
    ],
}


@pytest.mark.parametrize("algorithm", Algorithm)
def test_openssl_understands_keys_and_signatures(
    tmp_path: Path, require_tool: Callable[[str], str], algorithm: Algorithm
) -> None:
    openssl = require_tool("openssl")
    if algorithm.post_quantum:
        listed = subprocess.run([openssl, "list", "-signature-algorithms"], capture_output=True, check=True)
        if b"ML-DSA" not in listed.stdout:
            pytest.skip("this openssl knows no ML-DSA (3.5 is the first that does)")
    pair = generate(algorithm, b"secret")
    private, public = write_key_pair(tmp_path / "k", pair)
    found = subprocess.run(
        [openssl, "pkey", "-in", str(private), "-passin", "pass:secret", "-pubout"],
        capture_output=True,
        check=True,
    )
    assert found.stdout == public.read_bytes() == pair.public_pem
    message, signature = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(b"the message")
    signature.write_bytes(sign(load_private(pair.private_pem, b"secret", "k"), b"the message"))
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", str(message)]
    command += ["-sigfile", str(signature), *OPENSSL_OPTIONS.get(algorithm, [])]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    message.write_bytes(b"another message")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
