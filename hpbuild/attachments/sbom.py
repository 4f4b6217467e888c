"""Inventory of the patched files: CycloneDX 1.6 (ECMA-424), with the patch in each component's pedigree.

A component is a module as it is with the package applied: the fixed build's code. Its ancestor is the
baseline, and the patch is of the type ``monkey``, CycloneDX's word for one at run time.
"""

from hpbuild.attachments.record import Record, is_library
from hpbuild.manifest.model import Manifest, Module, Pin
from hpbuild.manifest.strict_json import JsonValue
from hpbuild.values import Digest

FORMAT = "CycloneDX"
VERSION = "1.6"
MODULE_REF = "module:"
BASELINE_REF = "baseline:"
PATCH_TYPE = "monkey"
NAMESPACE = "urn:hpbuild:attachments:1"
"""URL of the namespace of the documents' UUIDs (RFC 9562, version 5)."""


def document_urn(record: Record, kind: str) -> str:
    """UUID of the attachment ``kind`` as a URN: it follows from the manifest, which names everything else."""
    import uuid  # with what it asks the machine for; readers need the constants alone

    namespace = uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE)
    return uuid.uuid5(namespace, f"{kind}:{Digest.of(record.manifest_bytes).hex}").urn


def sbom(record: Record) -> dict[str, JsonValue]:
    """The document as plain JSON values."""
    manifest = record.manifest
    name, _, version = manifest.tool.partition(" ")
    metadata: dict[str, JsonValue] = {
        "tools": {"components": [{"type": "application", "name": name, "version": version}]},
        "component": _package(manifest),
    }
    if manifest.created:
        metadata["timestamp"] = manifest.created
    return {
        "bomFormat": FORMAT,
        "specVersion": VERSION,
        "serialNumber": document_urn(record, "sbom"),
        "version": 1,
        "metadata": metadata,
        "components": [_component(module, manifest) for module in manifest.modules],
    }


def _package(manifest: Manifest) -> JsonValue:
    return {
        "type": "application",
        "bom-ref": f"package:{manifest.id}",
        "name": manifest.id,
        "version": str(manifest.sequence),
        "description": "Hotpatch package; the version is its sequence number in the product line.",
        "properties": _properties((("product", manifest.product),)),
    }


def _component(module: Module, manifest: Manifest) -> JsonValue:
    patch: dict[str, JsonValue] = {"type": PATCH_TYPE}
    if manifest.advisories:
        patch["resolves"] = [{"type": "security", "id": advisory} for advisory in manifest.advisories]
    facts = [
        ("path", module.path),
        ("patch-image", module.image.member),
        ("patch-image-sha256", module.image.sha256.hex),
        *(("only", entry) for entry in module.only),
    ]
    notes = "The fixed build's code on the baseline's file, written by the hotpatch package."
    if module.only:
        notes += " Limited to the functions that the properties list."
    return {
        **_file(module, module.fixed, MODULE_REF),
        "pedigree": {
            "ancestors": [_file(module, module.baseline, BASELINE_REF)],
            "patches": [patch],
            "notes": notes,
        },
        "properties": _properties(tuple(facts)),
    }


def _file(module: Module, pin: Pin, prefix: str) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {
        "type": "library" if is_library(module.path) else "application",
        "bom-ref": f"{prefix}{module.path}",
        "name": module.path.rpartition("/")[2],
        "hashes": [{"alg": "SHA-256", "content": pin.sha256.hex}],
    }
    return {**found, "version": pin.version} if pin.version else found


def _properties(facts: tuple[tuple[str, str], ...]) -> JsonValue:
    return [{"name": f"hpbuild:{name}", "value": value} for name, value in facts]
