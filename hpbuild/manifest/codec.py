"""Manifest values to canonical JSON bytes and back.

The wire form is described by ``schemas/manifest-1.schema.json``: field names as in
``hpbuild.manifest.model``, intervals as ``{"rva","size"}``, digests and bytes in lower-case hexadecimal,
the 64-bit image base as a string, and the long lists (fixups, references, what is left out) flat.
"""

from hpbuild.codes import manifest as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest import model
from hpbuild.manifest.read_module import read_module
from hpbuild.manifest.readers import Node, root
from hpbuild.manifest.strict_json import DEFAULT_LIMITS, JsonLimits, JsonValue, canonical, parse_canonical
from hpbuild.manifest.text_fields import read_created, read_id, read_path, read_present, read_unique_texts
from hpbuild.manifest.write_module import write_module

DOCUMENT = "manifest.json"
_KEYS = frozenset(
    {"schema", "id", "product", "sequence", "advisories", "created", "tool", "modules", "unchanged"}
)
_OPTIONAL = frozenset({"left_out"})
"""Absent when empty, so that a manifest has one form."""
MAX_SEQUENCE = 2**32 - 1
"""IMAGE_HOT_PATCH_INFO.SequenceNumber is a DWORD and must not be 0 (winnt.h)."""
MAX_MODULES = 10_000


def encode(manifest: model.Manifest) -> bytes:
    """Canonical bytes (RFC 8785) of ``manifest``.

    Reads its own output back, so that nothing is written that ``decode`` would refuse; raises the error
    that ``decode`` would raise.
    """
    data = canonical(to_document(manifest), DOCUMENT)
    if decode(data) != manifest:
        raise HpbuildError(codes.UNENCODABLE, DOCUMENT, "a value changes when it is written and read back")
    return data


def decode(data: bytes, document: str = DOCUMENT, limits: JsonLimits = DEFAULT_LIMITS) -> model.Manifest:
    """The manifest in ``data``; refuses with HP40xx whatever is not exactly the canonical wire form."""
    return from_document(parse_canonical(data, document, limits), document)


def from_document(value: JsonValue, document: str = DOCUMENT) -> model.Manifest:
    """The manifest in ``value``, which ``parse_canonical`` gave. Raises as ``decode``."""
    return _read(root(value, document))


def to_document(manifest: model.Manifest) -> dict[str, JsonValue]:
    """The wire form as plain JSON values."""
    return {
        "schema": model.SCHEMA_ID,
        "id": manifest.id,
        "product": manifest.product,
        "sequence": manifest.sequence,
        "advisories": list(manifest.advisories),
        "created": manifest.created,
        "tool": manifest.tool,
        "modules": [write_module(module) for module in manifest.modules],
        "unchanged": list(manifest.unchanged),
        **({"left_out": list(manifest.left_out)} if manifest.left_out else {}),
    }


def _read(node: Node) -> model.Manifest:
    fields = node.fields(_KEYS, _OPTIONAL)
    if (schema := fields["schema"].text()) != model.SCHEMA_ID:
        raise fields["schema"].error(
            codes.UNKNOWN_SCHEMA, f"{schema[:80]!r}, this version reads {model.SCHEMA_ID}"
        )
    return model.Manifest(
        id=read_id(fields["id"]),
        product=fields["product"].text(200),
        sequence=fields["sequence"].integer(1, MAX_SEQUENCE),
        advisories=read_unique_texts(fields["advisories"]),
        created=read_created(fields["created"]),
        tool=fields["tool"].text(200),
        modules=tuple(read_module(item) for item in fields["modules"].items(MAX_MODULES)),
        unchanged=tuple(read_path(item) for item in fields["unchanged"].items(1_000_000)),
        left_out=read_present(fields.get("left_out"), read_path),
    )
