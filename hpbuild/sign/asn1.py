"""ASN.1 types of CMS (RFC 5652), time stamps (RFC 3161) and ESS (RFC 5035) for cryptography's DER codec.

Only the forms that are used: one spelling for each, and DER throughout. Sets that no signature covers are
declared as sequences: ``openssl ts`` does not sort the certificates of a token, although DER says so.
"""

from datetime import datetime
from typing import Annotated, TypeVar

from cryptography import x509
from cryptography.hazmat import asn1

T = TypeVar("T")
Element = asn1.TLV
"""Any element, with its tag."""

DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.1")
SIGNED_DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.2")
TST_INFO = x509.ObjectIdentifier("1.2.840.113549.1.9.16.1.4")
CONTENT_TYPE = x509.ObjectIdentifier("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = x509.ObjectIdentifier("1.2.840.113549.1.9.4")
SIGNING_CERTIFICATE = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.12")
SIGNING_CERTIFICATE_V2 = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.47")
MGF1 = x509.ObjectIdentifier("1.2.840.113549.1.1.8")
SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
SHA384 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.2")
SHA512 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.3")

NULL = asn1.Null()
SET_TAG = b"\x31"


@asn1.sequence
class Algorithm:
    """AlgorithmIdentifier of a hash: parameters NULL or none (RFC 5754, section 2)."""

    algorithm: x509.ObjectIdentifier
    parameters: asn1.Null | None = None


@asn1.sequence
class MaskGeneration:
    """MGF1 with its hash (RFC 4055, section 2.2)."""

    algorithm: x509.ObjectIdentifier
    parameters: Algorithm


@asn1.sequence
class PssParameters:
    """RSASSA-PSS-params with nothing left to its default (RFC 4055, section 3.1)."""

    hash: Annotated[Algorithm, asn1.Explicit(0)]
    mask: Annotated[MaskGeneration, asn1.Explicit(1)]
    salt: Annotated[int, asn1.Explicit(2)]


@asn1.sequence
class SignatureAlgorithm:
    """AlgorithmIdentifier of a signature."""

    algorithm: x509.ObjectIdentifier
    parameters: asn1.Null | PssParameters | None = None


@asn1.sequence
class IssuerAndSerial:
    """IssuerAndSerialNumber: the name of a certificate in CMS."""

    issuer: asn1.TLV
    serial: int


@asn1.sequence
class Attribute:
    """A signed attribute."""

    type: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class SignerInfo:
    """SignerInfo of version 1 (RFC 5652, section 5.3)."""

    version: int
    sid: IssuerAndSerial
    digest_algorithm: Algorithm
    signed_attributes: Annotated[asn1.SetOf[asn1.TLV] | None, asn1.Implicit(0)] = None
    signature_algorithm: SignatureAlgorithm
    signature: bytes
    unsigned_attributes: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)] = None


@asn1.sequence
class EncapsulatedContent:
    """EncapsulatedContentInfo; ``content`` None for a detached signature."""

    content_type: x509.ObjectIdentifier
    content: Annotated[bytes | None, asn1.Explicit(0)] = None


@asn1.sequence
class SignedData:
    """SignedData (RFC 5652, section 5.1) of one signer."""

    version: int
    digest_algorithms: asn1.SetOf[Algorithm]
    content: EncapsulatedContent
    certificates: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)] = None
    lists: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)] = None
    signers: asn1.SetOf[SignerInfo]


@asn1.sequence
class ContentInfo:
    """ContentInfo with a SignedData (RFC 5652, section 3)."""

    content_type: x509.ObjectIdentifier
    content: Annotated[SignedData, asn1.Explicit(0)]


@asn1.sequence
class Status:
    """PKIStatusInfo (RFC 3161, section 2.4.2)."""

    status: int
    text: list[str] | None = None
    failure: asn1.BitString | None = None


@asn1.sequence
class TimestampResponse:
    """TimeStampResp (RFC 3161, section 2.4.2)."""

    status: Status
    token: ContentInfo | None = None


@asn1.sequence
class MessageImprint:
    """What is stamped, by its hash."""

    algorithm: Algorithm
    digest: bytes


@asn1.sequence
class Extension:
    """An X.509 extension as it stands in requests and stamps."""

    type: x509.ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]
    value: bytes


@asn1.sequence
class Accuracy:
    """How far the time may be off."""

    seconds: int | None = None
    milliseconds: Annotated[int | None, asn1.Implicit(0)] = None
    microseconds: Annotated[int | None, asn1.Implicit(1)] = None


@asn1.sequence
class TimestampInfo:
    """TSTInfo (RFC 3161, section 2.4.2). ``authority`` is a GeneralName under an explicit tag."""

    version: int
    policy: x509.ObjectIdentifier
    imprint: MessageImprint
    serial: int
    time: asn1.GeneralizedTime
    accuracy: Accuracy | None = None
    ordering: Annotated[bool, asn1.Default(False)]
    nonce: int | None = None
    authority: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)] = None
    extensions: Annotated[list[Extension] | None, asn1.Implicit(1)] = None


@asn1.sequence
class TimestampRequest:
    """TimeStampReq (RFC 3161, section 2.4.1) without policy and extensions."""

    version: int
    imprint: MessageImprint
    nonce: int
    certificate_wanted: Annotated[bool, asn1.Default(False)]


@asn1.sequence
class CertificateId:
    """ESSCertID (RFC 2634, section 5.4.1): SHA-1 of a certificate."""

    digest: bytes
    issuer_serial: list[asn1.TLV] | None = None


@asn1.sequence
class CertificateIdV2:
    """ESSCertIDv2 (RFC 5035, section 4): hash of a certificate, SHA-256 when it names none."""

    algorithm: Algorithm | None = None
    digest: bytes
    issuer_serial: list[asn1.TLV] | None = None


@asn1.sequence
class SigningCertificate:
    """SigningCertificate (RFC 2634, section 5.4)."""

    certificates: list[CertificateId]
    policies: list[asn1.TLV] | None = None


@asn1.sequence
class SigningCertificateV2:
    """SigningCertificateV2 (RFC 5035, section 3)."""

    certificates: list[CertificateIdV2]
    policies: list[asn1.TLV] | None = None


def decode(kind: type[T], data: bytes) -> T:
    """``data`` as a ``kind``; ValueError unless it is the one DER form of it."""
    value = asn1.decode_der(kind, data)
    if encode(value) != data:
        raise ValueError("not the DER form of its value")
    return value


def encode(value: object) -> bytes:
    """DER bytes of a value of one of these types."""
    return asn1.encode_der(value)


def tlv(item: asn1.TLV) -> bytes:
    """The bytes of an element, tag and length included."""
    return der(item.tag_bytes, bytes(item.data))


def set_of(items: list[T]) -> asn1.SetOf[T]:
    """A SET OF; written in the order of DER."""
    return asn1.SetOf(items)


def time(value: datetime) -> asn1.GeneralizedTime:
    """A GeneralizedTime of a time zone aware time."""
    return asn1.GeneralizedTime(value)


def element(data: bytes) -> asn1.TLV:
    """An element from its bytes; ValueError when it is not one."""
    return asn1.decode_der(asn1.TLV, data)


def oid(value: x509.ObjectIdentifier) -> bytes:
    """DER bytes of an object identifier."""
    return asn1.encode_der(value)


def der(tag: bytes, content: bytes) -> bytes:
    """A DER element (X.690, section 8.1) of ``tag`` with ``content``."""
    size = len(content)
    if size < 0x80:
        return tag + bytes([size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return tag + bytes([0x80 | len(length)]) + length + content
