"""The result of ``verify`` as a SLSA Verification Summary (https://slsa.dev/spec/v1.1/verification_summary).

An in-toto Statement about the package files and their statements. The predicate's own fields say whether they
were accepted, when, by what policy; the extension ``EXTENSION`` says on which machine, against which files,
and what every check came to. Its name is a URI, as that specification asks.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from hpbuild import __version__
from hpbuild.bundle.statement import STATEMENT_TYPE
from hpbuild.codes.attachments import TOO_MUCH_TO_ATTEST
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.manifest.strict_json import canonical
from hpbuild.report.document import Document
from hpbuild.report.escape import escape
from hpbuild.sign.dsse import MAX_PAYLOAD

PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
VERIFIER_ID = "urn:hpbuild:verifier:command-line:1"
EXTENSION = "urn:hpbuild:verification:1"
DOCUMENT = "verification summary"
NO_LEVEL = "SLSA_BUILD_LEVEL_UNEVALUATED"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the machine is called; the time (RFC 3339 UTC) that counts when no check was made; and the digest
    of the policy file in hexadecimal, '' when trust was given by options."""

    host: str
    time: str
    policy_sha256: str


def summary(packages: Sequence[Document], status: ExitStatus, where: Circumstances) -> bytes:
    """The payload to sign, as canonical JSON (RFC 8785). ``packages`` are documents of
    ``hpbuild.report.verify.package``; of one of them at least the bytes could be read. Raises HpbuildError
    HP4508 when it has more than 4 MiB."""
    read = [entry for entry in packages if entry["sha256"] is not None]
    passed = status is ExitStatus.YES
    document: Document = {
        "_type": STATEMENT_TYPE,
        "subject": _subjects(read),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": {"id": VERIFIER_ID, "version": {"hpbuild": __version__}},
            "timeVerified": max((entry["time"] for entry in read if entry["time"]), default=where.time),
            "resourceUri": _resource(read),
            "policy": _policy(where.policy_sha256),
            "inputAttestations": [
                {"uri": f"urn:hpbuild:statement:sha256:{digest}", "digest": {"sha256": digest}}
                for entry in read
                if (digest := entry["statement_sha256"])
            ],
            "verificationResult": "PASSED" if passed else "FAILED",
            "verifiedLevels": [NO_LEVEL if passed else "FAILED"],
            EXTENSION: {
                "host": escape(where.host),
                "status": int(status),
                "packages": [_package(entry) for entry in packages],
            },
        },
    }
    data = canonical(document, DOCUMENT)
    if len(data) > MAX_PAYLOAD:
        raise HpbuildError(
            TOO_MUCH_TO_ATTEST, DOCUMENT, f"{len(data)} bytes, at most {MAX_PAYLOAD} are signed"
        )
    return data


def _subjects(packages: Sequence[Document]) -> list[Document]:
    """The package files and, since countersigning changes a file, their statements. Names differ."""
    subjects: dict[str, str] = {}
    for entry in packages:
        name = escape(PurePath(entry["path"]).name)
        while name in subjects:
            name += "'"
        subjects[name] = entry["sha256"]
        if entry["statement_sha256"]:
            subjects[f"{name}: statement.json"] = entry["statement_sha256"]
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()]


def _resource(packages: Sequence[Document]) -> str:
    """What was verified: the packages by content, whatever they say of themselves."""
    return "urn:hpbuild:packages:sha256:" + "+".join(entry["sha256"] for entry in packages)


def _policy(sha256: str) -> Document:
    if not sha256:
        return {"uri": "urn:hpbuild:policy:command-line"}
    return {"uri": f"urn:hpbuild:policy:sha256:{sha256}", "digest": {"sha256": sha256}}


def _package(entry: Document) -> Document:
    refused = [
        item["code"]
        for found in (entry, *entry["checks"])
        for item in found["findings"]
        if item["severity"] == "refuse"
    ]
    return {
        "path": escape(entry["path"]),
        "sha256": entry["sha256"],
        "statement_sha256": entry["statement_sha256"],
        "id": escape(entry["id"]),
        "product": escape(entry["product"]),
        "sequence": entry["sequence"],
        "verdict": entry["verdict"],
        "status": entry["status"],
        "authenticity": entry["authenticity"],
        "threshold": entry["threshold"],
        "lowest_tier": entry["lowest_tier"],
        "signers": sorted({item["spki_sha256"] for item in entry["signers"] if item["trusted"]}),
        "checks": _checks(entry, ""),
        "modules": [_module(entry, module) for module in entry["modules"]],
        "refused": sorted(set(refused)),
    }


def _module(entry: Document, module: Document) -> Document:
    installed, memory = module["installed"], module["memory"]
    return {
        "path": escape(module["path"]),
        "installed": None if installed is None else escape(installed),
        "sha256": module["sha256"],
        "memory": None if memory is None else escape(f"{memory['source']} at {memory['base']}"),
        "state": module["state"],
        "tier": module["tier"],
        "checks": _checks(entry, module["path"]),
    }


def _checks(entry: Document, module: str) -> dict[str, Any]:
    return {check["number"]: check["status"] for check in entry["checks"] if check["module"] == module}
