"""JSON Schemas (draft 2020-12) of every document that hpbuild writes, and validation against them.

The schema files are package data; nothing is ever fetched: a reference to a schema outside the document
is an error.
"""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpbuild.codes import manifest as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.schema_subset import Judge, judge
from hpbuild.manifest.strict_json import JsonValue

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_SUFFIX = ".schema.json"


def names() -> tuple[str, ...]:
    """Names of all schemas, sorted, such as ``manifest-1``."""
    return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in _folder().glob(f"*{_SUFFIX}")))


def load_schema(name: str) -> dict[str, Any]:
    """The schema called ``name``; HP4102 when there is none."""
    if name not in names():
        raise HpbuildError(codes.NO_SUCH_SCHEMA, name[:80], f"the schemas are {', '.join(names())}")
    document: dict[str, Any] = json.loads((_folder() / f"{name}{_SUFFIX}").read_text(encoding="utf-8"))
    return document


def schema_id(name: str) -> str:
    """The ``$id`` of the schema called ``name``."""
    return str(load_schema(name)["$id"])


def name_of(identifier: str) -> str:
    """Name of the schema whose ``$id`` is ``identifier``; HP4102 when there is none."""
    known = names()
    likely = "-".join(identifier.split(":")[-2:])  # urn:hpbuild:schema:manifest:1 is in manifest-1
    for name in sorted(known, key=lambda name: name != likely):
        if schema_id(name) == identifier:
            return name
    raise HpbuildError(codes.NO_SUCH_SCHEMA, identifier[:80], "no schema has this id")


def validate(document: JsonValue, identifier: str, place: str) -> None:
    """Check ``document`` against the schema with the ``$id`` ``identifier``.

    Raises HP4101 with the path of the deepest failure when the document does not meet it, HP4102 when
    there is no such schema.
    """
    judged = _judge(identifier)
    if judged is not None and judged(document):
        return
    from jsonschema.exceptions import best_match

    error = best_match(_validator(identifier).iter_errors(document))
    if error is not None:
        raise HpbuildError(codes.SCHEMA_MISMATCH, _place(error, place), error.message[:300])


def prepare(identifier: str) -> None:
    """Load what ``validate`` needs for a sound document of ``identifier`` now rather than at its first use.
    Raises HP4102."""
    _judge(identifier)


@cache
def _judge(identifier: str) -> Judge | None:
    return judge(load_schema(name_of(identifier)))


@cache
def _validator(identifier: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(load_schema(name_of(identifier)), registry=Registry())


def _place(error: "ValidationError", place: str) -> str:
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.absolute_path)
    return f"{place}: {path.removeprefix('.')}" if path else place


def _folder() -> Path:
    """Where the schemas are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "schemas"
    return installed if installed.is_dir() else package.parent / "schemas"
