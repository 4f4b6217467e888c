"""OpenVEX, judged by a schema of what its specification 0.2.0 demands."""

import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from hpbuild.attachments.record import NO_TIME, Record
from hpbuild.attachments.vex import vex
from hpbuild.manifest.strict_json import canonical

IRI = {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:[^ ]+$"}
TIME = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"}
HASHES = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"enum": ["md5", "sha1", "sha-256", "sha-384", "sha-512", "sha3-256", "sha3-512"]},
    "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]+$"},
}
COMPONENT = {
    "type": "object",
    "properties": {"@id": IRI, "identifiers": {"type": "object", "minProperties": 1}, "hashes": HASHES},
    "anyOf": [{"required": ["@id"]}, {"required": ["identifiers"]}],
    "additionalProperties": False,
}
STATEMENT = {
    "type": "object",
    "required": ["vulnerability", "status", "products"],
    "properties": {
        "vulnerability": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "minLength": 1}},
        },
        "products": {"type": "array", "minItems": 1, "items": COMPONENT},
        "status": {"enum": ["not_affected", "affected", "fixed", "under_investigation"]},
        "status_notes": {"type": "string"},
    },
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "required": ["@context", "@id", "author", "timestamp", "version", "statements"],
    "properties": {
        "@context": {"const": "https://openvex.dev/ns/v0.2.0"},
        "@id": IRI,
        "author": {"type": "string", "minLength": 1},
        "timestamp": TIME,
        "version": {"type": "integer", "minimum": 1},
        "tooling": {"type": "string"},
        "statements": {"type": "array", "minItems": 1, "items": STATEMENT},
    },
    "additionalProperties": False,
}
BREAKS: dict[str, Callable[[Any], object]] = {
    "no author": lambda document: document.pop("author"),
    "no time": lambda document: document.update(timestamp="yesterday"),
    "version 0": lambda document: document.update(version=0),
    "no statement": lambda document: document.update(statements=[]),
    "status": lambda document: document["statements"][0].update(status="patched"),
    "no product": lambda document: document["statements"][0].update(products=[]),
    "product": lambda document: document["statements"][0]["products"][0].pop("@id"),
    "hash": lambda document: document["statements"][0]["products"][1]["hashes"].update(sha256="00"),
}
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())


def document(record: Record) -> Any:
    return json.loads(canonical(vex(record), "x"))


class TestVex:
    def test_meets_the_specification(self, record: Record) -> None:
        several = dataclasses.replace(record.manifest, advisories=("CVE-2025-0001", "GHSA-1"))
        for manifest in (record.manifest, several, dataclasses.replace(several, created="")):
            VALIDATOR.validate(document(dataclasses.replace(record, manifest=manifest)))

    @pytest.mark.parametrize("name", BREAKS)
    def test_the_schema_can_fail(self, record: Record, name: str) -> None:
        broken = copy.deepcopy(document(record))
        BREAKS[name](broken)
        assert not VALIDATOR.is_valid(broken)

    def test_says_fixed_of_every_advisory(self, record: Record) -> None:
        manifest = dataclasses.replace(record.manifest, advisories=("CVE-2025-0001", "GHSA-1"))
        statements = document(dataclasses.replace(record, manifest=manifest))["statements"]
        said = [(item["vulnerability"]["name"], item["status"]) for item in statements]
        assert said == [("CVE-2025-0001", "fixed"), ("GHSA-1", "fixed")]

    def test_the_baseline_alone_is_no_product(self, record: Record) -> None:
        """A scanner that finds the baseline's digest on a disk must not read that it is fixed."""
        (statement,) = document(record)["statements"]
        (module,) = record.manifest.modules
        patched, fixed = statement["products"]
        assert "hashes" not in patched
        assert patched["@id"] == f"urn:hpbuild:patched:codec-1.2.4-hp1:3:sha256:{module.baseline.sha256.hex}"
        assert fixed["hashes"] == {"sha-256": module.fixed.sha256.hex}
        digests = [item for product in statement["products"] for item in product.get("hashes", {}).values()]
        assert module.baseline.sha256.hex not in digests

    def test_time(self, record: Record) -> None:
        timeless = dataclasses.replace(record, manifest=dataclasses.replace(record.manifest, created=""))
        assert [document(item)["timestamp"] for item in (record, timeless)] == [
            "2025-01-31T12:00:00Z",
            NO_TIME,
        ]
