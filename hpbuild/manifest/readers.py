"""Typed readers over parsed JSON. Their errors carry the path of the value.

A ``Node`` knows its parent and its key, so that the path costs nothing until an error needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from hpbuild.codes import manifest as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.strict_json import MAX_INTEGER, JsonValue
from hpbuild.values import Digest

_HEX = frozenset("0123456789abcdef")
_NO_KEYS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value at a place. ``key`` is the member name or list index in ``parent``; for a root,
    which has no parent, ``key`` is the name of the document."""

    value: JsonValue
    parent: Node | None
    key: str | int

    @property
    def place(self) -> str:
        """Document and path, such as ``manifest.json: modules[0].path``."""
        path = ""
        node = self
        while node.parent is not None:
            path = (f"[{node.key}]" if isinstance(node.key, int) else f".{node.key}") + path
            node = node.parent
        return f"{node.key}: {path.removeprefix('.')}" if path else str(node.key)

    def error(self, code: Code, cause: str) -> HpbuildError:
        """An error at this place, to be raised by the caller."""
        return HpbuildError(code, self.place, cause)

    def wrong_type(self, wanted: str) -> HpbuildError:
        """The HP4010 error for a value that is not ``wanted``."""
        return self.error(codes.WRONG_TYPE, f"{wanted} is needed, this is {_kind(self.value)}")

    def fields(self, required: AbstractSet[str], optional: AbstractSet[str] = _NO_KEYS) -> dict[str, Node]:
        """Members of an object by name; a missing or unknown key is refused (HP4011, HP4012)."""
        if not isinstance(self.value, Mapping):
            raise self.wrong_type("an object")
        keys = self.value.keys()
        if missing := required - keys:
            raise self.error(codes.MISSING_KEY, f"key {min(missing)!r} is missing")
        if unknown := keys - required - optional:
            raise self.error(codes.UNKNOWN_KEY, f"key {min(unknown)[:80]!r} is not known")
        return {key: Node(value, self, key) for key, value in self.value.items()}

    def items(self, limit: int = 1_000_000) -> tuple[Node, ...]:
        """Elements of a list of at most ``limit`` elements."""
        return tuple(Node(value, self, index) for index, value in enumerate(self.raw_items(limit)))

    def raw_items(self, limit: int = 1_000_000) -> Sequence[JsonValue]:
        """The list itself, for bulk readers; at most ``limit`` elements (HP4013)."""
        if not isinstance(self.value, list):
            raise self.wrong_type("a list")
        if len(self.value) > limit:
            raise self.error(codes.OUT_OF_RANGE, f"{len(self.value)} elements, at most {limit} are allowed")
        return self.value

    def child(self, index: int) -> Node:
        """Element ``index`` of a list that ``raw_items`` has accepted."""
        assert isinstance(self.value, list)
        return Node(self.value[index], self, index)

    def text(self, limit: int = 4096, *, empty: bool = True) -> str:
        """A string of at most ``limit`` characters without control characters (HP4014)."""
        if not isinstance(self.value, str):
            raise self.wrong_type("a string")
        if len(self.value) > limit:
            raise self.error(codes.BAD_TEXT, f"{len(self.value)} characters, at most {limit} are allowed")
        if not self.value and not empty:
            raise self.error(codes.BAD_TEXT, "the string is empty")
        if not self.value.isprintable():
            for character in self.value:
                if _is_control(ord(character)):
                    raise self.error(codes.BAD_TEXT, f"control character U+{ord(character):04X}")
        return self.value

    def integer(self, low: int = 0, high: int = MAX_INTEGER) -> int:
        """An integer from ``low`` to ``high``, both included (HP4013)."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.wrong_type("an integer")
        if not low <= self.value <= high:
            raise self.error(codes.OUT_OF_RANGE, f"{self.value} is outside {low} to {high}")
        return self.value

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.wrong_type("true or false")
        return self.value

    def choice(self, allowed: Sequence[str]) -> str:
        """One of the strings ``allowed`` (HP4013)."""
        text = self.text()
        if text not in allowed:
            raise self.error(codes.OUT_OF_RANGE, f"{text[:80]!r} is none of {', '.join(allowed)}")
        return text

    def digest(self) -> Digest:
        """A SHA-256 digest as 64 lower-case hexadecimal digits (HP4015)."""
        raw = self.hex_bytes(32)
        if len(raw) != 32:
            raise self.error(codes.BAD_HEX, f"a SHA-256 digest has 32 bytes, not {len(raw)}")
        return Digest(raw)

    def hex_bytes(self, limit: int) -> bytes:
        """At most ``limit`` bytes in lower-case hexadecimal (HP4015)."""
        if not isinstance(self.value, str):
            raise self.wrong_type("a hexadecimal string")
        if len(self.value) > 2 * limit:
            raise self.error(codes.BAD_HEX, f"more than {limit} bytes")
        if len(self.value) % 2 or not _HEX.issuperset(self.value):
            raise self.error(codes.BAD_HEX, "an even number of lower-case hexadecimal digits is needed")
        return bytes.fromhex(self.value)


def root(value: JsonValue, document: str) -> Node:
    """The node of a whole document."""
    return Node(value, None, document)


def _is_control(point: int) -> bool:
    """C0, C1, DEL, line and paragraph separators, and the marks that reorder text (Unicode, UAX #9)."""
    return (
        point < 0x20
        or 0x7F <= point < 0xA0
        or point in (0x061C, 0x200E, 0x200F)
        or 0x2028 <= point <= 0x202E
        or 0x2066 <= point <= 0x2069
    )


def _kind(value: JsonValue) -> str:
    if value is None:
        return "null"
    names = {bool: "a truth value", int: "an integer", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
