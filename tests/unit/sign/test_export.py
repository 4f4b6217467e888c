"""Exports of a package's signatures; Sigstore bundles are read with sigstore-models."""

import base64
import json
from collections.abc import Callable

import pytest
import sigstore_models.bundle.v1 as sigstore

from hpbuild.bundle.layout import ENVELOPE
from hpbuild.bundle.layout import STATEMENT as STATEMENT_MEMBER
from hpbuild.bundle.reader import Bundle
from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.codes import certificates as codes
from hpbuild.codes import manifest as json_codes
from hpbuild.codes import sign as sign_codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.algorithms import Algorithm, generate_private, spki_sha256
from hpbuild.sign.certificates import load_certificate
from hpbuild.sign.dsse import Envelope, Signature, decode_envelope, encode_envelope, pae
from hpbuild.sign.export import export_signature
from hpbuild.sign.extension import Extension, encode_extension
from hpbuild.sign.keys import read_private
from hpbuild.sign.signer import FileSigner
from hpbuild.sign.timestamps import check_timestamp
from tests.certificates import TIME_STAMPING, Entity, make_authority, make_leaf, make_timestamp

STATEMENT = b'{"_type":"x"}'
CONTENT = pae(PAYLOAD_TYPE, STATEMENT)
PLAIN = FileSigner(generate_private(Algorithm.ED25519))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Entity:
    require_tool("openssl")
    return make_authority(tmp_path_factory.mktemp("export") / "root", "Root")


@pytest.fixture(scope="module")
def leaf(root: Entity) -> Entity:
    return make_leaf(root.folder.parent / "leaf", root)


@pytest.fixture(scope="module")
def bundle(root: Entity, leaf: Entity) -> Bundle:
    """Two signatures: by a raw key, and with certificate and time stamp."""
    signer = FileSigner(read_private(leaf.key, None))
    sig = signer.sign(CONTENT)
    clock = make_leaf(root.folder.parent / "clock", root, "Time", usage=TIME_STAMPING)
    extension = Extension((leaf.der,), (make_timestamp(root.folder.parent / "stamps", clock, sig),))
    signatures = (
        Signature(spki_sha256(PLAIN.public), PLAIN.sign(CONTENT)),
        Signature("release", sig, encode_extension(extension)),
    )
    return package(signatures)


def package(signatures: tuple[Signature, ...], statement: bytes = STATEMENT) -> Bundle:
    members = {STATEMENT_MEMBER: statement}
    if signatures:
        members[ENVELOPE] = encode_envelope(Envelope(PAYLOAD_TYPE, STATEMENT, signatures))
    return Bundle(b"", members)


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


def test_sigstore_bundle_with_a_certificate(bundle: Bundle, leaf: Entity, root: Entity) -> None:
    exported = export_signature(bundle, 2, "sigstore")
    read = sigstore.Bundle.from_json(exported.data)
    assert read.media_type == "application/vnd.dev.sigstore.bundle.v0.3+json"
    material = read.verification_material
    assert material.certificate is not None
    assert material.certificate.raw_bytes == leaf.der
    assert material.public_key is None
    assert material.tlog_entries == []
    assert material.timestamp_verification_data is not None
    (stamp,) = material.timestamp_verification_data.rfc3161_timestamps
    assert read.dsse_envelope is not None
    (signature,) = read.dsse_envelope.signatures
    roots = [load_certificate(root.der, "root")]
    assert check_timestamp(stamp.signed_timestamp, signature.sig, roots).authority == "CN=Time"
    assert read.dsse_envelope.payload == STATEMENT
    assert read.dsse_envelope.payload_type == PAYLOAD_TYPE
    assert exported.timestamps == 1


def test_sigstore_bundle_with_a_key_hint(bundle: Bundle) -> None:
    exported = export_signature(bundle, 1, "sigstore")
    material = sigstore.Bundle.from_json(exported.data).verification_material
    assert material.public_key is not None
    assert material.public_key.hint == spki_sha256(PLAIN.public)
    assert material.certificate is None
    assert exported.certificates == ()


def test_the_envelope_in_a_sigstore_bundle_verifies(bundle: Bundle) -> None:
    """It is the envelope of the package with one of its signatures."""
    document = json.loads(export_signature(bundle, 2, "sigstore").data)["dsseEnvelope"]
    payload, kind = base64.b64decode(document["payload"]), document["payloadType"]
    original = decode_envelope(bundle.envelope or b"").signatures[1]
    assert [base64.b64decode(item["sig"]) for item in document["signatures"]] == [original.sig]
    assert pae(kind, payload) == CONTENT


def test_certificate_from_a_file(bundle: Bundle, leaf: Entity) -> None:
    bare = package((Signature("x", decode_envelope(bundle.envelope or b"").signatures[1].sig),))
    assert refusal(lambda: export_signature(bare, 1, "cms")) is codes.CERTIFICATE_NEEDED
    exported = export_signature(bare, 1, "cms", leaf.pem, "leaf.pem")
    assert [item.der for item in exported.certificates] == [leaf.der]
    assert exported.content == CONTENT
    assert leaf.der in export_signature(bundle, 2, "cms").data


def test_refusals(bundle: Bundle, leaf: Entity) -> None:
    assert refusal(lambda: export_signature(package(()), 1, "cms")) is codes.NOT_SIGNED
    for number in (0, 3):
        refused = refusal(lambda number=number: export_signature(bundle, number, "cms"))
        assert refused is codes.NO_SUCH_SIGNATURE
    refused = refusal(lambda: export_signature(bundle, 1, "sigstore", leaf.pem, "leaf.pem"))
    assert refused is codes.CERTIFICATE_OF_OTHER_KEY
    assert refusal(lambda: export_signature(bundle, 2, "cms", b"x", "x.pem")) is codes.BAD_CERTIFICATE
    other = package(decode_envelope(bundle.envelope or b"").signatures, statement=b"{}")
    assert refusal(lambda: export_signature(other, 1, "cms")) is sign_codes.PAYLOAD_DIFFERS
    strange = package((Signature("x", b"x", b'{"kind":"x"}'),))
    assert refusal(lambda: export_signature(strange, 1, "sigstore")) is json_codes.MISSING_KEY
