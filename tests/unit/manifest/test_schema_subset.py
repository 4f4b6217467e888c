"""The quick judge says yes only where the full implementation of JSON Schema says so."""

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hpbuild.bundle.reader import read_bundle_file
from hpbuild.errors import HpbuildError
from hpbuild.manifest.schema import load_schema
from hpbuild.manifest.schema_subset import judge
from hpbuild.manifest.strict_json import parse

VECTORS = Path(__file__).parents[2] / "vectors" / "cases"

SCALARS: list[Any] = [None, True, False, 0, 1, 2, -1, 1.0, 0.5, "", "a", "ab", "not-selected"]
VALUES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["object", "array", "string", "integer", "boolean", "null"])
LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "type": TYPES | st.lists(TYPES, min_size=1, unique=True),
        "minimum": st.integers(-1, 2),
        "maximum": st.integers(-1, 2),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "uniqueItems": st.booleans(),
        "pattern": st.sampled_from(["^a", "b$", "^[ab]{2}$"]),
        "enum": st.lists(st.sampled_from([None, True, False, 0, 1, "", "a"]), min_size=1, max_size=3),
        "const": st.sampled_from([None, True, False, 0, 1, "", "a"]),
        "required": st.lists(st.sampled_from("abc"), unique=True),
        "title": st.just("x"),
    },
)
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "required": st.lists(st.sampled_from("abc"), unique=True),
        "properties": st.dictionaries(
            st.sampled_from("abc"), st.fixed_dictionaries({"enum": st.just(["a", "ab"])}), max_size=2
        ),
    },
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    part = inner | st.just(False)
    branches = st.fixed_dictionaries({"if": CONDITIONS}, optional={"then": inner, "else": inner})
    others = st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), part, max_size=2),
            "additionalProperties": st.just(False),
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "$ref": st.just("#/$defs/d"),
        },
    )
    return st.tuples(others, LEAVES).map(lambda pair: {**pair[0], **pair[1]}) | branches


SCHEMAS = st.recursive(LEAVES, nested, max_leaves=6)


@given(SCHEMAS, LEAVES, VALUES)
def test_yes_is_always_right(schema: dict[str, Any], definition: dict[str, Any], value: Any) -> None:
    whole = {**schema, "$defs": {"d": definition}}
    said = judge(whole)
    assert said is not None
    if said(value):
        assert Draft202012Validator(whole).is_valid(value)


def documents() -> list[Any]:
    found = []
    for path in sorted(VECTORS.glob("*/package.hpb")):
        try:
            found.append(parse(read_bundle_file(path).manifest, "manifest.json"))
        except HpbuildError:
            continue  # a case about the container
    return found


def test_the_schema_of_manifests_is_understood_and_judged_alike() -> None:
    schema = load_schema("manifest-1")
    said, full = judge(schema), Draft202012Validator(schema)
    assert said is not None
    manifests = documents()
    outcomes = [said(item) for item in manifests]
    assert outcomes == [full.is_valid(item) for item in manifests]
    assert outcomes.count(True) > 20


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in ``value``."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [found for key in keys for found in [(value, key), *places(value[key])]]


def test_damaged_manifests_are_judged_alike() -> None:
    schema = load_schema("manifest-1")
    said, full = judge(schema), Draft202012Validator(schema)
    assert said is not None
    sound = next(item for item in documents() if said(item))
    draw = random.Random(1)
    outcomes = set()
    for _ in range(600):
        damaged = copy.deepcopy(sound)
        container, key = draw.choice(places(damaged))
        others: list[Any] = [None, True, -1, 0, 1 << 40, "", "x" * 2000, [], {}, "0" * 64, [1, 1]]
        if draw.random() < 0.3 and isinstance(container, dict):
            container[draw.choice(["more", key + "x"])] = container.pop(key)
        else:
            container[key] = draw.choice([*others, copy.deepcopy(draw.choice(places(sound))[0])])
        assert said(damaged) == full.is_valid(damaged), key
        outcomes.add(said(damaged))
    assert outcomes == {True, False}


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {}},
        {"oneOf": [{}]},
        {"items": {"format": "date"}},
        {"additionalProperties": {"type": "string"}},
        {"$ref": "#/$defs/nothing"},
        {"$ref": "other.json"},
        {"type": "number"},
        {"enum": [[1]]},
        {"minimum": 0.5},
        {"then": {}},
        {"if": {"type": "string"}, "then": {}},
        {"if": {"properties": {"a": {"enum": [1]}}}},
        {"properties": {"a": True}},
    ],
)
def test_fail_unknown_forms_have_no_judge(schema: dict[str, Any]) -> None:
    assert judge(schema) is None


def test_a_definition_may_refer_to_itself() -> None:
    tree = {"type": "object", "properties": {"a": {"$ref": "#/$defs/t"}}, "additionalProperties": False}
    said = judge({"$ref": "#/$defs/t", "$defs": {"t": tree}})
    assert said is not None
    assert said({"a": {"a": {}}})
    assert not said({"a": {"a": {"b": {}}}})
