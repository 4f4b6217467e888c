"""Signers by URI. Today a signer is a key file; the protocol is all that the rest of hpbuild knows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hpbuild.bundle.output import read_bounded
from hpbuild.codes import sign as codes
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
class FileSigner:
    """Signs with a private key held in memory."""

    private: algorithms.PrivateKey

    @property
    def public(self) -> algorithms.PublicKey:
        """The public half."""
        return self.private.public_key()

    def sign(self, message: bytes) -> bytes:
        """Signature over ``message``."""
        return algorithms.sign(self.private, message)


def signer_from_uri(uri: str, passphrase: Passphrase) -> Signer:
    """The signer that ``uri`` names: ``file:PATH``, the path as the shell knows it, relative or absolute.

    ``passphrase`` is asked only when the key is encrypted. Raises HP5101, HP5102, HP48xx and HP500x.
    """
    scheme, separator, rest = uri.partition(":")
    if not separator or not rest or not scheme.isalnum():
        raise HpbuildError(codes.BAD_URI, uri[:200], "a key is named like file:release.key")
    if scheme != "file":
        raise HpbuildError(codes.UNSUPPORTED_SCHEME, uri[:200], f"the scheme {scheme!r} is not supported")
    if rest.startswith("//") and not rest.startswith("///"):
        raise HpbuildError(codes.BAD_URI, uri[:200], "a file URI names no other host; write file:PATH")
    path = Path(rest.removeprefix("//"))
    data = read_bounded(path, MAX_KEY_FILE)
    secret = passphrase(str(path)) if b"BEGIN ENCRYPTED" in data else None
    return FileSigner(load_private(data, secret, str(path)))
