"""Exploitability of the advisories: OpenVEX 0.2.0 (https://github.com/openvex/spec).

What is ``fixed`` is the fixed build, known by its digest, and the baseline *with this package applied*. The
latter is an identifier of its own and carries no digest: the baseline's file stays as vulnerable as it was,
and a scanner that finds its digest must not be told otherwise.
"""

from hpbuild.attachments.record import Record, file_urn, patched_urn
from hpbuild.attachments.sbom import document_urn
from hpbuild.manifest.model import Manifest
from hpbuild.manifest.strict_json import JsonValue

CONTEXT = "https://openvex.dev/ns/v0.2.0"
STATUS = "fixed"


def products(manifest: Manifest) -> dict[str, str]:
    """The products of every statement: identifier -> SHA-256 in hexadecimal, '' where there is none."""
    found = {patched_urn(manifest, module.baseline.sha256): "" for module in manifest.modules}
    return {**found, **{file_urn(item.fixed.sha256): item.fixed.sha256.hex for item in manifest.modules}}


def vex(record: Record) -> dict[str, JsonValue]:
    """The document as plain JSON values, one statement for each advisory. The manifest does not say which
    module an advisory is about, so every statement names them all."""
    manifest = record.manifest
    items: list[JsonValue] = [
        {"@id": name, "hashes": {"sha-256": digest}} if digest else {"@id": name}
        for name, digest in products(manifest).items()
    ]
    return {
        "@context": CONTEXT,
        "@id": document_urn(record, "vex"),
        "author": f"the signers of the hotpatch package {manifest.id}",
        "timestamp": record.time,
        "version": 1,
        "tooling": manifest.tool,
        "statements": [
            {
                "vulnerability": {"name": advisory},
                "products": items,
                "status": STATUS,
                "status_notes": f"Fixed where the package {manifest.id} is applied, and in the fixed build.",
            }
            for advisory in manifest.advisories
        ],
    }
