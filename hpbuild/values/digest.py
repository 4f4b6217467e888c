"""Message digests with their algorithm."""

import sys

from hpbuild.dataclass import dataclass

SIZE = 32
"""Bytes of a SHA-256 digest."""
SMALL = 1 << 16
"""Bytes from which on OpenSSL, which is quicker, is worth the milliseconds that it takes to be loaded."""


@dataclass(frozen=True, slots=True)
class Digest:
    """SHA-256 digest, 32 bytes. The only digest hpbuild trusts, so it carries no algorithm field."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != SIZE:
            raise ValueError(f"a SHA-256 digest has 32 bytes, not {len(self.raw)}")

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> "Digest":
        """Digest of ``data``."""
        if len(data) < SMALL and "hashlib" not in sys.modules:
            return cls(_small(data))
        import hashlib

        return cls(hashlib.sha256(data).digest())

    @classmethod
    def from_hex(cls, text: str) -> "Digest":
        """Digest from exactly 64 lower-case hexadecimal digits; ValueError otherwise."""
        if len(text) != 64 or set(text) - set("0123456789abcdef"):
            raise ValueError("a SHA-256 digest is written as 64 lower-case hexadecimal digits")
        return cls(bytes.fromhex(text))

    @property
    def hex(self) -> str:
        """64 lower-case hexadecimal digits."""
        return self.raw.hex()


def _small(data: bytes | bytearray | memoryview) -> bytes:
    """The digest of a few bytes by Python's own code, where this Python has it."""
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256
    raw: bytes = sha256(data).digest()
    return raw
