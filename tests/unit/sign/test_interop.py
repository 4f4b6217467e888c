"""Envelopes and statements read by independent implementations: securesystemslib, in-toto-attestation.

What securesystemslib does differently, and what is therefore not compared:

- It takes a signature only when its ``keyid`` is the key's; hpbuild writes the SHA-256 of the public key
  there, and reads it as a hint. Two ids of one key count twice for it, once for hpbuild.
- Its ML-DSA schemes sign a digest with a prefix (TAP 21), not the bytes that DSSE names. So it cannot verify
  an envelope's ML-DSA signatures; here its key class is given the wrapped message, which shows that both
  use FIPS 204 with an empty context.
- It reads any JSON, and drops the extension of a signature.
"""

import base64
import hashlib
import json
from typing import Any

import pytest

from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.bundle.writer import assemble
from hpbuild.manifest.model import Manifest
from hpbuild.sign.algorithms import Algorithm, generate_private, sign, spki_sha256, verify
from hpbuild.sign.dsse import pae, sign_envelope, verify_envelope
from hpbuild.sign.signer import FileSigner, Signing

in_toto = pytest.importorskip(
    "in_toto_attestation.v1.statement", reason="in-toto-attestation is not installed"
)
json_format = pytest.importorskip("google.protobuf.json_format", reason="protobuf is not installed")
dsse = pytest.importorskip("securesystemslib.dsse", reason="securesystemslib is not installed")
signer_module = pytest.importorskip("securesystemslib.signer", reason="securesystemslib is not installed")
VerificationError = pytest.importorskip("securesystemslib.exceptions").VerificationError

CLASSICAL = [algorithm for algorithm in Algorithm if not algorithm.post_quantum]
SIGNERS = {algorithm: FileSigner(generate_private(algorithm)) for algorithm in Algorithm}
STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1"}'


def their_key(signer: FileSigner) -> Any:
    return signer_module.SSlibKey.from_crypto(signer.public, keyid=spki_sha256(signer.public))


def theirs(envelope: bytes) -> Any:
    return dsse.Envelope.from_dict(json.loads(envelope))


@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_it_verifies_our_envelope(algorithm: Algorithm) -> None:
    signer = SIGNERS[algorithm]
    envelope = theirs(sign_envelope(STATEMENT, [signer]))
    assert envelope.payload == STATEMENT
    assert envelope.payload_type == PAYLOAD_TYPE
    assert envelope.pae() == pae(PAYLOAD_TYPE, STATEMENT)
    assert set(envelope.verify([their_key(signer)], 1)) == {spki_sha256(signer.public)}
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([their_key(signer)], 1)


def test_it_verifies_all_signatures_of_an_envelope_with_extensions() -> None:
    signers = [SIGNERS[algorithm] for algorithm in CLASSICAL]
    chained = [Signing(signer, (b"certificate",), lambda signature: b"stamp") for signer in signers]
    envelope = theirs(sign_envelope(STATEMENT, chained))
    assert len(envelope.verify([their_key(signer) for signer in signers], len(signers))) == len(signers)


@pytest.mark.parametrize("algorithm", CLASSICAL)
def test_we_verify_its_envelope(algorithm: Algorithm) -> None:
    signer = SIGNERS[algorithm]
    made = dsse.Envelope(STATEMENT, PAYLOAD_TYPE, {})
    made.sign(signer_module.CryptoSigner(signer.private, their_key(signer)))
    ours = json.dumps(made.to_dict(), sort_keys=True, separators=(",", ":")).encode()
    assert verify_envelope(ours, [signer.public]).votes == {spki_sha256(signer.public)}


@pytest.mark.parametrize("algorithm", [Algorithm.ML_DSA_65, Algorithm.ML_DSA_87])
def test_ml_dsa_is_the_same_below_its_wrapping(algorithm: Algorithm) -> None:
    signer = SIGNERS[algorithm]
    made = dsse.Envelope(STATEMENT, PAYLOAD_TYPE, {})
    signature = made.sign(signer_module.CryptoSigner(signer.private, their_key(signer)))
    raw = bytes.fromhex(signature.signature)
    assert not verify(signer.public, pae(PAYLOAD_TYPE, STATEMENT), raw)
    wrapped = b"tuf\x01" + hashlib.sha512(made.pae()).digest()
    assert verify(signer.public, wrapped, raw)
    envelope = theirs(sign_envelope(STATEMENT, [signer]))
    with pytest.raises(VerificationError):
        envelope.verify([their_key(signer)], 1)
    envelope.signatures = {
        signature.keyid: signer_module.Signature(signature.keyid, sign(signer.private, wrapped).hex())
    }
    assert envelope.verify([their_key(signer)], 1)


def test_the_statement_is_one_of_in_toto(sample_manifest: Manifest, patch_images: dict[str, bytes]) -> None:
    statement = read_bundle(assemble(sample_manifest, patch_images)).statement
    found = in_toto.Statement.copy_from_pb(json_format.Parse(statement, in_toto.spb.Statement()))
    found.validate()
    assert found.pb.type == "https://in-toto.io/Statement/v1"
    assert [(item.name, dict(item.digest)) for item in found.pb.subject] == [
        (item["name"], item["digest"]) for item in json.loads(statement)["subject"]
    ]


def test_one_key_under_two_ids_is_one_vote_here_and_two_there() -> None:
    """Why hpbuild counts keys and not ids."""
    signer = SIGNERS[Algorithm.ED25519]
    signature = base64.b64encode(signer.sign(pae(PAYLOAD_TYPE, STATEMENT))).decode()
    document = {
        "payload": base64.b64encode(STATEMENT).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": name, "sig": signature} for name in ("a", "b")],
    }
    ours = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    assert len(verify_envelope(ours, [signer.public]).votes) == 1
    keys = [signer_module.SSlibKey.from_crypto(signer.public, keyid=name) for name in ("a", "b")]
    assert len(theirs(ours).verify(keys, 2)) == 2
