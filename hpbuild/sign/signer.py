"""Signers by URI: key files here, tokens and programs in modules of their own, loaded when they are named.
The protocol is all that the rest of hpbuild knows."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm

from hpbuild.bundle.output import read_bounded
from hpbuild.codes import sign as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.sign import algorithms
from hpbuild.sign.keys import MAX_KEY_FILE, load_private

Passphrase = Callable[[str], bytes | None]
"""Asked with the path of an encrypted key; None when the user has none to give."""


class Signer(Protocol):
    """Something that signs and says with which public key."""

    @property
    def public(self) -> algorithms.PublicKey:
        """The key that verifies this signer's signatures."""

    def sign(self, message: bytes) -> bytes:
        """Signature over ``message``; HpbuildError when the signer could not be reached."""


@dataclass(frozen=True, slots=True)
class Signing:
    """One signature to be made. ``chain`` are certificates in DER, the signer's first; ``timestamp`` gives
    a TimeStampResp (RFC 3161, section 2.4.2) over the signature's bytes, or raises HpbuildError."""

    signer: Signer
    chain: tuple[bytes, ...] = ()
    timestamp: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True, slots=True)
class FileSigner:
    """Signs with a private key held in memory."""

    private: algorithms.PrivateKey

    @property
    def public(self) -> algorithms.PublicKey:
        """The public half."""
        return self.private.public_key()

    def sign(self, message: bytes) -> bytes:
        """Signature over ``message``. HpbuildError HP5003 when cryptography's OpenSSL cannot make it."""
        try:
            return algorithms.sign(self.private, message)
        except UnsupportedAlgorithm as error:
            place = str(algorithms.algorithm_of(self.private))
            raise HpbuildError(codes.UNSUPPORTED_KEY, place, str(error)) from None


SCHEMES = ("file", "pkcs11", "exec")


def is_uri(text: str) -> bool:
    """True when ``text`` begins like one of the URIs that ``signer_from_uri`` knows."""
    return text.partition(":")[0] in SCHEMES and ":" in text


def signer_from_uri(uri: str, passphrase: Passphrase) -> Signer:
    """The signer that ``uri`` names: ``file:PATH``, the path as the shell knows it, relative or absolute;
    ``pkcs11:`` (see ``pkcs11_uri``); ``exec:PROGRAM?key=PUBLIC`` (see ``exec_signer``).

    ``passphrase`` is asked only when the key is encrypted or its token wants a PIN. Raises HP51xx, HP48xx and
    HP500x.
    """
    scheme, separator, rest = uri.partition(":")
    if not separator or not rest or not scheme.isalnum():
        raise HpbuildError(codes.BAD_URI, scheme[:200] or ":", "a key is named like file:release.key")
    match scheme:
        case "file":
            return _file_signer(uri, rest, passphrase)
        case "pkcs11":
            from hpbuild.sign.pkcs11_signer import token_signer

            return token_signer(uri, passphrase)
        case "exec":
            from hpbuild.sign.exec_signer import exec_signer

            return exec_signer(uri)
    raise HpbuildError(
        codes.UNSUPPORTED_SCHEME, f"{scheme[:200]}:", f"the scheme {scheme[:200]!r} is not known"
    )


def _file_signer(uri: str, rest: str, passphrase: Passphrase) -> FileSigner:
    if rest.startswith("//") and not rest.startswith("///"):
        raise HpbuildError(codes.BAD_URI, uri[:200], "a file URI names no other host; write file:PATH")
    path = Path(rest.removeprefix("//"))
    data = read_bounded(path, MAX_KEY_FILE)
    secret = passphrase(str(path)) if b"BEGIN ENCRYPTED" in data else None
    return FileSigner(load_private(data, secret, str(path)))
