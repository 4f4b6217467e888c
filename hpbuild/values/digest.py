"""Message digests with their algorithm."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Digest:
    """SHA-256 digest, 32 bytes. The only digest hpbuild trusts, so it carries no algorithm field."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != hashlib.sha256().digest_size:
            raise ValueError(f"a SHA-256 digest has 32 bytes, not {len(self.raw)}")

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> "Digest":
        """Digest of ``data``."""
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
