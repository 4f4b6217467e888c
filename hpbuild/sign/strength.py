"""Which keys and signatures count in a chain of certificates.

Wider than ``algorithms``: an authority may have keys that hpbuild itself does not sign with. Against NIST
SP 800-57 part 1, table 2: nothing below 112 bits.
"""

from typing import Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
MIN_RSA_EXPONENT = 65537
MAX_RSA_EXPONENT_BITS = 64
"""Larger ones only cost time. (An even one is no key to begin with.)"""
STRONG_HASHES = ("sha256", "sha384", "sha512")
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_WITHOUT_HASH = (
    "1.3.101.112",
    "2.16.840.1.101.3.4.3.17",
    "2.16.840.1.101.3.4.3.18",
    "2.16.840.1.101.3.4.3.19",
)
"""Ed25519 (RFC 8410) and ML-DSA-44, -65, -87 (RFC 9881)."""
_WITH_HASH = frozenset(
    item.dotted_string
    for item in (
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    )
)


class Signed(Protocol):
    """A certificate or a revocation list."""

    @property
    def signature_algorithm_oid(self) -> x509.ObjectIdentifier:
        """The algorithm."""

    @property
    def signature_hash_algorithm(self) -> hashes.HashAlgorithm | None:
        """Its hash."""


def strong_signature(item: Signed) -> bool:
    """True when ``item`` is signed with an algorithm that counts; the signature itself is not checked."""
    oid = item.signature_algorithm_oid.dotted_string
    if oid in _WITHOUT_HASH:
        return True
    try:
        algorithm = item.signature_hash_algorithm
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return oid in _WITH_HASH and algorithm is not None and algorithm.name in STRONG_HASHES


def weakness(key: object) -> str:
    """Why a public key does not count in a chain; '' when it does."""
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return f"an RSA key of {key.key_size} bits"
        if exponent < MIN_RSA_EXPONENT or exponent.bit_length() > MAX_RSA_EXPONENT_BITS:
            return "an RSA key with an unusual public exponent"
        return ""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "" if key.curve.name in _CURVES else f"a key on the curve {key.curve.name}"
    strong = (
        ed25519.Ed25519PublicKey, mldsa.MLDSA44PublicKey, mldsa.MLDSA65PublicKey, mldsa.MLDSA87PublicKey
    )  # fmt: skip
    return "" if isinstance(key, strong) else f"a key of the kind {type(key).__name__}"
