"""All attachments of a package as bytes: canonical JSON (RFC 8785), the same on every machine."""

from hpbuild.attachments.agreement import findings
from hpbuild.attachments.provenance import provenance
from hpbuild.attachments.reading import LIMITS
from hpbuild.attachments.record import PROVENANCE, SBOM, VEX, Record
from hpbuild.attachments.sbom import sbom
from hpbuild.attachments.vex import vex
from hpbuild.codes import attachments as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.strict_json import canonical


def attachments(record: Record) -> dict[str, bytes]:
    """Provenance, SBOM and, with advisories, VEX, by member name.

    Raises HpbuildError HP4502 when advisories times modules make documents that no verifier would read, and
    whatever the verifier would find: nothing is written that it would refuse.
    """
    manifest = record.manifest
    rows = 5 * len(manifest.advisories) * len(manifest.modules)
    if rows > LIMITS.values:
        cause = (
            f"{len(manifest.advisories)} advisories of {len(manifest.modules)} modules are too many to list"
        )
        raise HpbuildError(codes.LIMIT, VEX, cause)
    documents = {PROVENANCE: provenance(record), SBOM: sbom(record)}
    if manifest.advisories:
        documents[VEX] = vex(record)
    made = {name: canonical(document, name) for name, document in documents.items()}
    for name, data in made.items():
        for finding in findings(name, data, manifest, record.manifest_bytes):
            raise HpbuildError(finding.code, finding.place, finding.cause)
    return made
