"""Key files: PKCS#8 (RFC 5958) private keys and SubjectPublicKeyInfo public keys, both PEM (RFC 7468)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from hpbuild.bundle.output import read_bounded, write_new
from hpbuild.codes import bundle as file_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import Algorithm, PrivateKey, PublicKey, algorithm_of, generate_private

MAX_KEY_FILE = 64 << 10
PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM texts of a key pair."""

    private_pem: bytes = field(repr=False)
    public_pem: bytes


def generate(algorithm: Algorithm, passphrase: bytes | None) -> KeyPair:
    """A new key pair; the private key is encrypted when there is a ``passphrase`` (HP5005: an empty one)."""
    if passphrase == b"":
        raise HpbuildError(codes.EMPTY_PASSPHRASE, "passphrase", "it has no characters")
    private = generate_private(algorithm)
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
    """Private key in the PEM text ``data``.

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
                codes.WRONG_PASSPHRASE, place, "the passphrase does not open the key"
            ) from None
        raise HpbuildError(codes.BAD_KEY, place, "no private key in PEM form") from None
    except UnsupportedAlgorithm as error:
        raise HpbuildError(codes.UNSUPPORTED_KEY, place, str(error)) from None
    if algorithm_of(key) is None:
        raise HpbuildError(codes.UNSUPPORTED_KEY, place, f"a key of the kind {type(key).__name__}")
    return cast(PrivateKey, key)


def load_public(data: bytes, place: str) -> PublicKey:
    """Public key in the PEM text ``data``.

    Raises HP5001 (no such key), HP5002 (it is a private key), HP5003 (unsupported kind).
    """
    if b"PRIVATE KEY-----" in data:
        raise HpbuildError(codes.PRIVATE_KEY_GIVEN, place, "the file holds a private key")
    try:
        key = serialization.load_pem_public_key(data)
    except ValueError:
        raise HpbuildError(codes.BAD_KEY, place, "no public key in PEM form") from None
    except UnsupportedAlgorithm as error:
        raise HpbuildError(codes.UNSUPPORTED_KEY, place, str(error)) from None
    if algorithm_of(key) is None:
        raise HpbuildError(codes.UNSUPPORTED_KEY, place, f"a key of the kind {type(key).__name__}")
    return cast(PublicKey, key)


def read_private(path: Path, passphrase: bytes | None) -> PrivateKey:
    """Private key in a file; raises HP48xx and what ``load_private`` raises."""
    return load_private(read_bounded(path, MAX_KEY_FILE), passphrase, str(path))


def read_public(path: Path) -> PublicKey:
    """Public key in a file; raises HP48xx and what ``load_public`` raises."""
    return load_public(read_bounded(path, MAX_KEY_FILE), str(path))
