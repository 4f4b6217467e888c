"""TOML (version 1.0.0) as plain values that a JSON Schema can judge.

What TOML has beyond JSON is settled here: a date-time with a zone becomes its RFC 3339 text in UTC; local
times, fractions, infinities and numbers beyond 2**53-1 are refused.
"""

import tomllib
from datetime import datetime

from hpbuild.codes.policy import NOT_TOML
from hpbuild.errors import HpbuildError
from hpbuild.manifest.strict_json import MAX_INTEGER, JsonValue
from hpbuild.values import moment_text

MAX_DEPTH = 8
MAX_VALUES = 50_000


def toml_document(data: bytes, place: str) -> dict[str, JsonValue]:
    """The values of the TOML text ``data``; refuses with HP6101. The size of ``data`` is bounded by the
    caller."""
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except RecursionError:
        raise HpbuildError(NOT_TOML, place, f"more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:  # broken UTF-8 and broken TOML both derive from it
        raise HpbuildError(NOT_TOML, place, str(error)[:300]) from None
    reader = _Reader(place)
    return {key: reader.value(item, key[:80], 1) for key, item in document.items()}


class _Reader:
    """Counts the values of one document."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.count = 0

    def value(self, item: object, path: str, depth: int) -> JsonValue:
        self.count += 1
        if self.count > MAX_VALUES or depth > MAX_DEPTH:
            cause = f"more than {MAX_VALUES} values, or more than {MAX_DEPTH} levels deep"
            raise HpbuildError(NOT_TOML, f"{self.place}: {path}", cause)
        if isinstance(item, dict):
            return {key: self.value(one, f"{path}.{key[:80]}", depth + 1) for key, one in item.items()}
        if isinstance(item, list):
            return [self.value(one, f"{path}[{index}]", depth + 1) for index, one in enumerate(item)]
        if isinstance(item, bool | str):
            return item
        if isinstance(item, int) and abs(item) <= MAX_INTEGER:
            return item
        if isinstance(item, datetime) and item.tzinfo is not None and not item.microsecond:
            return self._utc(item, path)
        cause = "a whole number up to 2**53-1, or a time with a zone and whole seconds, is needed"
        raise HpbuildError(NOT_TOML, f"{self.place}: {path}", cause)

    def _utc(self, item: datetime, path: str) -> str:
        try:
            return moment_text(item)
        except OverflowError:
            raise HpbuildError(NOT_TOML, f"{self.place}: {path}", "the time is out of range") from None
