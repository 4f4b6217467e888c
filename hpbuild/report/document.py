"""Pieces that several result documents share, and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice, repeat
from json.encoder import encode_basestring_ascii as _text

from hpbuild import __version__
from hpbuild.errors import Finding
from hpbuild.report.blocks import Block, Heading, Line, Table, Tone
from hpbuild.values import Interval

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from typing import Any, TypeVar

    Document = dict[str, Any]
    T = TypeVar("T")
else:
    Document = dict

_NONE = type(None)
_INDENT = "  "
_TOGETHER = 1 << 9
"""Objects that are written together: what is made on the way serves the next ones, instead of more memory."""
TOOL = f"hpbuild {__version__}"
SHOWN_ROWS = 40
"""Rows of a long list that a text report shows unless it is asked for all."""


def schema_id(name: str) -> str:
    """The ``$id`` of the schema that documents of this kind validate against."""
    return f"urn:hpbuild:schema:{name}:1"


def start(name: str) -> Document:
    """The first two entries of every result document."""
    return {"schema": schema_id(name), "tool": TOOL}


def json_text(document: Document) -> str:
    """The document as indented ASCII JSON with a final newline, keys in the order they were entered."""
    (text,) = _written([document], "\n")
    text += "\n"
    return text


def _written(values: Sequence[Any], line: str) -> list[str]:
    """Each value as ``json.dumps(value, indent=2)`` writes it, which is several times slower: with indents
    the library's quick encoder is not used. Long documents are lists of objects with the same keys, so all
    values under one key are written together. ``line`` is a new line with the indent of what the values
    are in."""
    kinds = set(map(type, values))
    if _NONE in kinds:
        others = iter(_written([value for value in values if value is not None], line))
        return ["null" if value is None else next(others) for value in values]
    if len(kinds) > 1:
        return _apart(values, list(map(type, values)), line)
    kind = kinds.pop() if kinds else None
    if kind is str:
        return list(map(_text, values))
    if kind is int:
        return list(map(repr, values))
    if kind is bool:
        return ["true" if value else "false" for value in values]
    if kind is not None and issubclass(kind, dict):
        return _objects(values, line)
    if kind is not None and issubclass(kind, list | tuple):
        return _lists(values, line)
    return [json.dumps(value, ensure_ascii=True, allow_nan=False) for value in values]


def _apart(values: Sequence[Any], groups: Sequence[object], line: str) -> list[str]:
    """Each value as text; those of one of ``groups``, which stand beside the values, are written together."""
    together: dict[object, list[Any]] = {}
    for group, value in zip(groups, values, strict=True):
        together.setdefault(group, []).append(value)
    texts = {group: iter(_written(members, line)) for group, members in together.items()}
    return [next(texts[group]) for group in groups]


def _objects(values: Sequence[Document], line: str) -> list[str]:
    if len(values) > _TOGETHER:
        runs = [values[first : first + _TOGETHER] for first in range(0, len(values), _TOGETHER)]
        return list(chain.from_iterable([_objects(run, line) for run in runs]))
    keys = tuple(values[0])
    # One after another they are the keys of the first again and again, and as many: no object has more of
    # them, for a key would come twice in it, and so none has fewer.
    if list(chain.from_iterable(values)) != [*keys] * len(values):
        return _apart(values, list(map(tuple, values)), line)
    if not keys:
        return ["{}"] * len(values)
    fields = list(chain.from_iterable([value.values() for value in values]))
    inner = line + _INDENT
    columns: list[Iterable[str]] = []
    before = "{"
    for number, key in enumerate(keys):
        columns.append(repeat(f"{before}{inner}{_text(key)}: "))
        columns.append(_written(fields[number :: len(keys)], inner))
        before = ","
    return list(map("".join, zip(*columns, repeat(f"{line}}}"))))


def _lists(values: Sequence[Sequence[Any]], line: str) -> list[str]:
    inner = line + _INDENT
    items = iter(_written(list(chain.from_iterable(values)), inner))
    between = f",{inner}"
    return [
        f"[{inner}{between.join(islice(items, len(value)))}{line}]" if value else "[]" for value in values
    ]


def extent(interval: Interval | None) -> Document | None:
    """A range of RVAs as ``{rva, size}``; None stays None."""
    return None if interval is None else {"rva": int(interval.start), "size": interval.end - interval.start}


def extents(ranges: Iterable[Interval]) -> list[Document]:
    """Ranges of RVAs as a list of ``{rva, size}``."""
    return [{"rva": int(item.start), "size": item.end - item.start} for item in ranges]


def finding(item: Finding) -> Document:
    """A finding with everything that its code says, so that a reader needs no second look-up."""
    return {
        "code": item.code.id,
        "severity": item.code.severity.value,
        "title": item.code.title,
        "place": item.place,
        "cause": item.cause,
        "remedy": item.remedy,
    }


def recorded_finding(code: str, severity: str, place: str, cause: str) -> Document:
    """A finding read back from a package; its code may be one that this version does not know."""
    from hpbuild.codes import find_code

    row = find_code(code)
    return {
        "code": code,
        "severity": severity,
        "title": row.title if row else "",
        "place": place,
        "cause": cause,
        "remedy": row.remedy if row else "",
    }


def exclusions(items: Iterable[Any]) -> list[Document]:
    """Declared differences; anything with ``klass``, ``place`` and ``cause``."""
    return [{"class": item.klass, "place": item.place, "cause": item.cause} for item in items]


def place_of(entry: Document | None) -> str:
    """``0x1000+32`` for ``{rva, size}``, '-' for None."""
    return "-" if entry is None else f"{entry['rva']:#x}+{entry['size']}"


def counted(number: int, noun: str) -> str:
    """``1 function``, ``2 functions``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shortened(table: Table, *, full: bool) -> list[Block]:
    """The table, cut after ``SHOWN_ROWS`` rows unless ``full``, with a line that says so."""
    return shortened_list(table.columns, table.rows, tuple, full=full, right=table.right)


def shortened_list(
    columns: tuple[str, ...],
    items: Sequence[T],
    row: Callable[[T], tuple[str, ...]],
    *,
    full: bool,
    right: frozenset[int] = frozenset(),
) -> list[Block]:
    """As ``shortened`` the table with a ``row`` of each of ``items``, which is made only of those shown."""
    shown = items if full else items[:SHOWN_ROWS]
    table = Table(columns, tuple(map(row, shown)), right)
    hidden = len(items) - len(shown)
    return [table, Line(f"  ... {hidden:,} more; -v shows all", Tone.FAINT)] if hidden else [table]


TONES = {"refuse": Tone.BAD, "warn": Tone.WARN, "note": Tone.PLAIN}


def finding_blocks(findings: list[Document]) -> list[Block]:
    """The findings as text, those that refuse first: code, place, cause and, where known, the remedy."""
    if not findings:
        return []
    blocks: list[Block] = [Heading("findings")]
    for item in sorted(findings, key=lambda item: [*TONES, item["severity"]].index(item["severity"])):
        tone = TONES.get(item["severity"], Tone.PLAIN)
        blocks.append(Line(f"  {item['severity']} {item['code']} {item['place']}: {item['cause']}", tone))
        if item["remedy"]:
            blocks.append(Line(f"    {item['remedy']}", Tone.FAINT))
    return blocks


def exclusion_blocks(rows: list[Document], *, full: bool) -> list[Block]:
    """What differs and is not delivered."""
    if not rows:
        return []
    cells = tuple((row["class"], row["place"], row["cause"]) for row in rows)
    return [Heading("not delivered"), *shortened(Table(("class", "place", "why"), cells), full=full)]
