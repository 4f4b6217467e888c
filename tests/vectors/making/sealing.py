"""Statements, envelopes and files, written without the checks that hpbuild makes when it writes them."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rfc8785

from hpbuild.bundle.layout import ENVELOPE, STATEMENT
from hpbuild.bundle.statement import PAYLOAD_TYPE, PREDICATE_TYPE, STATEMENT_TYPE
from hpbuild.bundle.writer import write_bundle
from hpbuild.bundle.zip_profile import Entry, crc32, directory, local_header
from hpbuild.sign.dsse import pae
from hpbuild.sign.extension import KIND
from tests.vectors.making.keys import identity, signature

Document = dict[str, Any]


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes."""
    data: bytes = rfc8785.dumps(value)
    return data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def predicate_of(manifest: Document) -> Document:
    """The predicate that agrees with the manifest, a wire document."""
    same = {key: manifest[key] for key in ("id", "product", "sequence", "advisories", "tool")}
    pins = [{"path": item["path"], "sha256": item["baseline"]["sha256"]} for item in manifest["modules"]]
    return {**same, "supersedes": [], "expiry": "", "pins": pins}


def subjects_of(members: Mapping[str, bytes]) -> list[Document]:
    """The subjects that statement.json lists for ``members``."""
    return [{"name": name, "digest": {"sha256": sha256(members[name])}} for name in sorted(members)]


def statement_of(manifest: Document, members: Mapping[str, bytes], **predicate: Any) -> Document:
    """The statement over ``members`` with other entries in its predicate."""
    return {
        "_type": STATEMENT_TYPE,
        "predicateType": PREDICATE_TYPE,
        "subject": subjects_of(members),
        "predicate": {**predicate_of(manifest), **predicate},
    }


def vote(
    key: str,
    payload: bytes,
    *,
    keyid: str | None = None,
    extension: Document | None = None,
    kind: str = PAYLOAD_TYPE,
) -> Document:
    """A signature of the envelope, by the key of the suite with that name."""
    return as_signature(signature(key, pae(kind, payload)), keyid or identity(key), extension)


def as_signature(raw: bytes, keyid: str, extension: Document | None = None) -> Document:
    """An entry of the envelope for the bytes of a signature."""
    more = {} if extension is None else {"extension": extension}
    return {"keyid": keyid, "sig": base64.b64encode(raw).decode(), **more}


def extension(certificates: Sequence[bytes] = (), timestamps: Sequence[bytes] = ()) -> Document:
    """What belongs to one signature: DER certificates and time stamps."""
    content = {"certificates": certificates, "timestamps": timestamps}
    return {
        "kind": KIND,
        "ext": {key: [base64.b64encode(item).decode() for item in value] for key, value in content.items()},
    }


def envelope(payload: bytes, signatures: Sequence[Document], kind: str = PAYLOAD_TYPE) -> bytes:
    """The envelope, whatever is in it."""
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": kind,
            "signatures": list(signatures),
        }
    )


def sealed(
    members: Mapping[str, bytes], statement: bytes, signatures: Sequence[Document] | None = None
) -> bytes:
    """A file of ``members``, the statement and an envelope with ``signatures`` (default: by the key
    ``release``)."""
    given = [vote("release", statement)] if signatures is None else signatures
    return write_bundle({STATEMENT: statement, **members, ENVELOPE: envelope(statement, given)})


def zipped(members: Iterable[tuple[str, bytes]]) -> bytes:
    """A file of exactly these members in this order, with whatever names."""
    parts: list[bytes] = []
    entries: list[Entry] = []
    offset = 0
    for name, content in members:
        entry = Entry(name, crc32(content), len(content), offset)
        parts += (local_header(entry), content)
        entries.append(entry)
        offset += len(parts[-2]) + len(content)
    return b"".join((*parts, directory(tuple(entries), offset)))
