"""The form of a DSSE envelope (Dead Simple Signing Envelope, protocol v1.0.2): reading it checks nothing.

Without anything of cryptography, for those who only look at what an envelope says.
"""

from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.codes import sign as codes
from hpbuild.dataclass import dataclass
from hpbuild.manifest.readers import Node, root
from hpbuild.manifest.strict_json import JsonLimits, canonical, parse_canonical
from hpbuild.sign.base64_forms import read_base64

DOCUMENT = "signatures.dsse.json"
MAX_SIGNATURES = 64
MAX_SIGNATURE = 16 << 10
"""Bytes of one signature; ML-DSA-87, the largest kind, has 4,627."""
MAX_PAYLOAD = 4 << 20
LIMITS = JsonLimits(size=8 << 20, depth=8, values=10_000, text=6 << 20)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature. ``keyid`` is a hint. ``extension`` holds certificates and time stamps: the canonical
    JSON of whatever was there, kept as it is (``sign/extension.py`` reads it); b'' when there was none."""

    keyid: str
    sig: bytes
    extension: bytes = b""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Payload with its type and signatures."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]


def decode_envelope(data: bytes, document: str = DOCUMENT) -> Envelope:
    """The envelope in ``data``; refuses with HP40xx, HP5201, HP5202 and HP5206."""
    fields = root(parse_canonical(data, document, LIMITS), document).fields(
        {"payload", "payloadType", "signatures"}
    )
    if (found := fields["payloadType"].text(200)) != PAYLOAD_TYPE:
        raise fields["payloadType"].error(codes.WRONG_PAYLOAD_TYPE, f"{found!r}, {PAYLOAD_TYPE!r} is needed")
    items = fields["signatures"].items()
    if not items:
        raise fields["signatures"].error(
            codes.BAD_ENVELOPE, "no signature; an unsigned bundle has no envelope"
        )
    if len(items) > MAX_SIGNATURES:
        raise fields["signatures"].error(
            codes.TOO_MANY_SIGNATURES, f"{len(items)} signatures, at most {MAX_SIGNATURES} are checked"
        )
    return Envelope(found, _bytes(fields["payload"], MAX_PAYLOAD), tuple(_signature(item) for item in items))


def _signature(node: Node) -> Signature:
    fields = node.fields({"keyid", "sig"}, {"extension"})
    extension = canonical(fields["extension"].value, DOCUMENT) if "extension" in fields else b""
    return Signature(fields["keyid"].text(200), _bytes(fields["sig"], MAX_SIGNATURE), extension)


def _bytes(node: Node, limit: int) -> bytes:
    return read_base64(node, 4 * (limit // 3 + 1), codes.BAD_ENVELOPE)
