"""An Authenticode signature taken apart: what it signs, who signed it, and whether the signature is sound.

Source: "Windows Authenticode Portable Executable Signature Format", sections "PKCS #7 SignedData Object" and
"SpcIndirectDataContent"; PKCS #7 v1.5 (RFC 2315), whose content is an element of its own where CMS has an
OCTET STRING. DER throughout, one signer. Whom the certificates belong to is not judged here.
"""

import hashlib
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1 as codec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from hpbuild.codes.pins import SIGNATURE_BAD, SIGNATURE_MALFORMED, SIGNATURE_WEAK
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.sign import asn1
from hpbuild.sign.certificates import VERIFY_ERRORS, Certificate, load_certificate, parse_cause
from hpbuild.sign.signer_info import (
    ECDSA_WITH,
    RSA,
    RSA_WITH,
    digest_attribute,
    signed_attributes,
    signed_bytes,
    signer_certificate,
)

INDIRECT_DATA = x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.4")
PE_IMAGE_DATA = x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.15")
RFC3161_COUNTERSIGNATURE = x509.ObjectIdentifier("1.3.6.1.4.1.311.3.3.1")
_HASHES: dict[x509.ObjectIdentifier, hashes.HashAlgorithm] = {
    asn1.SHA256: hashes.SHA256(), asn1.SHA384: hashes.SHA384(), asn1.SHA512: hashes.SHA512(),
}  # fmt: skip
_EC = "1.2.840.10045.2.1"
"""ecPublicKey, which tools write where the algorithm of the signature belongs."""
_GRANTED = b"\x30\x03\x02\x01\x00"
"""PKIStatusInfo that says granted (RFC 3161, section 2.4.2)."""


@codec.sequence
class _Content:
    content_type: x509.ObjectIdentifier
    content: Annotated[codec.TLV, codec.Explicit(0)]


@codec.sequence
class _SignedData:
    version: int
    digest_algorithms: codec.SetOf[asn1.Algorithm]
    content: _Content
    certificates: Annotated[list[codec.TLV] | None, codec.Implicit(0)] = None
    lists: Annotated[list[codec.TLV] | None, codec.Implicit(1)] = None
    signers: codec.SetOf[asn1.SignerInfo]


@codec.sequence
class _ContentInfo:
    content_type: x509.ObjectIdentifier
    content: Annotated[_SignedData, codec.Explicit(0)]


@codec.sequence
class _TypeAndValue:
    type: x509.ObjectIdentifier
    value: codec.TLV


@codec.sequence
class _DigestInfo:
    algorithm: asn1.Algorithm
    digest: bytes


@codec.sequence
class _IndirectData:
    data: _TypeAndValue
    digest: _DigestInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSignature:
    """A sound signature. ``digest`` is the SHA-256 Authenticode hash that it speaks of; ``signer`` made it
    with its certificate, ``others`` came along; ``token`` is an RFC 3161 time stamp (TimeStampResp) over
    ``value``, the signature's bytes, unchecked, b'' for none."""

    digest: bytes
    signer: Certificate
    others: tuple[Certificate, ...]
    value: bytes
    token: bytes


def read_signature(der: bytes, place: str) -> FileSignature:
    """The signature in the PKCS #7 object ``der``, after its cryptographic check by its own certificate.

    Raises HpbuildError SIGNATURE_MALFORMED, SIGNATURE_WEAK, SIGNATURE_BAD, at ``place``, and HP5303."""
    try:
        outer = asn1.decode(_ContentInfo, der)
        signed = outer.content
        (signer,) = signed.signers.as_list()
        indirect = asn1.decode(_IndirectData, asn1.tlv(signed.content.content))
        attributes = signed_attributes(signer)
    except ValueError as error:
        raise HpbuildError(SIGNATURE_MALFORMED, place, parse_cause(error)) from None
    if (outer.content_type, signed.content.content_type) != (asn1.SIGNED_DATA, INDIRECT_DATA):
        raise HpbuildError(SIGNATURE_MALFORMED, place, "it is no SignedData of an SpcIndirectDataContent")
    if indirect.data.type != PE_IMAGE_DATA:
        kind = indirect.data.type.dotted_string
        raise HpbuildError(SIGNATURE_MALFORMED, place, f"it signs a subject of the kind {kind}, no PE image")
    if indirect.digest.algorithm.algorithm != asn1.SHA256:
        weak = indirect.digest.algorithm.algorithm.dotted_string
        raise HpbuildError(SIGNATURE_WEAK, place, f"the hash of the file is of the kind {weak}, not SHA-256")
    certificate, others = _certificates(signed, signer, place)
    _check(signer, attributes, bytes(signed.content.content.data), certificate, place)
    return FileSignature(
        digest=indirect.digest.digest,
        signer=certificate,
        others=others,
        value=signer.signature,
        token=_token(signer),
    )


