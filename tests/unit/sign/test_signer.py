from pathlib import Path

import pytest

from hpbuild.codes import bundle as file_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.algorithms import Algorithm, verify
from hpbuild.sign.keys import generate, write_key_pair
from hpbuild.sign.signer import signer_from_uri


def unasked(path: str) -> bytes | None:
    raise AssertionError(f"asked for the passphrase of {path}")


def test_key_file_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_key_pair(tmp_path / "a", generate(Algorithm.ED25519, None))
    monkeypatch.chdir(tmp_path)
    for uri in ("file:a.key", f"file:{tmp_path / 'a.key'}", f"file://{tmp_path / 'a.key'}"):
        signer = signer_from_uri(uri, unasked)
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
        ("pkcs11:token=t", codes.UNSUPPORTED_SCHEME),
        ("exec:sign", codes.UNSUPPORTED_SCHEME),
        ("file:no-such.key", file_codes.NO_SUCH_FILE),
    ],
)
def test_other_uris_fail(uri: str, code: Code) -> None:
    with pytest.raises(HpbuildError) as caught:
        signer_from_uri(uri, unasked)
    assert caught.value.code is code
