"""One signature of an envelope as CMS SignedData (RFC 5652), for tools that know no DSSE.

CMS without signed attributes signs the content itself (section 5.4). The content here is what DSSE signs, the
pre-authentication encoding of the statement; so the bytes of the signature stay as they are and no key is
needed. Time stamps go along as the unsigned attribute of RFC 3161, appendix A.
"""

from collections.abc import Sequence

from cryptography import x509

from hpbuild.codes import certificates as codes
from hpbuild.errors import HpbuildError
from hpbuild.sign import asn1
from hpbuild.sign.algorithms import Algorithm, algorithm_of, verify
from hpbuild.sign.certificates import Certificate, certificate_key
from hpbuild.sign.timestamps import read_token

PLACE = "export"
TIMESTAMP_TOKEN = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.14")
_ALGORITHMS: dict[Algorithm, tuple[x509.ObjectIdentifier, str]] = {
    Algorithm.ED25519: (asn1.SHA512, "1.3.101.112"),
    Algorithm.ECDSA_P256: (asn1.SHA256, "1.2.840.10045.4.3.2"),
    Algorithm.ECDSA_P384: (asn1.SHA384, "1.2.840.10045.4.3.3"),
    Algorithm.RSA_PSS: (asn1.SHA256, "1.2.840.113549.1.1.10"),
    Algorithm.ML_DSA_65: (asn1.SHA512, "2.16.840.1.101.3.4.3.18"),
    Algorithm.ML_DSA_87: (asn1.SHA512, "2.16.840.1.101.3.4.3.19"),
}
"""Digest and signature algorithm: RFC 8419 (Ed25519), 5753 (ECDSA), 4056 (RSA-PSS), 9882 (ML-DSA)."""
_PSS_SALT = 32


def export_cms(
    signature: bytes,
    message: bytes,
    certificates: Sequence[Certificate],
    timestamps: Sequence[bytes] = (),
    *,
    detached: bool = False,
) -> bytes:
    """DER bytes of a SignedData with ``signature`` over ``message`` by the first of ``certificates``.

    ``message`` is the pre-authentication encoding; it is left out when ``detached``. ``timestamps`` are
    TimeStampResp values. Raises HP5503 without a certificate, HP5504 when the signature is not by its key,
    HP5304 for another kind of key, HP54xx for a time stamp that cannot be read.
    """
    if not certificates:
        raise HpbuildError(codes.CERTIFICATE_NEEDED, PLACE, "no certificate is carried or was given")
    signer = certificates[0]
    algorithm = check_certificate(signer, message, signature)
    digest, oid = _ALGORITHMS[algorithm]
    info = asn1.SignerInfo(
        version=1,
        sid=asn1.IssuerAndSerial(issuer=asn1.element(signer.raw.issuer.public_bytes()), serial=signer.serial),
        digest_algorithm=asn1.Algorithm(algorithm=digest),
        signature_algorithm=asn1.SignatureAlgorithm(
            algorithm=x509.ObjectIdentifier(oid),
            parameters=_pss() if algorithm is Algorithm.RSA_PSS else None,
        ),
        signature=signature,
        unsigned_attributes=_unsigned(timestamps),
    )
    data = asn1.SignedData(
        version=1,
        digest_algorithms=asn1.set_of([asn1.Algorithm(algorithm=digest)]),
        content=asn1.EncapsulatedContent(content_type=asn1.DATA, content=None if detached else message),
        certificates=[asn1.element(der) for der in sorted({item.der for item in certificates})],
        signers=asn1.set_of([info]),
    )
    return asn1.encode(asn1.ContentInfo(content_type=asn1.SIGNED_DATA, content=data))


def check_certificate(certificate: Certificate, message: bytes, signature: bytes) -> Algorithm:
    """The algorithm of ``signature`` over ``message`` by the key of ``certificate``; HP5504, HP5304."""
    key = certificate_key(certificate)
    algorithm = algorithm_of(key)
    if algorithm is None or not verify(key, message, signature):
        raise HpbuildError(codes.CERTIFICATE_OF_OTHER_KEY, PLACE, f"certificate {certificate.subject[:200]}")
    return algorithm


def _pss() -> asn1.PssParameters:
    """SHA-256, MGF1 with SHA-256, 32 bytes of salt (RFC 4055, section 3.1)."""
    digest = asn1.Algorithm(algorithm=asn1.SHA256, parameters=asn1.NULL)
    mask = asn1.MaskGeneration(algorithm=asn1.MGF1, parameters=digest)
    return asn1.PssParameters(hash=digest, mask=mask, salt=_PSS_SALT)


def _unsigned(timestamps: Sequence[bytes]) -> list[asn1.Element] | None:
    """The time stamps as one attribute with a set of tokens."""
    if not timestamps:
        return None
    values = asn1.set_of([asn1.element(read_token(item).der) for item in timestamps])
    return [asn1.element(asn1.encode(asn1.Attribute(type=TIMESTAMP_TOKEN, values=values)))]
