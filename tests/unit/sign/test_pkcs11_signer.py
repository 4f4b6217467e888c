"""Real keys on a real token (SoftHSM)."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from hpbuild.bundle.layout import ENVELOPE
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.writer import assemble
from hpbuild.cli.main import main
from hpbuild.codes import sign as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.model import Manifest
from hpbuild.sign.algorithms import Algorithm, algorithm_of, verify
from hpbuild.sign.bundle_signing import sign_bundle
from hpbuild.sign.dsse import sign_envelope, verify_envelope
from hpbuild.sign.keys import read_public
from hpbuild.sign.prepare import MadeElsewhere, bytes_to_sign
from hpbuild.sign.signer import signer_from_uri


def refusal(uri: str, pin: bytes | None) -> Code:
    with pytest.raises(HpbuildError) as caught:
        signer_from_uri(uri, lambda place: pin)
    assert not pin or len(pin) < 8 or pin.decode() not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize(
    ("label", "algorithm"),
    [
        ("p256", Algorithm.ECDSA_P256),
        ("p384", Algorithm.ECDSA_P384),
        ("rsa", Algorithm.RSA_PSS),
        ("ed", Algorithm.ED25519),
    ],
)
def test_key_on_a_token_signs(token: Any, label: str, algorithm: Algorithm) -> None:
    asked: list[str] = []

    def answer(place: str) -> bytes:
        asked.append(place)
        return str(token.pin).encode()

    signer = signer_from_uri(token.uri(f"token=hp;object={label}"), answer)
    assert asked == [f"pkcs11:token=hp;object={label}"]
    assert algorithm_of(signer.public) is algorithm
    for message in (b"", b"m", bytes(100_000)):
        assert verify(signer.public, message, signer.sign(message))
    envelope = sign_envelope(b"statement", [signer])
    assert len(verify_envelope(envelope, [signer.public]).votes) == 1
    assert token.pin not in repr(signer)


def test_key_that_wants_the_pin_for_each_signature(token: Any) -> None:
    for kind, number in (("EC:prime256v1", "51"), ("rsa:3072", "52")):
        token.run(
            "--keypairgen", "--key-type", kind, "--id", number, "--label", f"always{number}", "--always-auth"
        )
        signer = signer_from_uri(token.uri(f"object=always{number}"), lambda place: token.pin.encode())
        for message in (b"a", b"b"):
            assert verify(signer.public, message, signer.sign(message))


def test_key_by_its_id_and_pin_from_a_file(token: Any, tmp_path: Path) -> None:
    (tmp_path / "pin").write_text(f"{token.pin}\n")
    by_id = signer_from_uri(token.uri("id=%02", f"&pin-source={tmp_path / 'pin'}"), lambda place: b"wrong")
    by_name = signer_from_uri(token.uri("object=p384", f"&pin-value={token.pin}"), lambda place: b"wrong")
    assert verify(by_name.public, b"m", by_id.sign(b"m"))


@pytest.mark.parametrize("pin", [b"99999999", b"1", b"", None])
def test_wrong_pin_fails(token: Any, pin: bytes | None) -> None:
    assert refusal(token.uri("token=hp;object=p256"), pin) is codes.WRONG_PIN


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("object=nothing", codes.TOKEN_KEY),
        ("object=p256;id=%02", codes.TOKEN_KEY),
        ("object=p521", codes.UNSUPPORTED_KEY),
        ("object=short", codes.UNSUPPORTED_KEY),
        ("token=other;object=p256", codes.SIGNER_UNAVAILABLE),
        ("token=hp;serial=1;object=p256", codes.SIGNER_UNAVAILABLE),
        ("token=hp;manufacturer=x;object=p256", codes.SIGNER_UNAVAILABLE),
        ("token=hp;model=x;object=p256", codes.SIGNER_UNAVAILABLE),
    ],
)
def test_wrong_name_fails(token: Any, path: str, code: Code) -> None:
    assert refusal(token.uri(path), str(token.pin).encode()) is code


def test_two_keys_of_one_name_fail(token: Any) -> None:
    for name in ("21", "22"):
        token.run("--keypairgen", "--key-type", "EC:prime256v1", "--id", name, "--label", "twin")
    assert refusal(token.uri("object=twin"), token.pin.encode()) is codes.TOKEN_KEY
    assert signer_from_uri(token.uri("object=twin;id=%22"), lambda place: token.pin.encode())


def test_private_key_without_its_public_key_fails(token: Any) -> None:
    token.run("--keypairgen", "--key-type", "EC:prime256v1", "--id", "31", "--label", "alone")
    token.run("--delete-object", "--type", "pubkey", "--id", "31")
    assert refusal(token.uri("object=alone"), token.pin.encode()) is codes.TOKEN_KEY


def test_key_that_went_away_fails(token: Any) -> None:
    token.run("--keypairgen", "--key-type", "EC:prime256v1", "--id", "41", "--label", "gone")
    signer = signer_from_uri(token.uri("object=gone"), lambda place: token.pin.encode())
    token.run("--delete-object", "--type", "privkey", "--id", "41")
    with pytest.raises(HpbuildError) as caught:
        signer.sign(b"m")
    assert caught.value.code is codes.TOKEN_KEY


def test_library_that_is_none_fails(token: Any, tmp_path: Path) -> None:
    (tmp_path / "library.so").write_bytes(b"no library")
    for path in ("/nowhere/library.so", tmp_path / "library.so"):
        uri = f"pkcs11:object=p256?module-path={path}"
        assert refusal(uri, token.pin.encode()) is codes.SIGNER_UNAVAILABLE


@pytest.mark.parametrize("source", ["environment", "file"])
def test_the_command_line_signs_with_a_token(
    token: Any,
    tmp_path: Path,
    sample_manifest: Manifest,
    patch_images: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
) -> None:
    package, public = tmp_path / "x.hpb", tmp_path / "token.pub"
    package.write_bytes(assemble(sample_manifest, patch_images))
    (tmp_path / "pin").write_text(token.pin)
    query = ""
    if source == "environment":
        monkeypatch.setenv("HPBUILD_PASSPHRASE", token.pin)
    else:
        monkeypatch.delenv("HPBUILD_PASSPHRASE", raising=False)
        query = f"&pin-source=file:{tmp_path / 'pin'}"
    uri = token.uri("token=hp;object=p384", query)
    assert main(["keys", "show", uri, "-o", str(public)]) == 0
    assert main(["sign", str(package), "--key", uri]) == 0
    key = read_public(public)
    assert verify_envelope(read_bundle(package.read_bytes()).members[ENVELOPE], [key]).votes
    assert main(["sign", str(package), "--key", uri]) == 2
    shown = capsys.readouterr()
    assert token.pin not in shown.out + shown.err


def test_signature_of_pkcs11_tool_is_attached_in_der_only(
    token: Any, tmp_path: Path, sample_manifest: Manifest, patch_images: dict[str, bytes]
) -> None:
    data = assemble(sample_manifest, patch_images)
    public = signer_from_uri(token.uri("object=p256"), lambda place: token.pin.encode()).public
    (tmp_path / "digest").write_bytes(hashlib.sha256(bytes_to_sign(data, public)).digest())
    for form, code in (("rs", codes.WRONG_SIGNATURE), ("openssl", None)):
        output = ("--output-file", str(tmp_path / form), "--signature-format", form)
        token.run("--sign", "-m", "ECDSA", "--id", "01", "-i", str(tmp_path / "digest"), *output)
        made = MadeElsewhere(public, (tmp_path / form).read_bytes())
        if code is None:
            assert sign_bundle(data, [made])
        else:
            with pytest.raises(HpbuildError) as caught:
                sign_bundle(data, [made])
            assert caught.value.code is code


def test_without_python_pkcs11_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    assert refusal("pkcs11:object=a?module-path=/lib/p11.so", b"31415926") is codes.SIGNER_UNAVAILABLE
