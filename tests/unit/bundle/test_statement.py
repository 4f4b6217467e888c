import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.bundle.statement import (
    PREDICATE_SCHEMA,
    ModulePin,
    Reverts,
    Statement,
    Subject,
    decode_statement,
    encode_statement,
    make_revert_statement,
    make_statement,
)
from hpbuild.codes import bundle as codes
from hpbuild.codes import manifest as json_codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.model import Manifest
from hpbuild.manifest.schema import validate
from hpbuild.manifest.strict_json import canonical
from hpbuild.values import Digest

MEMBERS = {"manifest.json": b"m", "images/a": b"a", "statement.json": b"s", "signatures.dsse.json": b"e"}


@pytest.fixture
def statement(sample_manifest: Manifest) -> Statement:
    return make_statement(sample_manifest, MEMBERS, ("codec-hp0",), "2030-01-01T00:00:00Z")


def test_statement_says_what_the_package_is(statement: Statement, sample_manifest: Manifest) -> None:
    assert statement.subjects == (
        Subject("images/a", Digest.of(b"a")),
        Subject("manifest.json", Digest.of(b"m")),
    )
    assert statement.pins == (ModulePin("bin/Codec.dll", Digest.of(b"baseline")),)
    assert (statement.id, statement.sequence) == (sample_manifest.id, 3)


def test_what_is_written_is_read_back(statement: Statement) -> None:
    assert decode_statement(encode_statement(statement)) == statement


def test_wire_form_is_an_in_toto_statement(statement: Statement) -> None:
    document = json.loads(encode_statement(statement))
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["subject"][1] == {"name": "manifest.json", "digest": {"sha256": Digest.of(b"m").hex}}
    assert document["predicateType"] == "urn:hpbuild:predicate:hotpatch:1"
    validate(document["predicate"], PREDICATE_SCHEMA, "statement.json")


REFUSALS: list[tuple[Callable[[Any], object], Code]] = [
    (lambda d: d.update(_type="https://in-toto.io/Statement/v0.1"), codes.BAD_STATEMENT),
    (lambda d: d.update(predicateType="https://slsa.dev/provenance/v1"), codes.BAD_STATEMENT),
    (lambda d: d["subject"].reverse(), json_codes.NOT_SORTED),
    (lambda d: d["subject"].insert(0, d["subject"][0]), json_codes.NOT_SORTED),
    (lambda d: d["subject"][0].update(name="../a"), codes.BAD_NAME),
    (lambda d: d["subject"][0]["digest"].update(sha1="00"), json_codes.UNKNOWN_KEY),
    (lambda d: d["subject"][0]["digest"].clear(), json_codes.MISSING_KEY),
    (lambda d: d["predicate"].update(sequence=0), json_codes.OUT_OF_RANGE),
    (lambda d: d["predicate"].update(expiry="2030-13-01T00:00:00Z"), json_codes.BAD_DATE),
    (lambda d: d["predicate"].update(supersedes=["a b"]), json_codes.BAD_TEXT),
    (lambda d: d["predicate"].update(extra=1), json_codes.UNKNOWN_KEY),
    (lambda d: d["predicate"].update(supersedes=["codec-1.2.4-hp1"]), codes.SUPERSEDES_CONTRADICTS),
    (lambda d: d["predicate"].update(supersedes=["a", "b", "a"]), codes.SUPERSEDES_CONTRADICTS),
    (lambda d: d["predicate"].update(reverts=None), json_codes.WRONG_TYPE),
    (lambda d: d["predicate"].update(reverts={}), json_codes.MISSING_KEY),
]


@pytest.mark.parametrize(("change", "code"), REFUSALS)
def test_other_statement_fails(statement: Statement, change: Callable[[Any], object], code: Code) -> None:
    document = json.loads(encode_statement(statement))
    change(document)
    with pytest.raises(HpbuildError) as caught:
        decode_statement(canonical(document, "test"))
    assert caught.value.code is code


@pytest.fixture
def taking_back(sample_manifest: Manifest) -> Statement:
    reverts = Reverts(id=sample_manifest.id, sequence=3, statement=Digest.of(b"s"), reason="it crashes")
    return make_revert_statement(sample_manifest, MEMBERS, ("codec-hp2", 4), reverts, "2030-01-01T00:00:00Z")


def test_a_revert_statement_has_its_own_id_and_sequence(taking_back: Statement) -> None:
    assert (taking_back.id, taking_back.sequence) == ("codec-hp2", 4)
    assert decode_statement(encode_statement(taking_back)) == taking_back
    document = json.loads(encode_statement(taking_back))
    assert document["predicate"]["reverts"] == {
        "id": "codec-1.2.4-hp1", "sequence": 3, "statement": Digest.of(b"s").hex, "reason": "it crashes",
    }  # fmt: skip
    validate(document["predicate"], PREDICATE_SCHEMA, "statement.json")


def test_an_ordinary_statement_says_nothing_of_it(statement: Statement) -> None:
    assert "reverts" not in json.loads(encode_statement(statement))["predicate"]


OF_REVERTS: list[tuple[Callable[[Any], object], Code]] = [
    (lambda p: p["reverts"].update(extra=1), json_codes.UNKNOWN_KEY),
    (lambda p: p["reverts"].pop("reason"), json_codes.MISSING_KEY),
    (lambda p: p["reverts"].update(reason=""), json_codes.BAD_TEXT),
    (lambda p: p["reverts"].update(reason="x" * 1001), json_codes.BAD_TEXT),
    (lambda p: p["reverts"].update(reason="a\u001b[31m"), json_codes.BAD_TEXT),
    (lambda p: p["reverts"].update(statement="ab"), json_codes.BAD_HEX),
    (lambda p: p["reverts"].update(statement=p["reverts"]["statement"] + "\n"), json_codes.BAD_HEX),
    (lambda p: p["reverts"].update(sequence=0), json_codes.OUT_OF_RANGE),
    (lambda p: p["reverts"].update(id="a/b"), json_codes.BAD_TEXT),
    (lambda p: p["reverts"].update(id="codec-hp2"), codes.REVERT_CONTRADICTS),
    (lambda p: p["reverts"].update(sequence=4), codes.REVERT_CONTRADICTS),
    (lambda p: p.update(supersedes=["codec-hp0"]), codes.REVERT_CONTRADICTS),
]


@pytest.mark.parametrize(("change", "code"), OF_REVERTS)
def test_a_revert_statement_that_contradicts_itself_fails(
    taking_back: Statement, change: Callable[[Any], object], code: Code
) -> None:
    document = json.loads(encode_statement(taking_back))
    change(document["predicate"])
    with pytest.raises(HpbuildError) as caught:
        decode_statement(canonical(document, "test"))
    assert caught.value.code is code


def test_statement_that_would_be_refused_is_not_written(statement: Statement) -> None:
    with pytest.raises(HpbuildError) as caught:
        encode_statement(dataclasses.replace(statement, expiry="never"))
    assert caught.value.code is json_codes.BAD_DATE
