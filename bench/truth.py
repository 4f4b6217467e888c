"""What the objects of a build show to differ between its two sides: ``truth.json`` of the patch corpus.

The format is in the corpus's README. Everything that scoring relies on is checked when it is read; a file
that does not fit raises TruthError with the path of the field, e.g. ``functions.changed[3].size``.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class TruthError(Exception):
    """A truth file that cannot be read as one: file, field and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One function or datum. ``size`` is that of the side it is on, of both when it changed. ``kind`` is
    'data', 'rodata' or 'bss', '' for functions; ``line_only`` is None where it was not determined."""

    name: str
    file: str
    static: bool
    size: tuple[int, ...]
    kind: str = ""
    line_only: bool | None = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Functions, or data: what changed, what is new, what is gone."""

    changed: tuple[Entry, ...]
    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]

    @property
    def none(self) -> bool:
        """Whether nothing differs."""
        return not (self.changed or self.added or self.removed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One build of one pair. ``constants`` are the unnamed constants of each side that the other lacks, as
    (added, removed); ``exports`` are those that one image alone has; ``imports`` as (added, removed)."""

    functions: Items
    data: Items
    constants: tuple[tuple[str, ...], tuple[str, ...]]
    exports: tuple[str, ...]
    imports: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def carries(self) -> bool:
        """Whether there is code to deliver: a function changed by more than ``__LINE__``, or data did. New
        functions and data alone are reached by nothing."""
        return any(entry.line_only is not True for entry in self.functions.changed) or bool(self.data.changed)


def read_truth(path: Path) -> Truth:
    """The truth in file *path*. Raises TruthError."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise TruthError(f"{path}: {error}") from error
    try:
        return parse_truth(document)
    except TruthError as error:
        raise TruthError(f"{path}: {error}") from error


def parse_truth(document: object) -> Truth:
    """The truth in a parsed JSON document. Raises TruthError."""
    top = _mapping(document, "the document")
    exports = _mapping(top.get("exports", {}), "exports")
    return Truth(
        functions=_items(top.get("functions"), "functions", _function),
        data=_items(top.get("data"), "data", _datum),
        constants=_sides(top.get("anonymous_constants", {}), "anonymous_constants"),
        exports=tuple(
            name
            for what in ("functions", "data")
            for names in _sides(exports.get(what, {}), f"exports.{what}")
            for name in names
        ),
        imports=_sides(top.get("imports", {}), "imports"),
    )


def _items(value: object, where: str, read: Callable[[object, str, int], Entry]) -> Items:
    table = _mapping(value, where)
    return Items(
        changed=_entries(table.get("changed"), f"{where}.changed", read, 2),
        added=_entries(table.get("added"), f"{where}.added", read, 1),
        removed=_entries(table.get("removed"), f"{where}.removed", read, 1),
    )


def _entries(
    value: object, where: str, read: Callable[[object, str, int], Entry], sides: int
) -> tuple[Entry, ...]:
    if not isinstance(value, list):
        raise TruthError(f"{where}: a list is expected")
    return tuple(read(item, f"{where}[{number}]", sides) for number, item in enumerate(value))


def _function(value: object, where: str, sides: int) -> Entry:
    item = _mapping(value, where)
    line_only = item.get("line_only", False)
    if line_only is not None and not isinstance(line_only, bool):
        raise TruthError(f"{where}.line_only: true, false or null is expected")
    return Entry(**_common(item, where, sides), line_only=line_only)


def _datum(value: object, where: str, sides: int) -> Entry:
    item = _mapping(value, where)
    if item.get("kind") not in ("data", "rodata", "bss"):
        raise TruthError(f"{where}.kind: data, rodata or bss is expected")
    return Entry(**_common(item, where, sides), kind=str(item["kind"]))


def _common(item: Mapping[str, object], where: str, sides: int) -> dict[str, Any]:
    name, file = item.get("name"), item.get("file", "")
    if not isinstance(name, str) or not name:
        raise TruthError(f"{where}.name: a name is expected")
    if not isinstance(file, str):
        raise TruthError(f"{where}.file: a path is expected")
    size = item.get("size")
    sizes = size if isinstance(size, list) else [size]
    if len(sizes) != sides or not all(type(value) is int and value >= 0 for value in sizes):
        raise TruthError(f"{where}.size: {sides} number{'s' if sides > 1 else ''} of bytes expected")
    return {"name": name, "file": file, "static": item.get("linkage") == "static", "size": tuple(sizes)}


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TruthError(f"{where}: an object is expected")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TruthError(f"{where}: a list of texts is expected")
    return tuple(value)


def _sides(value: object, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    table = _mapping(value, where)
    return (
        _texts(table.get("added", []), f"{where}.added"),
        _texts(table.get("removed", []), f"{where}.removed"),
    )
