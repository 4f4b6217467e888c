"""The example in docs/policy.md is a policy, and has every entry that there is."""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hpbuild.codes import policy as codes
from hpbuild.sign.algorithms import Algorithm
from hpbuild.verify.overrides import OVERRIDABLE
from hpbuild.verify.policy import DEFAULT_SEQUENCE_JUMP, Limits
from hpbuild.verify.policy_file import parse_policy, unused_names
from hpbuild.verify.policy_remarks import remarks


@pytest.fixture(scope="module")
def example(root: Path) -> str:
    (text,) = re.findall(r"```toml\n(.*?)```", (root / "docs" / "policy.md").read_text("utf-8"), re.DOTALL)
    return text  # type: ignore[no-any-return]


def test_the_example_can_be_used(example: str) -> None:
    policy = parse_policy(example.encode(), "docs/policy.md")
    assert [(role.name, role.threshold) for role in policy.roles] == [("engineers", 2), ("release", 1)]
    assert policy.publisher is not None
    assert policy.revocations
    assert unused_names(example.encode(), "docs/policy.md") == ()
    # Only the role of one signer is pointed out, as it would be to whoever starts from the example.
    found = remarks(policy, (), datetime(2026, 5, 1, tzinfo=UTC))
    assert [item.code for item in found] == [codes.ONE_VOTE]


def test_the_example_tells_the_defaults(example: str) -> None:
    policy = parse_policy(example.encode(), "docs/policy.md")
    assert policy.limits == Limits()
    assert policy.algorithms == frozenset(Algorithm)
    assert f"{DEFAULT_SEQUENCE_JUMP} is the default" in example


def test_the_example_names_every_code_that_can_be_overridden(example: str) -> None:
    exceptions = example.partition("--- Exceptions")[2].partition("[[overrides]]")[0]
    assert set(re.findall(r"HP[0-9]{4}", exceptions)) == {code.id for code in OVERRIDABLE}


def entries(schema: Any) -> Iterator[str]:
    """Names of all entries, at every level."""
    if isinstance(schema, dict):
        properties = schema.get("properties", {})
        yield from properties
        for key, value in schema.items():
            yield from entries(list(value.values()) if key in {"properties", "$defs"} else value)
    elif isinstance(schema, list):
        for value in schema:
            yield from entries(value)


def used(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from used(item)


def test_the_example_has_every_entry(example: str, root: Path) -> None:
    schema = json.loads((root / "schemas" / "policy-1.schema.json").read_bytes())
    missing = set(entries(schema)) - set(used(tomllib.loads(example)))
    assert missing == {"uris"}  # named in a comment: an identity rarely asks for both kinds of names
    assert "uris" in example
