"""Strict JSON: one meaning per document, bounded before it is built.

RFC 8259 leaves duplicate keys, numbers and depth to the reader; here they are refused, so that no two
readers of a package can see different things. The canonical form is RFC 8785 (JCS).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from hpbuild.codes import manifest as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from typing import NoReturn, TypeAlias

JsonValue: TypeAlias = "bool | int | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"

MAX_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""

# An unterminated string matches up to the end, so that hostile quotes cost linear time.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[\[\]{},]', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_LONG = re.compile(r"(?<![0-9A-Za-z\"])[0-9]{16,}")
"""Where every number of more than 15 digits is: in JSON, no number stands behind a letter or a quote."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLimits:
    """Bounds of one document: ``size`` in bytes, nesting ``depth``, number of ``values``, and ``text``,
    the length of one string as written, in characters."""

    size: int
    depth: int
    values: int
    text: int


DEFAULT_LIMITS = JsonLimits(size=64 << 20, depth=16, values=4_000_000, text=1 << 20)
SMALL_LIMITS = JsonLimits(size=1 << 20, depth=16, values=50_000, text=1 << 20)


def parse(data: bytes, document: str, limits: JsonLimits = DEFAULT_LIMITS) -> JsonValue:
    """Value of the JSON text ``data``; ``document`` names it in errors.

    Refuses with HP40xx: broken UTF-8 or syntax, byte order mark, duplicate keys, fractions and exponents,
    NaN and Infinity, integers beyond 2**53-1, lone surrogates, and whatever exceeds ``limits``.
    """
    if len(data) > limits.size:
        raise HpbuildError(codes.LIMIT, document, f"{len(data)} bytes, at most {limits.size} are read")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HpbuildError(codes.NOT_JSON, document, f"not UTF-8 at byte {error.start}") from None
    _scan(text, document, limits)
    hooks = _Hooks(document)
    try:
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=hooks.pairs,
            parse_int=hooks.integer if _LONG.search(text) else None,
            parse_float=hooks.fraction,
            parse_constant=hooks.fraction,
        )
    except json.JSONDecodeError as error:
        raise HpbuildError(codes.NOT_JSON, document, f"{error.msg} at character {error.pos}") from None
    return value


def canonical(value: JsonValue, document: str) -> bytes:
    """RFC 8785 bytes of ``value``; HP4002 when the value has no canonical form."""
    import rfc8785  # who only reads seldom needs it

    try:
        encoded: bytes = rfc8785.dumps(value)
    except ValueError as error:
        raise HpbuildError(codes.UNENCODABLE, document, str(error)) from None
    return encoded


def parse_canonical(data: bytes, document: str, limits: JsonLimits = DEFAULT_LIMITS) -> JsonValue:
    """Like ``parse``, and ``data`` must be the canonical form of its value (HP4003)."""
    value = parse(data, document, limits)
    if not _is_plain_canonical(value, data) and canonical(value, document) != data:
        raise HpbuildError(
            codes.NOT_CANONICAL, document, "the bytes are not the RFC 8785 form of their value"
        )
    return value


def _is_plain_canonical(value: JsonValue, data: bytes) -> bool:
    """Whether ``data`` certainly is the RFC 8785 form of ``value``, which was parsed from it.

    In ASCII alone the order of keys by UTF-16 units is that of Python's strings, and Python's own encoder,
    which is written in C, escapes the same characters in the same way (RFC 8785, sections 3.2.2.2, 3.2.3).
    Numbers are integers that every reader keeps."""
    if not data.isascii():
        return False
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode() == data


def _within(text: str, limits: JsonLimits) -> bool:
    """Whether ``text`` certainly is within ``limits`` and has no escaped surrogates: all that ``_scan`` looks
    for, without a step of Python for every token."""
    if _SURROGATE.search(text):
        return False
    if len(text) > limits.text and any(
        found.end() - found.start() - 2 > limits.text for found in _STRING.finditer(text)
    ):
        return False
    frame = _STRING.sub("", text)
    values = frame.count("[") + frame.count("{") + frame.count(",")
    if values > limits.values:
        return False
    depth = deepest = 0
    for bracket in frame.encode().translate(None, _NO_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest <= limits.depth


def _scan(text: str, document: str, limits: JsonLimits) -> None:
    """Check depth, number of values and strings before anything is built from the text."""
    if _within(text, limits):
        return
    depth = values = 0
    for match in _TOKEN.finditer(text):
        piece = match.group()
        if piece in "[{":
            depth += 1
            values += 1
        elif piece in "]}":
            depth -= 1
        elif piece == ",":
            values += 1
        elif len(piece) - 2 > limits.text:
            raise HpbuildError(
                codes.LIMIT, document, f"a string of {len(piece) - 2} characters at {match.start()}"
            )
        elif _SURROGATE.search(piece):
            _check_surrogates(piece, match.start(), document)
        if depth > limits.depth:
            raise HpbuildError(
                codes.LIMIT, document, f"more than {limits.depth} levels deep at {match.start()}"
            )
        if values > limits.values:
            raise HpbuildError(codes.LIMIT, document, f"more than {limits.values} values")


def _check_surrogates(token: str, position: int, document: str) -> None:
    try:
        str(json.loads(token)).encode("utf-8")
    except json.JSONDecodeError:
        return  # the full parse reports it
    except UnicodeEncodeError:
        raise HpbuildError(codes.NOT_JSON, document, f"lone surrogate in the string at {position}") from None


@dataclass(frozen=True, slots=True)
class _Hooks:
    document: str

    def pairs(self, pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            twin = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise HpbuildError(codes.DUPLICATE_KEY, self.document, f"key {twin[:80]!r} twice in one object")
        return result

    def integer(self, text: str) -> int:
        if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
            raise HpbuildError(codes.NUMBER, self.document, f"the integer {text[:40]} is beyond 2**53-1")
        return int(text)

    def fraction(self, text: str) -> NoReturn:
        raise HpbuildError(codes.NUMBER, self.document, f"{text[:40]} is not an integer")