def _certificates(
    signed: _SignedData, signer: asn1.SignerInfo, place: str
) -> tuple[Certificate, tuple[Certificate, ...]]:
    came = dict.fromkeys(asn1.tlv(item) for item in signed.certificates or ())
    found = signer_certificate(signer, [load_certificate(item, place) for item in came])
    if found is None:
        raise HpbuildError(SIGNATURE_MALFORMED, place, "the signer's certificate did not come along once")
    return found


def _check(
    signer: asn1.SignerInfo,
    attributes: dict[x509.ObjectIdentifier, bytes],
    content: bytes,
    certificate: Certificate,
    place: str,
) -> None:
    """Content type, digest of the content, and the signature over both (RFC 2315, section 9.3)."""
    kind = _HASHES.get(signer.digest_algorithm.algorithm)
    if kind is None:
        weak = signer.digest_algorithm.algorithm.dotted_string
        raise HpbuildError(SIGNATURE_WEAK, place, f"the hash of the signature is of the kind {weak}")
    wanted = digest_attribute(hashlib.new(kind.name, content).digest())
    if attributes.get(asn1.CONTENT_TYPE) != asn1.oid(INDIRECT_DATA):
        raise HpbuildError(SIGNATURE_BAD, place, "the signed content type is not that of the content")
    if attributes.get(asn1.MESSAGE_DIGEST) != wanted:
        raise HpbuildError(SIGNATURE_BAD, place, "the signed digest is not that of the content")
    try:
        sound = _verify(certificate.raw.public_key(), signer, signed_bytes(signer), kind)
    except VERIFY_ERRORS:
        cause = f"not signed by the key of {certificate.subject[:200]}"
        raise HpbuildError(SIGNATURE_BAD, place, cause) from None
    if not sound:
        used = signer.signature_algorithm.algorithm.dotted_string
        raise HpbuildError(SIGNATURE_WEAK, place, f"signature algorithm {used} with {kind.name}")


def _verify(key: object, signer: asn1.SignerInfo, message: bytes, kind: hashes.HashAlgorithm) -> bool:
    """False for a combination of key and algorithm that does not count. Raises InvalidSignature."""
    used = signer.signature_algorithm.algorithm.dotted_string
    if isinstance(key, rsa.RSAPublicKey) and (used == RSA or RSA_WITH.get(used) == kind.name):
        key.verify(signer.signature, message, padding.PKCS1v15(), kind)
        return True
    if isinstance(key, ec.EllipticCurvePublicKey) and (used == _EC or ECDSA_WITH.get(used) == kind.name):
        key.verify(signer.signature, message, ec.ECDSA(kind))
        return True
    return False


def _token(signer: asn1.SignerInfo) -> bytes:
    """The RFC 3161 token among the unsigned attributes, as a TimeStampResp; b'' unless there is one."""
    found = []
    for element in signer.unsigned_attributes or ():
        try:
            attribute = asn1.decode(asn1.Attribute, asn1.tlv(element))
        except ValueError:
            continue
        if attribute.type == RFC3161_COUNTERSIGNATURE:
            found += [asn1.tlv(item) for item in attribute.values.as_list()]
    return asn1.der(b"\x30", _GRANTED + found[0]) if len(found) == 1 else b""
