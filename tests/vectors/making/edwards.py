"""Ed25519ph (RFC 8032, section 5.1), which no library here signs with: for a case that has to be refused.

Slow and not constant in time; the keys are public anyway.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, PRIME) % PRIME
Point = tuple[int, int]
BASE_Y = 4 * pow(5, -1, PRIME) % PRIME
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202


def sign_prehashed(private: Ed25519PrivateKey, message: bytes) -> bytes:
    """The Ed25519ph signature over ``message`` with an empty context."""
    start = hashlib.sha512(private.private_bytes_raw()).digest()
    secret = int.from_bytes(start[:32], "little") & (1 << 254) - 8 | 1 << 254
    domain = b"SigEd25519 no Ed25519 collisions\x01\x00"
    digest = hashlib.sha512(message).digest()
    public = private.public_key().public_bytes_raw()
    nonce = _number(domain + start[32:] + digest)
    commitment = _encoded(_times(nonce))
    challenge = _number(domain + commitment + public + digest)
    return commitment + ((nonce + challenge * secret) % ORDER).to_bytes(32, "little")


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % ORDER


def _add(left: Point, right: Point) -> Point:
    (x1, y1), (x2, y2) = left, right
    cross = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, PRIME)
    y = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, PRIME)
    return x % PRIME, y % PRIME


def _times(factor: int) -> Point:
    result, step = (0, 1), (BASE_X, BASE_Y)
    while factor:
        if factor & 1:
            result = _add(result, step)
        step = _add(step, step)
        factor >>= 1
    return result


def _encoded(point: Point) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")
