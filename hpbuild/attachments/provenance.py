"""Provenance: SLSA Provenance v1 (https://slsa.dev/spec/v1.0/provenance) in an in-toto Statement.

The builder's libraries and Python are not named by version. The same inputs give the same package on every
machine, whatever versions it has; what a version could change would show in ``rebuild --check``.
"""

from hpbuild.attachments.record import Record, inputs, subjects
from hpbuild.bundle.statement import STATEMENT_TYPE
from hpbuild.manifest.model import Module
from hpbuild.manifest.strict_json import JsonValue

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:hpbuild:build-type:hotpatch:1"
BUILDER_ID = "urn:hpbuild:builder:command-line:1"
"""hpbuild run by whoever signs the package: the signatures tell who that is, no build service does."""


def provenance(record: Record) -> dict[str, JsonValue]:
    """The document as plain JSON values."""
    manifest = record.manifest
    name, _, version = manifest.tool.partition(" ")
    run: dict[str, JsonValue] = {"builder": {"id": BUILDER_ID, "version": {name: version}}}
    if manifest.created:
        run["metadata"] = {"startedOn": manifest.created, "finishedOn": manifest.created}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": member, "digest": {"sha256": digest.hex}}
            for member, digest in subjects(manifest, record.manifest_bytes).items()
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "id": manifest.id,
                    "product": manifest.product,
                    "sequence": manifest.sequence,
                    "advisories": list(manifest.advisories),
                    "supersedes": list(record.supersedes),
                    "expiry": record.expiry,
                    "modules": [_module(record, module) for module in manifest.modules],
                },
                "resolvedDependencies": [
                    {"name": item, "digest": {"sha256": digest.hex}} for item, digest in inputs(manifest)
                ],
            },
            "runDetails": run,
        },
    }


def _module(record: Record, module: Module) -> JsonValue:
    return {
        "path": module.path,
        "only": list(module.only),
        "symbols": record.symbols.get(module.path, "none"),
    }
