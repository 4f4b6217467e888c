"""Key files: PKCS#8 (RFC 5958) private keys and SubjectPublicKeyInfo public keys, both PEM (RFC 7468)."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from hpbuild.bundle.output import read_bounded, write_new
from hpbuild.codes import bundle as file_codes
from hpbuild.codes import sign as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import Algorithm, PrivateKey, PublicKey, algorithm_of, generate_private

MAX_KEY_FILE = 64 << 10
PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644
SEED_ONLY = " (an ML-DSA key is read in its seed form alone)"
"""Said of keys that cannot be read: OpenSSL writes ML-DSA keys in a longer form unless told otherwise."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM texts of a key pair."""

    private_pem: bytes = field(repr=False)
    public_pem: bytes


def generate(algorithm: Algorithm, passphrase: bytes | None) -> KeyPair:
    """A new key pair; the private key is encrypted when there is a ``passphrase``.

    Raises HP5005 (an empty one), HP5003 (the OpenSSL below cryptography does not know the algorithm).
    """
    if passphrase == b"":
        raise HpbuildError(codes.EMPTY_PASSPHRASE, "passphrase", "it has no characters")
    try:
        private = generate_private(algorithm)
    except UnsupportedAlgorithm as error:
        raise HpbuildError(codes.UNSUPPORTED_KEY, str(algorithm), str(error)) from None
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    pem = serialization.Encoding.PEM
    return KeyPair(
        private_pem=private.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption),
        public_pem=public_pem(private.public_key()),
    )


def public_pem(public: PublicKey) -> bytes:
    """PEM text of a public key."""
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def write_key_pair(stem: Path, pair: KeyPair) -> tuple[Path, Path]:
    """Write ``stem``.key (mode 0600) and ``stem``.pub; never overwrites (HP4807). Returns both paths."""
    private_path = stem.with_name(stem.name + ".key")
    public_path = stem.with_name(stem.name + ".pub")
    if public_path.exists():
        raise HpbuildError(file_codes.ALREADY_EXISTS, str(public_path), "the file exists")
    write_new(private_path, pair.private_pem, PRIVATE_MODE)
    try:
        write_new(public_path, pair.public_pem, PUBLIC_MODE)
    except BaseException:
        private_path.unlink(missing_ok=True)
        raise
    return private_path, public_path


def load_private(data: bytes, passphrase: bytes | None, place: str) -> PrivateKey:
    """Private key in the PEM text ``data``. An ML-DSA key is one with its seed (RFC 9881, section 6).

    Raises HP5001 (no such key), HP5003 (unsupported kind), HP5004 (encrypted, passphrase missing or wrong).
    """
    encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in data
    if encrypted and not passphrase:
        raise HpbuildError(codes.WRONG_PASSPHRASE, place, "the key is encrypted and no passphrase was given")
    try:
        key = serialization.load_pem_private_key(data, passphrase if encrypted else None)
    except TypeError:  # an old PEM encryption, which the marker above does not show
        raise HpbuildError(codes.BAD_KEY, place, "the key is not in PKCS#8 form") from None
    except ValueError:
        if encrypted:
            raise HpbuildError(
                codes.WRONG_PASSPHRASE,
                place,
                f"the passphrase does not open the key, or it is none{SEED_ONLY}",
            ) from None
        raise HpbuildError(codes.BAD_KEY, place, f"no private key in PEM form{SEED_ONLY}") from None
    except UnsupportedAlgorithm as error:
        raise HpbuildError(codes.UNSUPPORTED_KEY, place, str(error)) from None
    _check_supported(key, place)
    return cast(PrivateKey, key)


def load_public(data: bytes, place: str) -> PublicKey:
    """Public key in the PEM text ``data``.

    Raises HP5001 (no such key), HP5002 (it is a private key), HP5003 (unsupported kind).
    """
    if b"PRIVATE KEY-----" in data:
        raise HpbuildError(codes.PRIVATE_KEY_GIVEN, place, "the file holds a private key")
    if data.count(b"-----BEGIN ") > 1:  # whoever reads only the first would trust another key than is meant
        raise HpbuildError(codes.BAD_KEY, place, "more than one PEM block in one file")
    return _load_public(serialization.load_pem_public_key, data, place, "PEM")


def load_public_der(data: bytes, place: str) -> PublicKey:
    """Public key in ``data``, a SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7).

    Raises HP5001 (no such key), HP5003 (unsupported kind).
    """
    return _load_public(serialization.load_der_public_key, data, place, "DER")


def _load_public(load: Callable[[bytes], object], data: bytes, place: str, form: str) -> PublicKey:
    try:
        key = load(data)
    except ValueError:
        raise HpbuildError(codes.BAD_KEY, place, f"no public key in {form} form") from None
    except UnsupportedAlgorithm as error:
        raise HpbuildError(codes.UNSUPPORTED_KEY, place, str(error)) from None
    _check_supported(key, place)
    return cast(PublicKey, key)


def _check_supported(key: object, place: str) -> None:
    if algorithm_of(key) is not None:
        return
    cause = f"a key of the kind {type(key).__name__}"
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        numbers = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key
        cause = f"an RSA key of {key.key_size} bits with the exponent {numbers.public_numbers().e}"
    elif isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        cause = f"a key on the curve {key.curve.name}"
    elif isinstance(key, ed25519.Ed25519PublicKey):
        cause = "an Ed25519 key of small order or in another than its one spelling: anybody can sign for it"
    raise HpbuildError(codes.UNSUPPORTED_KEY, place, cause)


def read_private(path: Path, passphrase: bytes | None) -> PrivateKey:
    """Private key in a file; raises HP48xx and what ``load_private`` raises."""
    return load_private(read_bounded(path, MAX_KEY_FILE), passphrase, str(path))


def read_public(path: Path) -> PublicKey:
    """Public key in a file; raises HP48xx and what ``load_public`` raises."""
    return load_public(read_bounded(path, MAX_KEY_FILE), str(path))
