"""The signature algorithms: which key signs how. Nothing else in hpbuild touches a signature's bytes.

Ed25519 is RFC 8032 (the pure form). ECDSA is FIPS 186-5 with DER signatures (RFC 3279, section 2.2.3) and
nonces by RFC 6979, P-256 with SHA-256 and P-384 with SHA-384; so signing the same bytes twice gives the
same signature. RSA-PSS is RFC 8017, section 8.1, with SHA-256, MGF1 with SHA-256 and 32 bytes of salt.
ML-DSA is FIPS 204, the pure form with an empty context, hedged.
"""

import hashlib
from enum import StrEnum
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

PrivateKey: TypeAlias = (
    ed25519.Ed25519PrivateKey
    | ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)
PublicKey: TypeAlias = (
    ed25519.Ed25519PublicKey
    | ec.EllipticCurvePublicKey
    | rsa.RSAPublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)


class Algorithm(StrEnum):
    """Name of a kind of key; it settles the signature algorithm."""

    ED25519 = "ed25519"
    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    RSA_PSS = "rsa-pss"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"

    @property
    def post_quantum(self) -> bool:
        """True when no known quantum algorithm breaks it."""
        return self in (Algorithm.ML_DSA_65, Algorithm.ML_DSA_87)

    @property
    def hash(self) -> str:
        """What a tool that signs digests has to be given, in hashlib's name; '' for the algorithms that take
        the message itself."""
        return _HASHES.get(self, "")


RSA_BITS = range(3072, 8192 + 1)
"""Lengths of an RSA modulus. Below is too weak for the years that a package may be kept; above, one signature
costs every verifier more than it gains."""
RSA_EXPONENTS = range(65537, 1 << 64, 2)
"""Odd, and large enough that a mistake in the padding check is no forgery (as with 3)."""
RSA_GENERATED_BITS = 3072
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)

_HASHES = {Algorithm.ECDSA_P256: "sha256", Algorithm.ECDSA_P384: "sha384", Algorithm.RSA_PSS: "sha256"}
_CURVES: dict[str, Algorithm] = {"secp256r1": Algorithm.ECDSA_P256, "secp384r1": Algorithm.ECDSA_P384}

EDWARDS_PRIME = 2**255 - 19
SMALL_ORDER_Y = (
    0,
    1,
    EDWARDS_PRIME - 1,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    EDWARDS_PRIME - 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
)
"""The y of the eight points of edwards25519 (RFC 8032, section 5.1) whose order divides 8."""


def generate_private(algorithm: Algorithm) -> PrivateKey:
    """A new private key from the operating system's random numbers."""
    match algorithm:
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case Algorithm.ECDSA_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.ECDSA_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case Algorithm.RSA_PSS:
            return rsa.generate_private_key(65537, RSA_GENERATED_BITS)
        case Algorithm.ML_DSA_65:
            return mldsa.MLDSA65PrivateKey.generate()
        case Algorithm.ML_DSA_87:
            return mldsa.MLDSA87PrivateKey.generate()


def algorithm_of(key: object) -> Algorithm | None:
    """Algorithm of a private or public key; None when hpbuild does not use that kind, or not that weak:
    other curves, RSA outside ``RSA_BITS`` and ``RSA_EXPONENTS``, Ed25519 points of small order."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Algorithm.ED25519
    if isinstance(key, ed25519.Ed25519PublicKey):
        return Algorithm.ED25519 if _sound_point(key.public_bytes_raw()) else None
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name)
    if isinstance(key, rsa.RSAPrivateKey):
        key = key.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        sound = key.key_size in RSA_BITS and key.public_numbers().e in RSA_EXPONENTS
        return Algorithm.RSA_PSS if sound else None
    if isinstance(key, mldsa.MLDSA65PrivateKey | mldsa.MLDSA65PublicKey):
        return Algorithm.ML_DSA_65
    if isinstance(key, mldsa.MLDSA87PrivateKey | mldsa.MLDSA87PublicKey):
        return Algorithm.ML_DSA_87
    return None


def sign(private: PrivateKey, message: bytes) -> bytes:
    """Signature over ``message``: 64 bytes for Ed25519, DER for ECDSA, as long as the modulus for RSA-PSS,
    3309 and 4627 bytes for ML-DSA-65 and -87."""
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(message, ec.ECDSA(_hash(private.curve), deterministic_signing=True))
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(message, PSS, hashes.SHA256())
    return private.sign(message)


def verify(public: PublicKey, message: bytes, signature: bytes) -> bool:
    """True when ``signature`` is a valid signature over ``message`` by ``public``. Never raises, whatever the
    bytes; False with a key that ``algorithm_of`` does not know."""
    if algorithm_of(public) is None:
        return False
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            if not _is_der(signature):
                return False
            public.verify(signature, message, ec.ECDSA(_hash(public.curve)))
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, message, PSS, hashes.SHA256())
        else:
            public.verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def spki(public: PublicKey) -> bytes:
    """SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7) in its one form: points uncompressed on a named
    curve, RSA under rsaEncryption, however the key was written where it came from."""
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki_sha256(public: PublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo as 64 hexadecimal digits: the identity of a key."""
    return hashlib.sha256(spki(public)).hexdigest()


def _is_der(signature: bytes) -> bool:
    """The signature is the only DER spelling of its two numbers: no other length forms, nothing behind."""
    try:
        return encode_dss_signature(*decode_dss_signature(signature)) == signature
    except ValueError:
        return False


def _sound_point(raw: bytes) -> bool:
    """The encoded point is canonical and not of small order: a key of small order verifies signatures that
    anybody can make, over any message."""
    y = int.from_bytes(raw, "little") & (1 << 255) - 1
    return y < EDWARDS_PRIME and y not in SMALL_ORDER_Y


def _hash(curve: ec.EllipticCurve) -> hashes.SHA256 | hashes.SHA384:
    return hashes.SHA384() if _CURVES[curve.name] is Algorithm.ECDSA_P384 else hashes.SHA256()
