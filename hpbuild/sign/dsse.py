"""DSSE envelopes (Dead Simple Signing Envelope, protocol v1.0.2): N signatures over one payload.

A signature counts for the key that verifies it, identified by the SHA-256 of its SubjectPublicKeyInfo. The
key id in the envelope is written by whoever made the envelope; it only helps to word a failure.
"""

import base64
from collections.abc import Sequence
from enum import StrEnum

from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.codes import sign as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.manifest.strict_json import JsonValue, canonical, parse_canonical
from hpbuild.sign.algorithms import PublicKey, algorithm_of, spki_sha256, verify
from hpbuild.sign.envelope import DOCUMENT as DOCUMENT
from hpbuild.sign.envelope import LIMITS
from hpbuild.sign.envelope import MAX_PAYLOAD as MAX_PAYLOAD
from hpbuild.sign.envelope import MAX_SIGNATURE as MAX_SIGNATURE
from hpbuild.sign.envelope import MAX_SIGNATURES as MAX_SIGNATURES
from hpbuild.sign.envelope import Envelope as Envelope
from hpbuild.sign.envelope import Signature as Signature
from hpbuild.sign.envelope import decode_envelope as decode_envelope
from hpbuild.sign.extension import Extension, encode_extension
from hpbuild.sign.signer import Signer, Signing


class Outcome(StrEnum):
    """What is known about one signature."""

    VERIFIED = "verified"
    BAD = "bad"
    """Its key id names a given key, and the signature is not by that key."""
    UNKNOWN_KEY = "unknown-key"
    """By none of the given keys."""


@dataclass(frozen=True, slots=True)
class SignatureResult:
    """Signature ``index`` of the envelope; ``key`` is the SPKI SHA-256 of the key that verified it, or ''."""

    index: int
    keyid: str
    outcome: Outcome
    key: str


@dataclass(frozen=True, slots=True)
class EnvelopeResult:
    """Result of checking an envelope. ``payload`` are the very bytes that the signatures are about."""

    payload_type: str
    payload: bytes = field(repr=False)
    signatures: tuple[SignatureResult, ...]

    @property
    def votes(self) -> frozenset[str]:
        """SPKI SHA-256 of each key with a valid signature; a key that signed twice has one vote."""
        return frozenset(item.key for item in self.signatures if item.outcome is Outcome.VERIFIED)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed (DSSE protocol, "Signature Definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode_envelope(envelope: Envelope) -> bytes:
    """Canonical bytes; raises what ``decode_envelope`` would raise about them."""
    signatures: list[JsonValue] = []
    for item in envelope.signatures:
        document: dict[str, JsonValue] = {"keyid": item.keyid, "sig": base64.b64encode(item.sig).decode()}
        if item.extension:
            document["extension"] = parse_canonical(item.extension, DOCUMENT, LIMITS)
        signatures.append(document)
    payload = base64.b64encode(envelope.payload).decode()
    document = {"payload": payload, "payloadType": envelope.payload_type, "signatures": signatures}
    data = canonical(document, DOCUMENT)
    decode_envelope(data)
    return data


def sign_envelope(
    statement: bytes, signers: Sequence[Signer | Signing], existing: bytes | None = None
) -> bytes:
    """Envelope over ``statement`` with a signature of each signer after those of ``existing``.

    Every new signature is verified before it is used. Raises HP5203 when ``existing`` is about other bytes,
    HP5204 when a key has signed already, HP5205 without a signer, HP5106 for a signature that does not
    verify, and what signers and time stamping raise.
    """
    if not signers:
        raise HpbuildError(codes.NO_SIGNERS, DOCUMENT, "no key was named")
    makers = [item if isinstance(item, Signing) else Signing(item) for item in signers]
    message = pae(PAYLOAD_TYPE, statement)
    check_unsigned(statement, [maker.signer.public for maker in makers], existing)
    signatures = list(decode_envelope(existing).signatures) if existing is not None else []
    signatures += [_sign(maker, message) for maker in makers]
    return encode_envelope(Envelope(PAYLOAD_TYPE, statement, tuple(signatures)))


def check_unsigned(statement: bytes, keys: Sequence[PublicKey], existing: bytes | None) -> None:
    """Nothing when the envelope ``existing`` is about ``statement`` and has no signature by one of ``keys``.

    Raises HP5203, HP5204 (also for a key that is twice in ``keys``) and what ``decode_envelope`` raises.
    """
    present: set[str] = set()
    if existing is not None:
        result = verify_envelope(existing, keys)
        if result.payload != statement:
            raise HpbuildError(codes.PAYLOAD_DIFFERS, DOCUMENT, "the signed bytes are not the statement")
        present |= result.votes
    for key in map(spki_sha256, keys):
        if key in present:
            raise HpbuildError(codes.ALREADY_SIGNED, DOCUMENT, f"key {key} has signed this statement")
        present.add(key)


def verify_envelope(envelope: bytes, keys: Sequence[PublicKey]) -> EnvelopeResult:
    """Check every signature of the envelope with every key of ``keys``.

    Raises what ``decode_envelope`` raises; a signature that does not verify is a result, not an error.
    """
    decoded = decode_envelope(envelope)
    message = pae(decoded.payload_type, decoded.payload)
    known = {spki_sha256(key): key for key in keys}
    results = []
    for index, signature in enumerate(decoded.signatures):
        signer = next((name for name, key in known.items() if verify(key, message, signature.sig)), "")
        outcome = Outcome.BAD if signature.keyid in known else Outcome.UNKNOWN_KEY
        results.append(
            SignatureResult(index, signature.keyid, Outcome.VERIFIED if signer else outcome, signer)
        )
    return EnvelopeResult(decoded.payload_type, decoded.payload, tuple(results))


def _sign(maker: Signing, message: bytes) -> Signature:
    public = maker.signer.public
    key = spki_sha256(public)
    raw = maker.signer.sign(message)
    if not verify(public, message, raw):
        cause = (
            f"{len(raw)} bytes that are no {algorithm_of(public)} signature by key {key} over the statement"
        )
        raise HpbuildError(codes.WRONG_SIGNATURE, DOCUMENT, cause)
    timestamps = () if maker.timestamp is None else (maker.timestamp(raw),)
    if not maker.chain and not timestamps:
        return Signature(key, raw)
    return Signature(key, raw, encode_extension(Extension(maker.chain, timestamps)))
