"""The signature algorithms: which key signs how. Nothing else in hpbuild touches a signature's bytes.

Ed25519 is RFC 8032. ECDSA is FIPS 186-5 with DER signatures (RFC 3279) and nonces by RFC 6979, P-256 with
SHA-256 and P-384 with SHA-384; so signing the same bytes twice gives the same signature.
"""

import hashlib
from enum import StrEnum
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

PrivateKey: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


class Algorithm(StrEnum):
    """Name of a kind of key; it settles the signature algorithm."""

    ED25519 = "ed25519"
    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"


_CURVES: dict[str, Algorithm] = {"secp256r1": Algorithm.ECDSA_P256, "secp384r1": Algorithm.ECDSA_P384}


def generate_private(algorithm: Algorithm) -> PrivateKey:
    """A new private key from the operating system's random numbers."""
    if algorithm is Algorithm.ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if algorithm is Algorithm.ECDSA_P256 else ec.SECP384R1())


def algorithm_of(key: object) -> Algorithm | None:
    """Algorithm of a private or public key; None when hpbuild does not use that kind."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return Algorithm.ED25519
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name)
    return None


def sign(private: PrivateKey, message: bytes) -> bytes:
    """Signature over ``message``: 64 bytes for Ed25519, DER for ECDSA."""
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(message)
    return private.sign(message, ec.ECDSA(_hash(private.curve), deterministic_signing=True))


def verify(public: PublicKey, message: bytes, signature: bytes) -> bool:
    """True when ``signature`` is a valid signature over ``message`` by ``public``."""
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, message)
        else:
            public.verify(signature, message, ec.ECDSA(_hash(public.curve)))
    except InvalidSignature:
        return False
    return True


def spki(public: PublicKey) -> bytes:
    """SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7), points uncompressed."""
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki_sha256(public: PublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo as 64 hexadecimal digits: the identity of a key."""
    return hashlib.sha256(spki(public)).hexdigest()


def _hash(curve: ec.EllipticCurve) -> hashes.SHA256 | hashes.SHA384:
    return hashes.SHA384() if _CURVES[curve.name] is Algorithm.ECDSA_P384 else hashes.SHA256()
