from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from hpbuild.codes import bundle as file_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign import algorithms, keys
from hpbuild.sign.algorithms import Algorithm, algorithm_of, verify
from hpbuild.sign.keys import generate, write_key_pair
from hpbuild.sign.signer import FileSigner, is_uri, signer_from_uri


def unasked(path: str) -> bytes | None:
    raise AssertionError(f"asked for the passphrase of {path}")


def test_key_file_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_key_pair(tmp_path / "a", generate(Algorithm.ED25519, None))
    monkeypatch.chdir(tmp_path)
    for uri in ("file:a.key", f"file:{tmp_path / 'a.key'}", f"file://{tmp_path / 'a.key'}"):
        signer = signer_from_uri(uri, unasked)
        assert verify(signer.public, b"m", signer.sign(b"m"))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_every_algorithm_signs_from_a_file(tmp_path: Path, algorithm: Algorithm) -> None:
    path, _ = write_key_pair(tmp_path / "a", generate(algorithm, b"secret"))
    signer = signer_from_uri(f"file:{path}", lambda name: b"secret")
    assert algorithm_of(signer.public) is algorithm
    assert verify(signer.public, b"m", signer.sign(b"m"))


def test_passphrase_is_asked_for_an_encrypted_key(tmp_path: Path) -> None:
    path, _ = write_key_pair(tmp_path / "a", generate(Algorithm.ED25519, b"secret"))
    asked: list[str] = []

    def answer(name: str) -> bytes:
        asked.append(name)
        return b"secret"

    signer_from_uri(f"file:{path}", answer)
    assert asked == [str(path)]
    with pytest.raises(HpbuildError) as caught:
        signer_from_uri(f"file:{path}", lambda name: None)
    assert caught.value.code is codes.WRONG_PASSPHRASE


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("", codes.BAD_URI),
        ("release.key", codes.BAD_URI),
        ("file:", codes.BAD_URI),
        ("fi/le:x", codes.BAD_URI),
        (":x", codes.BAD_URI),
        ("file://host/release.key", codes.BAD_URI),
        ("gpg:release", codes.UNSUPPORTED_SCHEME),
        ("FILE:release.key", codes.UNSUPPORTED_SCHEME),
        ("pkcs11:token=t", codes.BAD_URI),
        ("exec:sign", codes.BAD_URI),
        ("file:no-such.key", file_codes.NO_SUCH_FILE),
    ],
)
def test_other_uris_fail(uri: str, code: Code) -> None:
    with pytest.raises(HpbuildError) as caught:
        signer_from_uri(uri, unasked)
    assert caught.value.code is code


def test_openssl_without_the_algorithm_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older OpenSSL below cryptography has neither ML-DSA nor nonces by RFC 6979."""
    signer = FileSigner(algorithms.generate_private(Algorithm.ECDSA_P256))

    def lacking(*_: object) -> bytes:
        raise UnsupportedAlgorithm("not in this OpenSSL")

    monkeypatch.setattr(algorithms, "sign", lacking)
    monkeypatch.setattr(keys, "generate_private", lacking)
    for action in (lambda: signer.sign(b"m"), lambda: generate(Algorithm.ML_DSA_65, None)):
        with pytest.raises(HpbuildError, match="not in this OpenSSL") as caught:
            action()
        assert caught.value.code is codes.UNSUPPORTED_KEY


def test_public_keys_are_no_uris() -> None:
    assert all(is_uri(text) for text in ("file:a", "exec:a", "pkcs11:a", "file:"))
    assert not any(is_uri(text) for text in ("a.pub", "file", "C:a.pub", "./file:a", "https:a"))
