"""The SBOM, judged by the CycloneDX project's own strict validator and read by its own model."""

import dataclasses
import json

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from hpbuild.attachments.record import Record
from hpbuild.attachments.sbom import sbom
from hpbuild.manifest.codec import encode
from hpbuild.manifest.model import Manifest
from hpbuild.manifest.strict_json import canonical


def text(record: Record) -> str:
    return canonical(sbom(record), "x").decode()


def with_manifest(record: Record, manifest: Manifest) -> Record:
    return dataclasses.replace(record, manifest=manifest, manifest_bytes=encode(manifest))


def variants(manifest: Manifest) -> list[Manifest]:
    """Without time, advisories, versions; a program; a module limited to a list."""
    (module,) = manifest.modules
    bare = dataclasses.replace(module.fixed, version="")
    replace = dataclasses.replace
    return [
        manifest,
        replace(manifest, created=""),
        replace(manifest, advisories=()),
        replace(manifest, product=""),
        replace(manifest, modules=(replace(module, path="bin/Codec.EXE", fixed=bare),)),
        replace(manifest, modules=(replace(module, only=("codec_decode",)),)),
    ]


class TestSbom:
    @pytest.mark.parametrize("index", range(6))
    def test_is_valid_in_every_form(self, record: Record, index: int) -> None:
        form = with_manifest(record, variants(record.manifest)[index])
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text(form)) is None

    def test_the_validator_can_fail(self, record: Record) -> None:
        document = json.loads(text(record))
        document["components"][0]["pedigree"]["patches"][0]["type"] = "hotpatch"
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is not None

    def test_the_pedigree_tells_the_patch(self, record: Record) -> None:
        bom = Bom.from_json(json.loads(text(record)))  # type: ignore[attr-defined]
        (component,) = bom.components
        (module,) = record.manifest.modules
        assert (component.name, component.version) == ("Codec.dll", "1.2.3.4")
        assert [item.content for item in component.hashes] == [module.fixed.sha256.hex]
        (ancestor,) = component.pedigree.ancestors
        assert [item.content for item in ancestor.hashes] == [module.baseline.sha256.hex]
        (patch,) = component.pedigree.patches
        assert [(issue.type.value, issue.id) for issue in patch.resolves] == [("security", "CVE-2025-0001")]
        assert (bom.metadata.component.name, bom.metadata.component.version) == ("codec-1.2.4-hp1", "3")

    def test_programs_are_applications(self, record: Record) -> None:
        kinds = []
        for index in (0, 4):
            document = json.loads(text(with_manifest(record, variants(record.manifest)[index])))
            kinds.append(document["components"][0]["type"])
        assert kinds == ["library", "application"]

    def test_a_list_of_functions_shows(self, record: Record) -> None:
        (component,) = json.loads(text(with_manifest(record, variants(record.manifest)[5])))["components"]
        assert {"name": "hpbuild:only", "value": "codec_decode"} in component["properties"]
        assert "Limited" in component["pedigree"]["notes"]

    def test_the_serial_number_follows_from_the_manifest(self, record: Record) -> None:
        other = with_manifest(record, dataclasses.replace(record.manifest, sequence=4))
        numbers = [json.loads(text(item))["serialNumber"] for item in (record, record, other)]
        assert numbers[0] == numbers[1] != numbers[2]

    def test_has_a_time_only_when_one_was_given(self, record: Record) -> None:
        timeless = with_manifest(record, dataclasses.replace(record.manifest, created=""))
        assert json.loads(text(record))["metadata"]["timestamp"] == "2025-01-31T12:00:00Z"
        assert "timestamp" not in json.loads(text(timeless))["metadata"]
