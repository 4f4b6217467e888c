"""What a DSSE signature carries beside itself: a chain of certificates and RFC 3161 time stamps.

Form: the extension of one signature (DSSE protocol, "Signature Extensions") with hpbuild's own kind. Neither
certificates nor time stamps are signed by it; what they prove is judged by ``chains`` and ``timestamps``.
"""

import base64

from hpbuild.codes import certificates as codes
from hpbuild.dataclass import dataclass
from hpbuild.manifest.readers import Node, root
from hpbuild.manifest.strict_json import JsonLimits, JsonValue, canonical, parse_canonical
from hpbuild.sign.base64_forms import read_base64

KIND = "urn:hpbuild:dsse-extension:x509-timestamps:1"
MAX_CERTIFICATES = 8
MAX_CERTIFICATE = 16 << 10
"""Bytes of one certificate; one with an ML-DSA-87 key and signature has about 7.6 KiB."""
MAX_TIMESTAMPS = 4
MAX_TIMESTAMP = 64 << 10
LIMITS = JsonLimits(size=1 << 20, depth=4, values=100, text=128 << 10)


@dataclass(frozen=True, slots=True)
class Extension:
    """DER certificates, that of the signer first, and DER TimeStampResp values over the signature's bytes."""

    certificates: tuple[bytes, ...] = ()
    timestamps: tuple[bytes, ...] = ()


def encode_extension(extension: Extension) -> bytes:
    """Canonical JSON bytes, as ``hpbuild.sign.dsse.Signature.extension`` holds them.

    Raises what ``decode_extension`` would raise about them.
    """
    content: dict[str, JsonValue] = {
        "certificates": [base64.b64encode(item).decode() for item in extension.certificates],
        "timestamps": [base64.b64encode(item).decode() for item in extension.timestamps],
    }
    data = canonical({"kind": KIND, "ext": content}, "extension")
    decode_extension(data, "extension")
    return data


def decode_extension(data: bytes, place: str) -> Extension:
    """The extension in the canonical JSON ``data``; HP40xx, HP5301 (malformed), HP5302 (too large)."""
    fields = root(parse_canonical(data, place, LIMITS), place).fields({"kind", "ext"})
    if (kind := fields["kind"].text(200)) != KIND:
        raise fields["kind"].error(codes.BAD_EXTENSION, f"{kind!r}, {KIND!r} is needed")
    content = fields["ext"].fields({"certificates", "timestamps"})
    extension = Extension(
        _items(content["certificates"], MAX_CERTIFICATES, MAX_CERTIFICATE),
        _items(content["timestamps"], MAX_TIMESTAMPS, MAX_TIMESTAMP),
    )
    if extension == Extension():
        raise fields["ext"].error(codes.BAD_EXTENSION, "neither a certificate nor a time stamp")
    return extension


def _items(node: Node, count: int, size: int) -> tuple[bytes, ...]:
    if len(items := node.items()) > count:
        raise node.error(codes.EXTENSION_TOO_LARGE, f"{len(items)} entries, at most {count} are read")
    found = tuple(_bytes(item, size) for item in items)
    if len(set(found)) != len(found):
        raise node.error(codes.BAD_EXTENSION, "the same entry twice")
    return found


def _bytes(node: Node, limit: int) -> bytes:
    raw = read_base64(node, LIMITS.text, codes.BAD_EXTENSION)
    if len(raw) > limit:
        raise node.error(codes.EXTENSION_TOO_LARGE, f"{len(raw)} bytes, at most {limit} are read")
    return raw
