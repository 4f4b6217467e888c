import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hpbuild.codes import manifest as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest import model
from hpbuild.manifest.codec import encode
from hpbuild.manifest.schema import load_schema, name_of, names, schema_id, validate


def keywords(value: object, key: str) -> list[Any]:
    if isinstance(value, dict):
        own = [value[key]] if key in value else []
        return own + [found for inner in value.values() for found in keywords(inner, key)]
    if isinstance(value, list):
        return [found for inner in value for found in keywords(inner, key)]
    return []


def test_own_schemas_are_there() -> None:
    assert {"manifest-1", "predicate-1"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_schema_is_sound(name: str) -> None:
    document = load_schema(name)
    Draft202012Validator.check_schema(document)
    kind, _, version = name.rpartition("-")
    assert schema_id(name) == f"urn:hpbuild:schema:{kind}:{version}"
    assert name_of(schema_id(name)) == name
    assert all(reference.startswith("#") for reference in keywords(document, "$ref"))


@pytest.mark.parametrize("name", ["nothing-1", "../manifest-1", "manifest-1.schema.json", ""])
def test_unknown_name_fails(name: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        load_schema(name)
    assert caught.value.code is codes.NO_SUCH_SCHEMA


def test_unknown_id_fails() -> None:
    with pytest.raises(HpbuildError) as caught:
        validate({}, "urn:hpbuild:schema:nothing:1", "doc")
    assert caught.value.code is codes.NO_SUCH_SCHEMA


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d["modules"][0]["functions"][0]["patch"][0].update(rva=-1), "functions[0].patch[0].rva"),
        (lambda d: d["modules"][0]["fixups"]["rel32"].append("x"), "fixups.rel32[2]"),
        (lambda d: d["modules"][0]["image"].update(sha256="a" * 64 + "\n"), "image.sha256"),
        (lambda d: d["modules"][0]["image"].update(member="images/a\n"), "image.member"),
        (lambda d: d["modules"][0]["account"][0].update(klass="padding\n"), "account[0].klass"),
        (lambda d: d["modules"][0].update(functions=[]), "functions"),
    ],
)
def test_document_outside_its_schema_fails(
    sample_manifest: model.Manifest, change: Callable[[Any], object], place: str
) -> None:
    document = json.loads(encode(sample_manifest))
    change(document)
    with pytest.raises(HpbuildError) as caught:
        validate(document, model.SCHEMA_ID, "manifest.json")
    assert caught.value.code is codes.SCHEMA_MISMATCH
    assert caught.value.finding.place == f"manifest.json: modules[0].{place}"


def test_validator_is_loaded_only_when_needed() -> None:
    program = (
        "import sys, hpbuild.manifest.schema, hpbuild.manifest.codec; print('jsonschema' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
