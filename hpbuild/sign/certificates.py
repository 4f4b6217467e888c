"""X.509 certificates (RFC 5280), read whole when loaded, so that nothing in them can fail later."""

import hashlib
import warnings
from datetime import datetime
from typing import cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from hpbuild.codes import certificates as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import PublicKey, algorithm_of
from hpbuild.sign.base64_forms import pem_blocks, pem_body
from hpbuild.sign.extension import MAX_CERTIFICATE

MAX_PEM = 1 << 20
MAX_PEM_CERTIFICATES = 64
MAX_SERIAL = 1 << 160
"""RFC 5280, section 4.1.2.2: at most 20 octets."""
MAX_EXTENSIONS = 32

PARSE_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    Warning,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)
"""What cryptography says about bytes that it does not like."""
VERIFY_ERRORS: tuple[type[Exception], ...] = (*PARSE_ERRORS, InvalidSignature)
"""What it says when a signature does not verify, or cannot be verified."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """An X.509 version 3 certificate: parsed, and its DER bytes."""

    raw: x509.Certificate = field(repr=False)
    der: bytes = field(repr=False)
    subject: str
    """Subject as RFC 4514 text. Attacker's text: escape before showing."""
    issuer: str

    @property
    def not_before(self) -> datetime:
        """First instant of validity, UTC."""
        return self.raw.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """Last instant of validity, UTC."""
        return self.raw.not_valid_after_utc

    @property
    def serial(self) -> int:
        """Serial number, positive."""
        return self.raw.serial_number

    @property
    def sha256(self) -> str:
        """SHA-256 of the DER bytes as 64 hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def self_issued(self) -> bool:
        """True when subject and issuer are the same name."""
        return self.raw.subject == self.raw.issuer


def load_certificate(der: bytes, place: str) -> Certificate:
    """The certificate in the DER bytes ``der``; refuses anything else, and oversized ones, with HP5303.

    The key may be of any kind: ``certificate_key`` and ``chains`` judge it.
    """
    if len(der) > MAX_CERTIFICATE:
        raise HpbuildError(codes.BAD_CERTIFICATE, place, f"{len(der)} bytes, at most {MAX_CERTIFICATE}")
    try:
        with warnings.catch_warnings():
            # What cryptography only warns of today (serial 0, parameters that do not belong) is refused.
            warnings.simplefilter("error")
            raw = x509.load_der_x509_certificate(der)
            extensions = len(list(raw.extensions))
            subject, issuer = raw.subject.rfc4514_string(), raw.issuer.rfc4514_string()
            in_order = raw.not_valid_before_utc <= raw.not_valid_after_utc
            serial = raw.serial_number
    except PARSE_ERRORS as error:
        raise HpbuildError(codes.BAD_CERTIFICATE, place, parse_cause(error)) from None
    if raw.version is not x509.Version.v3 or not in_order or not 0 < serial < MAX_SERIAL:
        raise HpbuildError(codes.BAD_CERTIFICATE, place, "version, serial number or validity is out of range")
    if extensions > MAX_EXTENSIONS:
        raise HpbuildError(codes.BAD_CERTIFICATE, place, f"{extensions} extensions, at most {MAX_EXTENSIONS}")
    # The number of unused bits of the signature is one that its verification does not look at.
    if raw.public_bytes(Encoding.DER) != der or not der.endswith(b"\0" + raw.signature):
        raise HpbuildError(codes.BAD_CERTIFICATE, place, "the bytes are not the DER form of the certificate")
    return Certificate(raw, der, subject, issuer)


def load_certificates_pem(data: bytes, place: str) -> tuple[Certificate, ...]:
    """The certificates in the PEM text ``data``, in its order, at least one; refuses with HP5303."""
    if len(data) > MAX_PEM:
        raise HpbuildError(codes.BAD_CERTIFICATE, place, f"{len(data)} bytes, at most {MAX_PEM} are read")
    blocks = pem_blocks(data, "CERTIFICATE")
    if not blocks:
        raise HpbuildError(codes.BAD_CERTIFICATE, place, "no certificate in PEM form")
    if len(blocks) > MAX_PEM_CERTIFICATES:
        raise HpbuildError(codes.BAD_CERTIFICATE, place, f"more than {MAX_PEM_CERTIFICATES} certificates")
    return tuple(load_certificate(_pem_body(block, place), place) for block in blocks)


def certificate_pem(certificate: Certificate) -> bytes:
    """PEM text of a certificate."""
    return certificate.raw.public_bytes(Encoding.PEM)


def certificate_key(certificate: Certificate) -> PublicKey:
    """The public key in a certificate; HP5304 unless it is of one of hpbuild's algorithms."""
    try:
        key = certificate.raw.public_key()
    except PARSE_ERRORS as error:
        raise HpbuildError(
            codes.UNSUPPORTED_CERTIFICATE_KEY, certificate.subject[:200], parse_cause(error)
        ) from None
    if algorithm_of(key) is None:
        raise HpbuildError(
            codes.UNSUPPORTED_CERTIFICATE_KEY,
            certificate.subject[:200],
            f"a key of the kind {type(key).__name__}",
        )
    return cast(PublicKey, key)


def parse_cause(error: Exception) -> str:
    """What an error of ``PARSE_ERRORS`` says, in one line of at most 200 characters, never empty."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _pem_body(block: bytes, place: str) -> bytes:
    """DER bytes of one PEM block; HP5303."""
    try:
        return pem_body(block)
    except ValueError:
        raise HpbuildError(codes.BAD_CERTIFICATE, place, "not base64 between the PEM lines") from None
