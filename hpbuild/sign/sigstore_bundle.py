"""One signature of an envelope as a Sigstore bundle of version 0.3 (``sigstore_bundle.proto``).

A bundle holds a DSSE envelope with one signature, what names its key, and its time stamps. It has no entry of
a transparency log: readers that insist on one will not accept it, those that take time stamps will.
"""

import base64
import json

from hpbuild.sign.dsse import Signature
from hpbuild.sign.extension import Extension

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def export_sigstore(payload_type: str, payload: bytes, signature: Signature, extension: Extension) -> bytes:
    """The bundle as JSON text with a final newline.

    The first certificate of ``extension`` names the key; without one the key id of ``signature`` is the hint.
    The format carries no other certificate: a verifier has the authorities itself.
    """
    if extension.certificates:
        named: dict[str, object] = {"certificate": {"rawBytes": _base64(extension.certificates[0])}}
    else:
        named = {"publicKey": {"hint": signature.keyid}}
    stamps = [{"signedTimestamp": _base64(item)} for item in extension.timestamps]
    document = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            **named,
            "tlogEntries": [],
            "timestampVerificationData": {"rfc3161Timestamps": stamps},
        },
        "dsseEnvelope": {
            "payload": _base64(payload),
            "payloadType": payload_type,
            "signatures": [{"sig": _base64(signature.sig), "keyid": signature.keyid}],
        },
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
