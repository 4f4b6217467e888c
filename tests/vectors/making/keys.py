"""The keys of the suite. They are public: everybody may sign with them, nobody may trust them."""

from functools import cache

from hpbuild.sign.algorithms import Algorithm, PrivateKey, sign, spki_sha256
from hpbuild.sign.keys import generate, load_private
from tests.vectors.case import FILES

KEYS = FILES / "keys"
NAMES: dict[str, Algorithm] = {
    "release": Algorithm.ED25519,
    "security": Algorithm.ED25519,
    "stranger": Algorithm.ED25519,
    "p256": Algorithm.ECDSA_P256,
    "p384": Algorithm.ECDSA_P384,
    "rsa": Algorithm.RSA_PSS,
    "mldsa65": Algorithm.ML_DSA_65,
    "mldsa87": Algorithm.ML_DSA_87,
    "holder": Algorithm.ECDSA_P256,
}
"""By name. ``release`` signs, and the usual policy trusts it; ``stranger`` is in no policy; ``holder`` is the
key of the certificates."""


@cache
def private(name: str) -> PrivateKey:
    """The private key ``name``; made when it is not there yet."""
    path = KEYS / f"{name}.key.pem"
    if not path.exists():
        KEYS.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generate(NAMES[name], None).private_pem)
    return load_private(path.read_bytes(), None, name)


def signature(name: str, message: bytes) -> bytes:
    """The right signature of that key."""
    return sign(private(name), message)


def identity(name: str) -> str:
    """What votes are counted by."""
    return spki_sha256(private(name).public_key())
