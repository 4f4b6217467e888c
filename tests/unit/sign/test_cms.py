"""Exports to CMS, checked by ``openssl cms`` and, for what that does not know, read with asn1crypto."""

import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import cms as other_cms
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hpbuild.codes import certificates as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.algorithms import Algorithm, generate_private, sign
from hpbuild.sign.certificates import Certificate, load_certificate
from hpbuild.sign.cms import export_cms
from hpbuild.sign.dsse import pae
from hpbuild.sign.keys import read_private
from tests.certificates import (
    FROM,
    TIME_STAMPING,
    TO,
    Entity,
    make_authority,
    make_leaf,
    make_timestamp,
)

MESSAGE = pae("application/vnd.in-toto+json", b'{"line":"\r\n\\n"}\n\x1a')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Path:
    require_tool("openssl")
    return tmp_path_factory.mktemp("cms")


@pytest.fixture(scope="module")
def root(folder: Path) -> Entity:
    return make_authority(folder / "root", "Root")


@pytest.fixture(scope="module")
def issuing(folder: Path, root: Entity) -> Entity:
    return make_authority(folder / "issuing", "Issuing", issuer=root)


def signed(folder: Path, issuing: Entity, algorithm: str) -> tuple[bytes, list[Certificate], Entity]:
    leaf = make_leaf(folder / algorithm, issuing, algorithm=algorithm)
    signature = sign(read_private(leaf.key, None), MESSAGE)
    return signature, [load_certificate(item.der, item.name) for item in leaf.chain], leaf


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


def openssl_cms(folder: Path, cms: bytes, root: Entity, *more: object) -> tuple[int, bytes]:
    """Exit status of ``openssl cms -verify`` and the content that it gives."""
    (folder / "x.p7s").write_bytes(cms)
    command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", folder / "x.p7s"]
    trust = ["-purpose", "any", "-CAfile", root.certificate]
    done = subprocess.run([*command, *trust, *map(str, more)], capture_output=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "ecdsa-p384", "rsa-3072"])
def test_openssl_verifies(tmp_path: Path, root: Entity, issuing: Entity, algorithm: str) -> None:
    signature, certificates, _ = signed(tmp_path, issuing, algorithm)
    cms = export_cms(signature, MESSAGE, certificates)
    assert openssl_cms(tmp_path, cms, root) == (0, MESSAGE)
    assert signature in cms
    assert openssl_cms(tmp_path, cms.replace(b"line", b"lime"), root)[0] != 0
    other = make_authority(tmp_path / "other", "Root")
    assert openssl_cms(tmp_path, cms, other)[0] != 0


def test_detached(tmp_path: Path, root: Entity, issuing: Entity) -> None:
    signature, certificates, _ = signed(tmp_path, issuing, "ecdsa-p256")
    cms = export_cms(signature, MESSAGE, certificates, detached=True)
    assert MESSAGE not in cms
    (tmp_path / "content").write_bytes(MESSAGE)
    assert openssl_cms(tmp_path, cms, root, "-content", tmp_path / "content") == (0, MESSAGE)
    (tmp_path / "content").write_bytes(MESSAGE + b"\n")
    assert openssl_cms(tmp_path, cms, root, "-content", tmp_path / "content")[0] != 0


def test_time_stamps_go_along(tmp_path: Path, root: Entity, issuing: Entity) -> None:
    signature, certificates, _ = signed(tmp_path, issuing, "ecdsa-p256")
    clock = make_leaf(tmp_path / "clock", root, "Time", usage=TIME_STAMPING)
    tokens = [make_timestamp(tmp_path / "stamps", clock, signature) for _ in range(2)]
    cms = export_cms(signature, MESSAGE, certificates, tokens)
    assert openssl_cms(tmp_path, cms, root) == (0, MESSAGE)
    attributes = signer_of(cms)["unsigned_attrs"]
    assert [item["type"].native for item in attributes] == ["signature_time_stamp_token"]
    assert len(attributes[0]["values"]) == 2
    assert refusal(lambda: export_cms(signature, MESSAGE, certificates, [b"x"])) is codes.BAD_TIMESTAMP


def signer_of(cms: bytes) -> other_cms.SignerInfo:
    content = other_cms.ContentInfo.load(cms, strict=True)
    return content["content"]["signer_infos"][0]


def test_ed25519_is_well_formed(tmp_path: Path, issuing: Entity) -> None:
    """RFC 8419; openssl 3.0 does not verify Ed25519 without signed attributes."""
    signature, certificates, _ = signed(tmp_path, issuing, "ed25519")
    signer = signer_of(export_cms(signature, MESSAGE, certificates))
    assert signer["signature"].native == signature
    assert signer["digest_algorithm"]["algorithm"].native == "sha512"
    assert signer["signature_algorithm"]["algorithm"].native == "ed25519"


@pytest.mark.parametrize(
    ("algorithm", "oid"),
    [(Algorithm.ML_DSA_65, "2.16.840.1.101.3.4.3.18"), (Algorithm.ML_DSA_87, "2.16.840.1.101.3.4.3.19")],
)
def test_post_quantum_is_well_formed(algorithm: Algorithm, oid: str) -> None:
    """RFC 9882; no tool on today's systems verifies it."""
    private = generate_private(algorithm)
    assert isinstance(private, mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PQ")])
    made = x509.CertificateBuilder(name, name, private.public_key(), 1, FROM, TO).sign(private, None)
    certificate = load_certificate(made.public_bytes(Encoding.DER), "x")
    signature = sign(private, MESSAGE)
    signer = signer_of(export_cms(signature, MESSAGE, [certificate]))
    assert signer["signature"].native == signature
    assert signer["signature_algorithm"]["algorithm"].native == oid


def test_same_input_same_bytes(tmp_path: Path, issuing: Entity) -> None:
    signature, certificates, _ = signed(tmp_path, issuing, "ecdsa-p256")
    orders: Sequence[list[Certificate]] = (certificates, [*certificates, certificates[-1]])
    assert len({export_cms(signature, MESSAGE, order) for order in orders}) == 1


def test_needs_a_certificate() -> None:
    assert refusal(lambda: export_cms(b"x", MESSAGE, [])) is codes.CERTIFICATE_NEEDED


def test_certificate_of_another_key(tmp_path: Path, issuing: Entity) -> None:
    signature, certificates, leaf = signed(tmp_path, issuing, "ecdsa-p256")
    other = load_certificate(make_leaf(tmp_path / "other", issuing).der, "x")
    assert refusal(lambda: export_cms(signature, MESSAGE, [other])) is codes.CERTIFICATE_OF_OTHER_KEY
    assert leaf.issuer == issuing
    refused = refusal(lambda: export_cms(signature, MESSAGE + b".", certificates))
    assert refused is codes.CERTIFICATE_OF_OTHER_KEY


def test_expired_certificate(tmp_path: Path, root: Entity) -> None:
    """An expired certificate can be exported; judging it is left to whoever verifies."""
    span = (FROM, datetime(2020, 1, 1, tzinfo=UTC))
    leaf = make_leaf(tmp_path / "leaf", root, valid=span)
    signature = sign(read_private(leaf.key, None), MESSAGE)
    cms = export_cms(signature, MESSAGE, [load_certificate(leaf.der, "x")])
    assert openssl_cms(tmp_path, cms, root)[0] != 0
    assert (
        openssl_cms(tmp_path, cms, root, "-attime", int(datetime(2019, 1, 1, tzinfo=UTC).timestamp()))[0] == 0
    )
