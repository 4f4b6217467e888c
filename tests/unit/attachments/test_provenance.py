"""Provenance, read by in-toto's own classes."""

import dataclasses
import json

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

from hpbuild.attachments.provenance import BUILD_TYPE, BUILDER_ID, provenance
from hpbuild.attachments.record import Record
from hpbuild.manifest.strict_json import canonical
from hpbuild.values import Digest


def parsed(record: Record) -> tuple[statement_pb2.Statement, provenance_pb2.Provenance]:
    """Statement and predicate; unknown fields and wrong types raise."""
    statement = json_format.Parse(canonical(provenance(record), "x"), statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    predicate = json_format.Parse(
        json.dumps(json_format.MessageToDict(statement.predicate)), provenance_pb2.Provenance()
    )
    for item in predicate.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(item).validate()
    return statement, predicate


class TestProvenance:
    def test_is_about_the_manifest_and_the_patch_images(self, record: Record) -> None:
        statement, _ = parsed(record)
        assert statement.predicate_type == "https://slsa.dev/provenance/v1"
        assert {item.name: item.digest["sha256"] for item in statement.subject} == {
            "manifest.json": Digest.of(record.manifest_bytes).hex,
            "images/bin/codec.dll": record.manifest.modules[0].image.sha256.hex,
        }

    def test_names_both_builds_of_every_module(self, record: Record) -> None:
        _, predicate = parsed(record)
        (module,) = record.manifest.modules
        found = {
            item.name: item.digest["sha256"] for item in predicate.build_definition.resolved_dependencies
        }
        assert found == {
            "baseline/bin/Codec.dll": module.baseline.sha256.hex,
            "fixed/bin/Codec.dll": module.fixed.sha256.hex,
        }

    def test_records_what_the_build_was_asked_for(self, record: Record) -> None:
        _, predicate = parsed(record)
        assert predicate.build_definition.build_type == BUILD_TYPE
        given = json_format.MessageToDict(predicate.build_definition.external_parameters)
        assert given == {
            "id": "codec-1.2.4-hp1",
            "product": "Codec",
            "sequence": 3,
            "advisories": ["CVE-2025-0001"],
            "supersedes": ["codec-1.2.4-hp0"],
            "expiry": "2030-01-01T00:00:00Z",
            "modules": [{"path": "bin/Codec.dll", "only": [], "symbols": "pdb"}],
        }

    def test_names_the_builder_and_no_machine(self, record: Record) -> None:
        _, predicate = parsed(record)
        assert predicate.run_details.builder.id == BUILDER_ID
        assert dict(predicate.run_details.builder.version) == {"hpbuild": "0.1.0"}

    @pytest.mark.parametrize("created", ["2025-01-31T12:00:00Z", ""])
    def test_has_a_time_only_when_one_was_given(self, record: Record, created: str) -> None:
        manifest = dataclasses.replace(record.manifest, created=created)
        _, predicate = parsed(dataclasses.replace(record, manifest=manifest))
        metadata = predicate.run_details.metadata
        if not created:
            assert not predicate.run_details.HasField("metadata")
        else:
            times = (metadata.started_on.ToJsonString(), metadata.finished_on.ToJsonString())
            assert times == (created, created)
