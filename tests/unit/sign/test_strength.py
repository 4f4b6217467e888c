import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa

from hpbuild.sign.strength import weakness


def rsa_key(bits: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    """A modulus of this many bits; weakness() asks for no factors."""
    return rsa.RSAPublicNumbers(exponent, (1 << bits) - 1).public_key()


@pytest.mark.parametrize(
    "key",
    [
        rsa_key(2048),
        rsa_key(8192),
        rsa_key(3072, (1 << 32) + 1),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        mldsa.MLDSA44PrivateKey.generate().public_key(),
    ],
)
def test_strong(key: object) -> None:
    assert weakness(key) == ""


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (rsa_key(2047), "2047 bits"),
        (rsa_key(8193), "8193 bits"),
        (rsa_key(2048, 3), "exponent"),
        (rsa_key(2048, (1 << 80) + 1), "exponent"),
        (ec.generate_private_key(ec.SECP224R1()).public_key(), "secp224r1"),
        (ed448.Ed448PrivateKey.generate().public_key(), "Ed448"),
        (dsa.generate_parameters(1024).generate_private_key().public_key(), "DSA"),
        (None, "NoneType"),
    ],
)
def test_weak(key: object, why: str) -> None:
    assert why in weakness(key)
