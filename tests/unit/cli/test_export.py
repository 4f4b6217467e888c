"""export."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild.bundle.layout import ENVELOPE
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.writer import write_bundle
from hpbuild.sign.dsse import sign_envelope
from hpbuild.sign.keys import read_private
from hpbuild.sign.signer import FileSigner, Signing
from tests.certificates import Entity, make_authority, make_leaf

Runner = Callable[..., Any]


@pytest.fixture
def leaf(tmp_path: Path, require_tool: Callable[[str], str]) -> Entity:
    require_tool("openssl")
    root = make_authority(tmp_path / "root", "Root")
    return make_leaf(tmp_path / "leaf", root)


@pytest.fixture
def certified(package: Any, leaf: Entity) -> Path:
    """The package with a second signature that carries a certificate."""
    bundle = read_bundle(package.path.read_bytes())
    signing = Signing(FileSigner(read_private(leaf.key, None)), (leaf.der,))
    envelope = sign_envelope(bundle.statement, [signing], bundle.envelope)
    path: Path = package.path.with_name("certified.hpb")
    path.write_bytes(write_bundle({**bundle.members, ENVELOPE: envelope}))
    return path


def test_cms(hpbuild: Runner, certified: Path, leaf: Entity, tmp_path: Path) -> None:
    target, content = tmp_path / "x.p7s", tmp_path / "content"
    run = hpbuild("export", certified, "--to", "cms", "--signature", 2, "-o", target, "--format", "json")
    assert run.status == 0
    document = run.document()
    assert document["form"] == "cms"
    assert document["content"] is None
    assert document["signature"]["number"] == 2
    assert document["signature"]["of"] == 2
    assert [item["subject"] for item in document["signature"]["certificates"]] == ["CN=Release"]
    options = ("--signature", 2, "--detached", content, "-o", tmp_path / "y.p7s")
    text = hpbuild("export", certified, "--to", "cms", *options)
    assert text.status == 0
    command = text.out.splitlines()[-1].replace("ROOT.pem", str(tmp_path / "root" / "certificate.pem"))
    done = subprocess.run(command.split(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == content.read_bytes()
    assert content.read_bytes().startswith(b"DSSEv1 28 application/vnd.in-toto+json ")
    assert content.read_bytes() in target.read_bytes()


def test_sigstore(hpbuild: Runner, certified: Path, package: Any, tmp_path: Path) -> None:
    run = hpbuild("export", package.path, "--to", "sigstore", "-o", tmp_path / "x.json", "--format", "json")
    assert run.status == 0
    assert run.document()["signature"]["certificates"] == []
    bundle = json.loads((tmp_path / "x.json").read_bytes())
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == run.document()["signature"]["key_hint"]
    assert hpbuild("export", certified, "--to", "sigstore", "-o", tmp_path / "y.json").status == 0


def test_certificate_of_the_key(hpbuild: Runner, package: Any, leaf: Entity, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "x.p7s")
    run = hpbuild("export", package.path, "--to", "cms", *out)
    assert (run.status, "HP5503" in run.err) == (2, True)
    run = hpbuild("export", package.path, "--to", "cms", "--certificate", leaf.certificate, *out)
    assert (run.status, "HP5504" in run.err) == (1, True)
    assert not (tmp_path / "x.p7s").exists()
    bundle = read_bundle(package.path.read_bytes())
    envelope = sign_envelope(bundle.statement, [FileSigner(read_private(leaf.key, None))])
    path = package.path.with_name("plain.hpb")
    path.write_bytes(write_bundle({**bundle.members, ENVELOPE: envelope}))
    assert hpbuild("export", path, "--to", "cms", "--certificate", leaf.certificate, *out).status == 0


def test_usage(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "x")
    run = hpbuild("export", package.path, "--to", "sigstore", "--detached", tmp_path / "c", *out)
    assert (run.status, "HP9001" in run.err) == (2, True)
    assert hpbuild("export", package.path, "--to", "pgp", *out).status == 2
    run = hpbuild("export", package.path, "--to", "cms", "--signature", 2, *out)
    assert (run.status, "HP5502" in run.err) == (2, True)
    unsigned = package.beside("unsigned.hpb")
    run = hpbuild("export", unsigned, "--to", "sigstore", *out)
    assert (run.status, "HP5501" in run.err) == (1, True)
