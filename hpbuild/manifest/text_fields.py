"""Readers of the textual fields that manifest, statement and policies share."""

from __future__ import annotations

from collections.abc import Callable

from hpbuild.codes import manifest as codes
from hpbuild.manifest.readers import Node
from hpbuild.values import parse_moment

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from datetime import datetime
    from typing import TypeVar

    T = TypeVar("T")

_ALPHANUMERIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_ID = _ALPHANUMERIC | frozenset("._+-")
MAX_PATH_TEXT = 1024
MAX_LIST = 10_000


def read_id(node: Node) -> str:
    """A package id: letters, digits and ``._+-``, at most 128 characters."""
    text = node.text(128, empty=False)
    if not _ID.issuperset(text) or text[0] not in _ALPHANUMERIC:
        raise node.error(
            codes.BAD_TEXT, "an id has letters, digits, '.', '_', '+' and '-', a letter or digit first"
        )
    return text


def read_created(node: Node) -> str:
    """A UTC time such as ``2025-01-31T12:00:00Z`` (RFC 3339), or ''."""
    text = node.text(20)
    if text:
        parse_time(node, text)
    return text


def parse_time(node: Node, text: str) -> datetime:
    """The moment ``text`` names (RFC 3339 in UTC, whole seconds); HP4016 at ``node`` when it names none."""
    try:
        return parse_moment(text)
    except ValueError as error:
        raise node.error(codes.BAD_DATE, str(error)) from None


def read_path(node: Node) -> str:
    """A module path as text; its grammar is checked by ``consistency``."""
    return node.text(MAX_PATH_TEXT, empty=False)


def read_present(node: Node | None, read: Callable[[Node], T], limit: int = 1_000_000) -> tuple[T, ...]:
    """The at most ``limit`` elements of an optional list, which is absent when it would be empty (HP4013);
    ``read`` reads one."""
    if node is None:
        return ()
    found = tuple(read(item) for item in node.items(limit))
    if not found:
        raise node.error(codes.OUT_OF_RANGE, "the list is empty; it is left out then")
    return found


def read_unique_texts(node: Node) -> tuple[str, ...]:
    """A list of different non-empty strings of at most 200 characters."""
    texts = tuple(item.text(200, empty=False) for item in node.items(MAX_LIST))
    if len(set(texts)) != len(texts):
        raise node.error(codes.OUT_OF_RANGE, "an element occurs twice")
    return texts
