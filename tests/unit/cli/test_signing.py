"""sign with keys elsewhere, certificates and time stamps."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild.bundle.layout import ENVELOPE
from hpbuild.bundle.reader import read_bundle
from hpbuild.manifest.schema import validate
from hpbuild.sign.algorithms import Algorithm, sign, spki_sha256
from hpbuild.sign.dsse import decode_envelope
from hpbuild.sign.extension import decode_extension
from hpbuild.sign.keys import read_private, read_public
from hpbuild.sign.timestamps import check_imprint, read_token
from tests.certificates import make_authority, make_leaf, start_timestamp_authority

Runner = Callable[..., Any]


@pytest.fixture
def second(hpbuild: Runner, tmp_path: Path) -> Path:
    """Stem of another key pair."""
    assert (
        hpbuild(
            "keys", "generate", "--algorithm", "ecdsa-p384", "--no-passphrase", "-o", tmp_path / "b"
        ).status
        == 0
    )
    return tmp_path / "b"


def signatures(path: Path) -> Any:
    return decode_envelope(read_bundle(path.read_bytes()).members[ENVELOPE]).signatures


@pytest.mark.parametrize("algorithm", Algorithm)
def test_every_algorithm_from_generate_to_verify(
    hpbuild: Runner, package: Any, tmp_path: Path, algorithm: str
) -> None:
    stem = tmp_path / "k"
    assert hpbuild("keys", "generate", "--algorithm", algorithm, "--no-passphrase", "-o", stem).status == 0
    run = hpbuild("sign", package.path, "--key", f"file:{stem}.key", "--format", "json")
    assert run.status == 0
    key = spki_sha256(read_public(stem.with_suffix(".pub")))
    made = {"algorithm": str(algorithm), "spki_sha256": key, "certificates": 0, "timestamps": 0}
    assert run.document()["signatures"] == [made]
    assert run.document()["request"] is None
    both = ("--key", package.public, "--key", stem.with_suffix(".pub"), "--threshold", 2)
    assert hpbuild("verify", package.path, *both).status == 0


def test_prepare_and_attach(hpbuild: Runner, package: Any, second: Path, tmp_path: Path) -> None:
    before = package.path.read_bytes()
    request, answer = tmp_path / "x.tosign", tmp_path / "x.sig"
    public = ("--public-key", second.with_suffix(".pub"))
    run = hpbuild("sign", package.path, "--prepare", request, *public, "--format", "json")
    assert run.status == 0
    document = run.document()
    assert document["signatures"] == []
    assert document["path"] == str(package.path)
    assert document["request"]["path"] == str(request)
    assert document["request"]["size"] == request.stat().st_size
    assert document["request"]["algorithm"] == "ecdsa-p384"
    assert document["request"]["hash"] == "sha384"
    assert package.path.read_bytes() == before

    answer.write_bytes(sign(read_private(second.with_suffix(".key"), None), request.read_bytes()))
    run = hpbuild(
        "sign", package.path, "--attach", answer, *public, "-o", tmp_path / "y.hpb", "--format", "json"
    )
    assert run.status == 0
    assert run.document()["signatures"][0]["spki_sha256"] == document["request"]["spki_sha256"]
    assert package.path.read_bytes() == before
    keys = ("--key", package.public, "--key", second.with_suffix(".pub"), "--threshold", 2)
    assert hpbuild("verify", tmp_path / "y.hpb", *keys).status == 0


def test_digest_of_a_request_is_what_a_tool_signs(
    hpbuild: Runner, package: Any, second: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """A device that is given the digest alone: openssl pkeyutl without -rawin."""
    openssl = require_tool("openssl")
    public = ("--public-key", second.with_suffix(".pub"))
    run = hpbuild("sign", package.path, "--prepare", tmp_path / "r", *public, "--format", "json")
    (tmp_path / "digest").write_bytes(bytes.fromhex(run.document()["request"]["digest"]))
    command = [openssl, "pkeyutl", "-sign", "-inkey", second.with_suffix(".key"), "-in", tmp_path / "digest"]
    subprocess.run([*command, "-out", tmp_path / "sig"], check=True, capture_output=True)
    assert hpbuild("sign", package.path, "--attach", tmp_path / "sig", *public).status == 0


def test_prepare_in_words(hpbuild: Runner, package: Any, second: Path, tmp_path: Path) -> None:
    public = second.with_suffix(".pub")
    run = hpbuild("sign", package.path, "--prepare", tmp_path / "r", "--public-key", public)
    assert run.status == 0
    assert spki_sha256(read_public(public)) in run.out
    assert "digest to sign (sha384)" in run.out


def test_wrong_signature_is_not_attached(hpbuild: Runner, package: Any, second: Path, tmp_path: Path) -> None:
    before = package.path.read_bytes()
    (tmp_path / "sig").write_bytes(sign(read_private(second.with_suffix(".key"), None), b"another package"))
    run = hpbuild(
        "sign", package.path, "--attach", tmp_path / "sig", "--public-key", second.with_suffix(".pub")
    )
    assert run.status == 1
    assert "HP5106" in run.err
    assert package.path.read_bytes() == before


def test_key_that_signed_already_prepares_nothing(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    run = hpbuild("sign", package.path, "--prepare", tmp_path / "r", "--public-key", package.public)
    assert run.status == 2
    assert "HP5204" in run.err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--key", "file:k.key", "--prepare", "r", "--public-key", "k.pub"),
        ("--prepare", "r", "--attach", "s", "--public-key", "k.pub"),
        ("--prepare", "r"),
        ("--attach", "s"),
        ("--public-key", "k.pub"),
        ("--key", "file:k.key", "--public-key", "k.pub"),
        ("--prepare", "r", "--public-key", "k.pub", "--cert", "c.pem"),
        ("--prepare", "r", "--public-key", "k.pub", "--timestamp-url", "http://127.0.0.1/"),
        ("--prepare", "r", "--public-key", "k.pub", "-o", "y.hpb"),
    ],
)
def test_options_that_do_not_go_together(hpbuild: Runner, package: Any, options: tuple[str, ...]) -> None:
    run = hpbuild("sign", package.path, *options)
    assert run.status == 2
    assert "HP9001" in run.err


def test_program_as_signer(hpbuild: Runner, package: Any, second: Path, tmp_path: Path, root: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("a program here starts with #!")
    program = tmp_path / "service"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        "from pathlib import Path\nfrom hpbuild.sign.algorithms import sign\n"
        "from hpbuild.sign.keys import read_private\n"
        f"private = read_private(Path({str(second.with_suffix('.key'))!r}), None)\n"
        "sys.stdout.buffer.write(sign(private, sys.stdin.buffer.read()))\n"
    )
    program.chmod(0o700)
    uri = f"exec:{program}?key={second.with_suffix('.pub')}"
    assert hpbuild("sign", package.path, "--key", uri).status == 0
    program.write_text("#!/bin/false\n")
    run = hpbuild("sign", package.path, "--key", uri)
    assert run.status == 2  # signed already: said before the program is asked
    run = hpbuild("sign", package.beside("z.hpb"), "--key", uri)
    assert run.status == 6
    assert "HP5103" in run.err


def test_pin_is_in_no_message(hpbuild: Runner, package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPBUILD_PASSPHRASE", "31415926")
    for uri in (
        "pkcs11:object=k?module-path=/nowhere.so&pin-value=31415926",
        "pkcs11:object=k?pin-value=31415926",
        "pkcs11:object=k;pin-value=31415926?module-path=/nowhere.so",
        "pkcs12:object=k?pin-value=31415926",
    ):
        for form in ("text", "json"):
            run = hpbuild("sign", package.path, "--key", uri, "--format", form)
            assert run.status != 0
            assert "31415926" not in run.out + run.err


def test_certificates_go_along(
    hpbuild: Runner, package: Any, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    require_tool("openssl")
    root = make_authority(tmp_path / "root")
    issuing = make_authority(tmp_path / "issuing", "Issuing", issuer=root)
    leaf = make_leaf(tmp_path / "leaf", issuing, "Release")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(leaf.pem + issuing.pem)
    arguments = ("sign", package.path, "--key", f"file:{leaf.key}", "--format", "json")
    run = hpbuild(*arguments, "--cert", chain)
    assert run.status == 0
    assert run.document()["signatures"][0]["certificates"] == 2
    extension = decode_extension(signatures(package.path)[1].extension, "test")
    assert extension.certificates == (leaf.der, issuing.der)
    assert hpbuild("verify", package.path, "--key", package.public).status == 0

    chain.write_bytes(issuing.pem)
    path = package.beside("z.hpb")
    run = hpbuild("sign", path, "--key", f"file:{leaf.key}", "--cert", chain)
    assert run.status == 2
    assert "HP5107" in run.err


def test_time_stamps_with_fallback(
    hpbuild: Runner, package: Any, second: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    require_tool("openssl")
    key = ("--key", f"file:{second}.key")
    with start_timestamp_authority(tmp_path / "tsa") as authority:
        urls = ("--timestamp-url", "http://127.0.0.1:9/", "--timestamp-url", authority.url)
        run = hpbuild("sign", package.path, *key, *urls, "--format", "json")
        assert run.status == 0
        assert len(authority.requests) == 1
    assert run.document()["signatures"][0]["timestamps"] == 1
    signature = signatures(package.path)[1]
    (stamp,) = decode_extension(signature.extension, "test").timestamps
    check_imprint(read_token(stamp), signature.sig)
    assert hpbuild("verify", package.path, "--key", second.with_suffix(".pub")).status == 0


def test_no_time_stamp_is_no_signature(hpbuild: Runner, package: Any, second: Path) -> None:
    before = package.path.read_bytes()
    key = ("--key", f"file:{second}.key")
    run = hpbuild("sign", package.path, *key, "--timestamp-url", "http://127.0.0.1:9/")
    assert run.status == 6
    assert "HP5412" in run.err
    assert package.path.read_bytes() == before


def test_schema_of_the_report_knows_every_algorithm(root: Path) -> None:
    for name in ("sign-1", "keys-1"):
        text = json.dumps(json.loads((root / "schemas" / f"{name}.schema.json").read_bytes()))
        assert all(f'"{algorithm}"' in text for algorithm in Algorithm)
    with pytest.raises(Exception, match="HP"):
        validate({"schema": "urn:hpbuild:schema:sign:1"}, "urn:hpbuild:schema:sign:1", "test")
