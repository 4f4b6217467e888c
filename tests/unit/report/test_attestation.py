"""The verification summary as a document, read by in-toto's own classes."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.vsa.v1 import vsa_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from hpbuild.codes.attachments import TOO_MUCH_TO_ATTEST
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.report.attestation import EXTENSION, Circumstances, summary

NOW = "2026-02-01T00:00:00Z"
HERE = Circumstances("box", NOW, "cc" * 32)
PACKAGE: dict[str, Any] = {
    "path": "in/x.hpb",
    "sha256": "aa" * 32,
    "statement_sha256": "bb" * 32,
    "policy_sha256": "cc" * 32,
    "time": "2026-01-31T12:00:00Z",
    "verdict": "verified",
    "status": 0,
    "authenticity": "trusted",
    "threshold": 1,
    "lowest_tier": "authenticode",
    "id": "KB-7",
    "product": "Codec",
    "sequence": 7,
    "advisories": [],
    "signers": [{"spki_sha256": "dd" * 32, "trusted": True}, {"spki_sha256": "", "trusted": False}],
    "modules": [
        {
            "path": "bin/codec.dll",
            "installed": "/opt/codec.dll",
            "state": "applicable",
            "tier": "exact",
            "sha256": "ee" * 32,
            "memory": None,
        }
    ],
    "checks": [
        {"number": "V01", "module": "", "status": "passed", "findings": []},
        {"number": "V10", "module": "bin/codec.dll", "status": "passed", "findings": []},
    ],
    "findings": [],
}
UNREAD = {
    **PACKAGE, "sha256": None, "statement_sha256": None, "policy_sha256": None, "time": None, "checks": [],
    "modules": [], "signers": [], "lowest_tier": None, "status": 2, "verdict": "failed", "id": "",
}  # fmt: skip


def parsed(payload: bytes) -> tuple[statement_pb2.Statement, vsa_pb2.VerificationSummary, Any]:
    statement = json_format.Parse(payload, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    predicate = json_format.MessageToDict(statement.predicate)
    own = predicate.pop(EXTENSION)
    # These classes lag behind the specification: no verifier.version, and one string for the list of levels.
    assert list(predicate["verifier"].pop("version")) == ["hpbuild"]
    (predicate["verifiedLevels"],) = predicate["verifiedLevels"]
    return statement, json_format.Parse(json.dumps(predicate), vsa_pb2.VerificationSummary()), own


class TestSummary:
    def test_of_a_good_package(self) -> None:
        statement, result, own = parsed(summary([PACKAGE], ExitStatus.YES, HERE))
        assert statement.predicate_type == "https://slsa.dev/verification_summary/v1"
        assert {item.name: item.digest["sha256"] for item in statement.subject} == {
            "x.hpb": "aa" * 32,
            "x.hpb: statement.json": "bb" * 32,
        }
        assert result.verification_result == "PASSED"
        assert result.verified_levels == "SLSA_BUILD_LEVEL_UNEVALUATED"
        assert result.time_verified.ToJsonString() == "2026-01-31T12:00:00Z"
        assert result.policy.digest["sha256"] == "cc" * 32
        assert [item.digest["sha256"] for item in result.input_attestations] == ["bb" * 32]
        assert own["host"] == "box"
        (package,) = own["packages"]
        assert package["signers"] == ["dd" * 32]
        (module,) = package["modules"]
        assert (module["installed"], module["sha256"], module["state"], module["tier"]) == (
            "/opt/codec.dll", "ee" * 32, "applicable", "exact",
        )  # fmt: skip
        assert (package["checks"], module["checks"]) == ({"V01": "passed"}, {"V10": "passed"})

    @pytest.mark.parametrize("status", [status for status in ExitStatus if status is not ExitStatus.YES])
    def test_every_other_status_is_a_failure(self, status: ExitStatus) -> None:
        _, result, _ = parsed(summary([PACKAGE], status, HERE))
        assert (result.verification_result, result.verified_levels) == ("FAILED", "FAILED")

    def test_codes_that_refused(self) -> None:
        finding = {"code": "HP4302", "severity": "refuse"}
        warning = {"code": "HP6004", "severity": "warn"}
        check = {"number": "V04", "module": "", "status": "failed", "findings": [finding, warning, finding]}
        _, _, own = parsed(summary([{**PACKAGE, "checks": [check]}], ExitStatus.NO, HERE))
        assert own["packages"][0]["refused"] == ["HP4302"]

    def test_several_packages(self) -> None:
        """Two files of one name stay two subjects; one that could not be read is listed and no subject."""
        other = {**PACKAGE, "path": "other/x.hpb", "sha256": "ab" * 32}
        statement, _, own = parsed(summary([PACKAGE, UNREAD, other], ExitStatus.USAGE, HERE))
        names = [item.name for item in statement.subject]
        assert len(names) == len(set(names)) == 4
        assert {item.digest["sha256"] for item in statement.subject} >= {"aa" * 32, "ab" * 32}
        assert [item["sha256"] for item in own["packages"]] == ["aa" * 32, None, "ab" * 32]

    def test_trust_given_by_options(self) -> None:
        _, result, _ = parsed(summary([PACKAGE], ExitStatus.YES, Circumstances("box", NOW, "")))
        assert (result.policy.uri, dict(result.policy.digest)) == ("urn:hpbuild:policy:command-line", {})

    def test_bytes_that_nothing_could_be_made_of(self) -> None:
        _, result, _ = parsed(summary([{**UNREAD, "sha256": "aa" * 32}], ExitStatus.LIMIT, HERE))
        assert result.time_verified.ToJsonString() == NOW

    def test_texts_are_escaped(self) -> None:
        evil = {**PACKAGE, "path": "x\x1b[2J\udcff.hpb", "product": "\u202ePRODUCT"}
        payload = summary([evil], ExitStatus.YES, Circumstances("box\n", NOW, ""))
        assert not any(byte < 0x20 for byte in payload)
        assert b"\\\\x1b" in payload
        assert "\u202e".encode() not in payload

    def test_fail_too_large(self) -> None:
        with pytest.raises(HpbuildError) as caught:
            summary([{**PACKAGE, "path": "x" * (5 << 20)}], ExitStatus.YES, HERE)
        assert caught.value.code is TOO_MUCH_TO_ATTEST
