"""Time stamps (RFC 3161, with RFC 5816): what a TimeStampResp proves about the bytes of a signature.

Everything is read and checked here, offline. The authority's certificate comes with the token; its chain
has to end at an authority that the policy names for time stamps, and is judged at the time in the token.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from hpbuild.codes import certificates as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign import asn1
from hpbuild.sign.certificates import VERIFY_ERRORS, Certificate, load_certificate
from hpbuild.sign.chains import Chain, Purpose, build_chain
from hpbuild.sign.extension import MAX_CERTIFICATES, MAX_TIMESTAMP
from hpbuild.sign.revocation import RevocationList
from hpbuild.sign.signer_info import (
    ECDSA_WITH,
    RSA,
    RSA_WITH,
    digest_attribute,
    signed_attributes,
    signed_bytes,
    signer_certificate,
)

PLACE = "time stamp"
GRANTED = 0
"""PKIStatus (RFC 3161, section 2.4.2). grantedWithMods (1) answers another question than was asked."""
_HASHES: dict[str, tuple[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]]] = {
    asn1.SHA256.dotted_string: ("sha256", hashes.SHA256),
    asn1.SHA384.dotted_string: ("sha384", hashes.SHA384),
    asn1.SHA512.dotted_string: ("sha512", hashes.SHA512),
}
_RSA_PSS = "1.2.840.113549.1.1.10"
_CHAIN_CODES: dict[Code, Code] = {
    codes.EXPIRED: codes.TIMESTAMP_OUTSIDE_VALIDITY,
    codes.NOT_YET_VALID: codes.TIMESTAMP_OUTSIDE_VALIDITY,
    codes.WRONG_PURPOSE: codes.TIMESTAMP_WRONG_PURPOSE,
    codes.WEAK_CERTIFICATE_KEY: codes.TIMESTAMP_WEAK,
    codes.WEAK_CERTIFICATE_SIGNATURE: codes.TIMESTAMP_WEAK,
    codes.REVOKED: codes.TIMESTAMP_REVOKED,
}
"""What a failure of the authority's chain is called; every other one is TIMESTAMP_UNTRUSTED."""


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time that an authority vouches for, UTC. ``authority`` is its subject (escape before showing)."""

    time: datetime
    authority: str
    serial: int


@dataclass(frozen=True, slots=True)
class Token:
    """A TimeStampResp as read: nothing is checked but its form, and that it states a time."""

    der: bytes
    """The TimeStampToken, without the status around it."""
    info: asn1.TimestampInfo
    content: bytes
    signer: asn1.SignerInfo
    certificates: tuple[bytes, ...]

    @property
    def time(self) -> datetime:
        """The time that it states, UTC."""
        return self.info.time.as_datetime().astimezone(UTC)


def check_timestamp(
    token: bytes,
    signature: bytes,
    authorities: Sequence[Certificate],
    revocations: Sequence[RevocationList] = (),
    *,
    now: datetime | None = None,
    accept_outdated: bool = False,
) -> Timestamp:
    """The time at which ``signature`` existed, by the word of one of ``authorities`` (roots).

    ``now`` (default: the stated time) is when the revocation lists are judged. Raises HP5401 to HP5409, and
    HP533x for lists that cannot be used.
    """
    read = read_token(token)
    check_imprint(read, signature)
    signer, others = _certificates(read)
    _check_signature(read, signer)
    try:
        chain = build_chain(
            signer,
            others,
            authorities,
            at=read.time,
            purpose=Purpose.TIME_STAMPING,
            revocations=revocations,
            now=now,
            accept_outdated=accept_outdated,
        )
    except HpbuildError as error:
        if error.code in (codes.BAD_REVOCATION_LIST, codes.LIST_NOT_BY_ISSUER, codes.LIST_OUTDATED):
            raise
        code = _CHAIN_CODES.get(error.code, codes.TIMESTAMP_UNTRUSTED)
        raise HpbuildError(code, PLACE, str(error.finding)) from None
    return _timestamp(read, chain)


def read_token(token: bytes) -> Token:
    """The TimeStampResp in the DER bytes ``token``; HP5401 (form), HP5402 (not granted), HP5407 (SHA-1)."""
    if len(token) > MAX_TIMESTAMP:
        raise _malformed(f"{len(token)} bytes, at most {MAX_TIMESTAMP} are read")
    try:
        response = asn1.decode(asn1.TimestampResponse, token)
    except ValueError:
        raise _malformed("not a TimeStampResp in DER form (RFC 3161, section 2.4.2)") from None
    if response.status.status != GRANTED or response.token is None:
        text = "; ".join(response.status.text or ())[:200]
        raise HpbuildError(
            codes.TIMESTAMP_NOT_GRANTED, PLACE, f"status {response.status.status} {text}".strip()
        )
    data = response.token.content
    signers = data.signers.as_list()
    if response.token.content_type != asn1.SIGNED_DATA or data.content.content_type != asn1.TST_INFO:
        raise _malformed("it is not signed data about a time")
    if data.content.content is None or len(signers) != 1 or data.version != 3 or signers[0].version != 1:
        raise _malformed("not one signer by issuer and serial number, or no content")
    if [_oid(item) for item in data.digest_algorithms.as_list()] != [_oid(signers[0].digest_algorithm)]:
        raise _malformed("the digest algorithms are not the signer's")
    certificates = tuple(asn1.tlv(item) for item in data.certificates or ())
    if not 0 < len(certificates) <= MAX_CERTIFICATES:
        raise _malformed(f"{len(certificates)} certificates, 1 to {MAX_CERTIFICATES} are needed")
    try:
        info = asn1.decode(asn1.TimestampInfo, data.content.content)
    except ValueError:
        raise _malformed("not about a TSTInfo in DER form (RFC 3161, section 2.4.2)") from None
    if info.version != 1 or any(item.critical for item in info.extensions or ()):
        raise _malformed("unknown version or critical extension")
    return Token(asn1.encode(response.token), info, data.content.content, signers[0], certificates)


def check_imprint(token: Token, signature: bytes) -> None:
    """The token is about ``signature``: HP5403, HP5407 for a weak hash."""
    name, _ = _hash(token.info.imprint.algorithm)
    if hashlib.new(name, signature).digest() != token.info.imprint.digest:
        raise HpbuildError(codes.TIMESTAMP_OF_OTHER_DATA, PLACE, f"another {name} than that of the signature")


def _timestamp(token: Token, chain: Chain) -> Timestamp:
    return Timestamp(token.time, chain.leaf.subject, token.info.serial)


def _certificates(token: Token) -> tuple[Certificate, tuple[Certificate, ...]]:
    """The signer's certificate, and the others that came along."""
    loaded = [load_certificate(item, PLACE) for item in dict.fromkeys(token.certificates)]
    found = signer_certificate(token.signer, loaded)
    if found is None:
        raise _malformed("the signer's certificate did not come along")
    _check_named(token.signer, found[0])
    return found


