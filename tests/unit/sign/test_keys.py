import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from hpbuild.codes import bundle as file_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.algorithms import Algorithm, algorithm_of, sign, spki_sha256, verify
from hpbuild.sign.keys import generate, load_private, load_public, read_private, read_public, write_key_pair

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PLAIN = serialization.NoEncryption()
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


@pytest.mark.parametrize("algorithm", Algorithm)
def test_openssl_understands_keys_and_signatures(
    tmp_path: Path, require_tool: Callable[[str], str], algorithm: Algorithm
) -> None:
    openssl = require_tool("openssl")
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
    digest = {Algorithm.ECDSA_P256: ["-digest", "sha256"], Algorithm.ECDSA_P384: ["-digest", "sha384"]}
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", str(message)]
    command += ["-sigfile", str(signature), *digest.get(algorithm, [])]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    message.write_bytes(b"another message")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
