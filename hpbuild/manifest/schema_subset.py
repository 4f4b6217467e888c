"""A small judge for the part of JSON Schema (draft 2020-12) that the manifest's schema is written in.

It says yes to a document only where the schema allows it. Where it does not say yes, nothing is known: the
document may be wrong, or of a form that this judge does not go into. ``schema.validate`` then asks the full
implementation, whose answer and words count. Asking it about everything takes several seconds for a manifest
of a few megabytes. Fractions, which no document of hpbuild has, are among what it does not go into.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from hpbuild.manifest.strict_json import JsonValue

Judge = Callable[[JsonValue], bool]
"""Whether a value certainly meets a schema."""

_REMARKS = frozenset({"$schema", "$id", "$defs", "title", "description"})
_REFERENCE = "#/$defs/"
_BOUNDED = {"type", "minimum", "maximum"}


class _SilentError(Exception):
    """The schema has something that this judge does not go into."""


def judge(schema: Mapping[str, Any]) -> Judge | None:
    """The judge of a whole schema; None when the schema has a keyword that is not known here."""
    definitions: dict[str, Judge] = {}

    def referred(name: str) -> Judge:
        return lambda value: definitions[name](value)

    try:
        for name, part in schema.get("$defs", {}).items():
            definitions[name] = _part(part, referred)
        top = _part(schema, referred)
    except _SilentError:
        return None
    return top if _references(schema) <= definitions.keys() else None


def _references(part: Any) -> set[str]:
    """Names of the definitions that ``part`` refers to."""
    if isinstance(part, Mapping):
        own = {str(part["$ref"]).removeprefix(_REFERENCE)} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(_references(item) for item in part.values()))
    return set().union(*(_references(item) for item in part)) if isinstance(part, list) else set()


def _part(schema: Any, referred: Callable[[str], Judge]) -> Judge:
    if schema is False:
        return lambda value: False
    if not isinstance(schema, Mapping) or schema.keys() - _REMARKS - _KEYWORDS.keys():
        raise _SilentError
    tests = [
        _KEYWORDS[keyword](argument, schema, referred)
        for keyword, argument in schema.items()
        if keyword not in _REMARKS
    ]
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def _type(names: Any, _schema: Any, _referred: Any) -> Judge:
    wanted = [names] if isinstance(names, str) else names
    if not set(wanted) <= _TYPES.keys():
        raise _SilentError
    kinds = frozenset(_TYPES[name] for name in wanted)
    return lambda value: type(value) in kinds  # exactly: True is an int in Python


_TYPES = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None),
}  # fmt: skip


def _reference(target: Any, _schema: Any, referred: Callable[[str], Judge]) -> Judge:
    if not target.startswith(_REFERENCE):
        raise _SilentError
    return referred(target.removeprefix(_REFERENCE))


def _properties(parts: Any, _schema: Any, referred: Any) -> Judge:
    judges = {name: _part(part, referred) for name, part in parts.items()}
    return lambda value: (
        type(value) is not dict or all(key not in judges or judges[key](item) for key, item in value.items())
    )


def _required(names: Any, _schema: Any, _referred: Any) -> Judge:
    wanted = frozenset(names)
    return lambda value: type(value) is not dict or wanted <= value.keys()


def _no_others(allowed: Any, schema: Any, _referred: Any) -> Judge:
    if allowed is not False:
        raise _SilentError
    known = frozenset(schema.get("properties", {}))
    return lambda value: type(value) is not dict or value.keys() <= known


def _items(part: Any, schema: Any, referred: Any) -> Judge:
    plain = isinstance(part, Mapping) and part.keys() == _BOUNDED and part["type"] == "integer"
    if plain and "prefixItems" not in schema:
        return _integers(part["minimum"], part["maximum"])
    element, first = _part(part, referred), len(schema.get("prefixItems", ()))
    return lambda value: type(value) is not list or all(map(element, value[first:] if first else value))


def _integers(low: Any, high: Any) -> Judge:
    """The judge of lists of integers, which asks the whole list at once."""
    if type(low) is not int or type(high) is not int:
        raise _SilentError

    def test(value: JsonValue) -> bool:
        if type(value) is not list or not value:
            return True
        return set(map(type, value)) == {int} and low <= min(value) and max(value) <= high

    return test


def _first_items(parts: Any, _schema: Any, referred: Any) -> Judge:
    judges = [_part(part, referred) for part in parts]
    return lambda value: (
        type(value) is not list or all(test(item) for test, item in zip(judges, value, strict=False))
    )


def _choice(condition: Any, schema: Any, referred: Any) -> Judge:
    if not _is_sharp(condition):
        raise _SilentError
    test = _part(condition, referred)
    then, otherwise = _part(schema.get("then", {}), referred), _part(schema.get("else", {}), referred)
    return lambda value: then(value) if test(value) else otherwise(value)


def _of_choice(schema: Any) -> Judge:
    if "if" not in schema:
        raise _SilentError
    return lambda value: True  # judged with the "if"


def _is_sharp(schema: Any) -> bool:
    """Whether a value that the judge of ``schema`` does not say yes to certainly does not meet it."""
    if not isinstance(schema, Mapping) or schema.keys() - {"required", "properties", "enum"}:
        return False
    texts = all(isinstance(item, str) for item in schema.get("enum", ()))
    return texts and all(map(_is_sharp, schema.get("properties", {}).values()))


def _different(wanted: Any, _schema: Any, _referred: Any) -> Judge:
    def test(value: JsonValue) -> bool:
        if type(value) is not list:
            return True
        return all(type(item) is str for item in value) and len(set(value)) == len(value)

    return test if wanted is True else lambda value: True


def _any_of(parts: Any, _schema: Any, referred: Any) -> Judge:
    judges = [_part(part, referred) for part in parts]
    return lambda value: any(test(value) for test in judges)


def _one_of(allowed: Any, _schema: Any, _referred: Any) -> Judge:
    if any(type(item) not in (str, int, bool, type(None)) for item in allowed):
        raise _SilentError
    pairs = frozenset((type(item), item) for item in allowed)
    scalars = frozenset(kind for kind, _ in pairs)
    return lambda value: type(value) in scalars and (type(value), value) in pairs


def _pattern(expression: Any, _schema: Any, _referred: Any) -> Judge:
    search = re.compile(expression).search
    return lambda value: type(value) is not str or search(value) is not None


def _least(kind: type, of: Callable[[Any], int]) -> Callable[[Any, Any, Any], Judge]:
    def make(bound: Any, _schema: Any, _referred: Any) -> Judge:
        if type(bound) is not int:
            raise _SilentError
        return lambda value: of(value) >= bound if type(value) is kind else type(value) is not float

    return make


def _most(kind: type, of: Callable[[Any], int]) -> Callable[[Any, Any, Any], Judge]:
    def make(bound: Any, _schema: Any, _referred: Any) -> Judge:
        if type(bound) is not int:
            raise _SilentError
        return lambda value: of(value) <= bound if type(value) is kind else type(value) is not float

    return make


_KEYWORDS: dict[str, Callable[[Any, Any, Any], Judge]] = {
    "type": _type,
    "$ref": _reference,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _no_others,
    "items": _items,
    "prefixItems": _first_items,
    "if": _choice,
    "then": lambda part, schema, referred: _of_choice(schema),
    "else": lambda part, schema, referred: _of_choice(schema),
    "uniqueItems": _different,
    "anyOf": _any_of,
    "enum": _one_of,
    "const": lambda value, schema, referred: _one_of([value], schema, referred),
    "pattern": _pattern,
    "minLength": _least(str, len),
    "maxLength": _most(str, len),
    "minItems": _least(list, len),
    "maxItems": _most(list, len),
    "minimum": _least(int, int),
    "maximum": _most(int, int),
}
"""Makers of judges by keyword, from its argument, the schema that it stands in, and the definitions."""