def _check_named(signer: asn1.SignerInfo, certificate: Certificate) -> None:
    """The signed attribute that names the certificate by hash names this one (RFC 5816, section 2.2)."""
    attributes = _attributes(signer)
    try:
        if (value := attributes.get(asn1.SIGNING_CERTIFICATE_V2)) is not None:
            first = asn1.decode(asn1.SigningCertificateV2, value).certificates[0]
            name = "sha256" if first.algorithm is None else _hash(first.algorithm)[0]
            named = first.digest == hashlib.new(name, certificate.der).digest()
        elif (value := attributes.get(asn1.SIGNING_CERTIFICATE)) is not None:
            # SHA-1 by its definition; it only tells apart certificates that the chain proves anyway.
            digest = hashlib.sha1(certificate.der, usedforsecurity=False).digest()
            named = asn1.decode(asn1.SigningCertificate, value).certificates[0].digest == digest
        else:
            raise _malformed("no signed attribute names the signer's certificate")
    except (ValueError, IndexError):
        raise _malformed("the attribute that names the certificate is not in DER form (RFC 5035)") from None
    if not named:
        raise HpbuildError(codes.TIMESTAMP_BAD_SIGNATURE, PLACE, "it was signed with another certificate")


def _attributes(signer: asn1.SignerInfo) -> dict[x509.ObjectIdentifier, bytes]:
    """As ``signed_attributes``; HP5401 also when there are none."""
    if signer.signed_attributes is None:
        raise _malformed("no signed attributes")
    try:
        return signed_attributes(signer)
    except ValueError as error:
        raise _malformed(f"signed attributes: {error}") from None


def _check_signature(token: Token, certificate: Certificate) -> None:
    """Content type, digest and signature (RFC 5652, sections 5.4 to 5.6)."""
    signer = token.signer
    name, _ = _hash(signer.digest_algorithm)
    attributes = _attributes(signer)
    if attributes.get(asn1.CONTENT_TYPE) != asn1.oid(asn1.TST_INFO):
        raise _malformed("the signed content type is not that of a time stamp")
    if attributes.get(asn1.MESSAGE_DIGEST) != digest_attribute(hashlib.new(name, token.content).digest()):
        raise HpbuildError(
            codes.TIMESTAMP_BAD_SIGNATURE, PLACE, "the signed digest is not that of the content"
        )
    try:
        _verify(certificate.raw.public_key(), signer, signed_bytes(signer))
    except VERIFY_ERRORS:
        raise HpbuildError(
            codes.TIMESTAMP_BAD_SIGNATURE, PLACE, f"not signed by the key of {certificate.subject[:200]}"
        ) from None


def _verify(key: object, signer: asn1.SignerInfo, message: bytes) -> None:
    name, kind = _hash(signer.digest_algorithm)
    algorithm = signer.signature_algorithm
    oid, parameters = algorithm.algorithm.dotted_string, algorithm.parameters
    plain = not isinstance(parameters, asn1.PssParameters)
    if isinstance(key, rsa.RSAPublicKey) and plain and (oid == RSA or RSA_WITH.get(oid) == name):
        key.verify(signer.signature, message, padding.PKCS1v15(), kind())
    elif isinstance(key, rsa.RSAPublicKey) and oid == _RSA_PSS and isinstance(parameters, asn1.PssParameters):
        if not _hash(parameters.hash)[0] == _hash(parameters.mask.parameters)[0] == name:
            raise HpbuildError(codes.TIMESTAMP_WEAK, PLACE, "RSA-PSS with hashes that differ")
        key.verify(signer.signature, message, padding.PSS(padding.MGF1(kind()), kind.digest_size), kind())
    elif isinstance(key, ec.EllipticCurvePublicKey) and parameters is None and ECDSA_WITH.get(oid) == name:
        key.verify(signer.signature, message, ec.ECDSA(kind()))
    else:
        raise HpbuildError(codes.TIMESTAMP_WEAK, PLACE, f"signature algorithm {oid} with {name}")


def _hash(algorithm: asn1.Algorithm) -> tuple[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]]:
    oid = _oid(algorithm)
    if oid not in _HASHES:
        raise HpbuildError(codes.TIMESTAMP_WEAK, PLACE, f"hash algorithm {oid}")
    return _HASHES[oid]


def _oid(algorithm: asn1.Algorithm) -> str:
    return algorithm.algorithm.dotted_string


def _malformed(cause: str) -> HpbuildError:
    return HpbuildError(codes.BAD_TIMESTAMP, PLACE, " ".join(cause.split())[:200])
