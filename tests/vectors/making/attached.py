"""Cases about attachments: rules A1 to A3."""

import json
from collections.abc import Callable
from dataclasses import replace

from hpbuild.attachments.record import PROVENANCE, SBOM, VEX
from tests.vectors.making.base import Parts, parts_of
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import Document, canonical
from tests.vectors.making.statements import revert

POLICY = trusting("release")
ALL = trusting("release", head='required_attachments = ["provenance", "sbom", "vex"]\n')


def cases() -> list[Made]:
    parts = parts_of(attach=True)
    return [*_required(parts), *_wrong(parts), *_others(parts)]


def _with(parts: Parts, name: str, content: bytes) -> Parts:
    return replace(parts, attachments={**parts.attachments, name: content})


def _without(parts: Parts, name: str) -> Parts:
    return replace(parts, attachments={key: value for key, value in parts.attachments.items() if key != name})


def _required(parts: Parts) -> list[Made]:
    return [
        case("attachments-required", "Provenance, SBOM and VEX are demanded by the policy, and there.",
             "A1 A3",
             parts.package(), ALL),
        case("attachment-missing", "The policy demands an SBOM, the package has the two others.", "A3",
             _without(parts, SBOM).package(), ALL, refused=(1, "HP4507")),
        case("attachments-missing", "The policy demands attachments, the package has none.", "A3",
             parts_of().package(), ALL, refused=(1, "HP4507")),
        case("attachments-not-required", "A package with attachments, and a policy that says nothing of "
             "them.", "A1",
             parts.package(), POLICY),
    ]  # fmt: skip


def _wrong(parts: Parts) -> list[Made]:
    other = parts_of("KB-2", 2, attach=True)

    def bad(name: str, why: str, member: str, content: bytes, code: str, status: int = 1) -> Made:
        package = _with(parts, member, content).package()
        return case(f"attachment-{name}", why, "A1", package, POLICY, refused=(status, code))

    def changed(member: str, change: Callable[[Document], object]) -> bytes:
        document = json.loads(parts.attachments[member])
        change(document)
        return canonical(document)

    def silent(document: Document) -> None:
        document["statements"] = []

    def affected(document: Document) -> None:
        document["statements"][0]["status"] = "affected"

    def elsewhere(document: Document) -> None:
        document["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["sha256"] = "0" * 64

    def kind(document: Document) -> None:
        document["predicateType"] = "https://slsa.dev/provenance/v0.2"

    return [
        bad("of-another-package", "The provenance of another package by the same key.", PROVENANCE,
            other.attachments[PROVENANCE], "HP4504"),
        bad("of-another-build", "The provenance names another baseline than the manifest.", PROVENANCE,
            changed(PROVENANCE, elsewhere), "HP4505"),
        bad("with-other-advisories", "The VEX document does not name the advisory that the package is for.",
            VEX,
            changed(VEX, silent), "HP4506"),
        bad("that-contradicts", "The VEX document says that what is patched is affected still.", VEX,
            changed(VEX, affected), "HP4506"),
        bad("of-another-kind", "A provenance of another version of SLSA under the known name.", PROVENANCE,
            changed(PROVENANCE, kind), "HP4503"),
        bad("not-canonical", "An SBOM with white space: the same document in another spelling.", SBOM,
            json.dumps(json.loads(parts.attachments[SBOM])).encode(), "HP4501"),
        bad("not-json", "An SBOM that is no JSON.", SBOM, b"<bom/>", "HP4501"),
        bad("too-deep", "An SBOM of ten thousand nested lists.", SBOM, b"[" * 10_000 + b"]" * 10_000,
            "HP4502", 5),
    ]  # fmt: skip


def _others(parts: Parts) -> list[Made]:
    notes = _with(parts_of(), "attachments/notes.txt", b"<script>alert(1)</script>\x1b[2J")
    taken = replace(parts_of(), attachments=parts.attachments)
    return [
        case("attachment-unknown", "An attachment of an unknown name, listed and signed: it is named and "
             "never looked "
             "into.", "A2", notes.package(), POLICY),
        case("revert-with-attachments", "A revert package with the attachments of the package that it takes "
             "back: they "
             "speak of a release that is withdrawn.", "A4 S6", revert(taken), POLICY, refused=(1, "HP4504")),
    ]  # fmt: skip
