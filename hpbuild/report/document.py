"""Pieces that several result documents share, and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as _text

from hpbuild import __version__
from hpbuild.errors import Finding
from hpbuild.report.blocks import Block, Heading, Line, Table, Tone
from hpbuild.values import Interval

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from typing import Any

    Document = dict[str, Any]
else:
    Document = dict

_INDENT = "  "
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
    return _written(document, "\n") + "\n"


def _written(value: Any, line: str) -> str:
    """The value as ``json.dumps(value, indent=2)`` writes it, which is several times slower: with indents the
    library's quick encoder is not used. ``line`` is a new line with the indent of what the value is in."""
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is int:
        return f"{value}"
    if value is None:
        return "null"
    if isinstance(value, dict):
        return _object(value, line)
    if isinstance(value, list | tuple):
        inner = line + _INDENT
        parts = f",{inner}".join([_written(item, inner) for item in value])
        return f"[{inner}{parts}{line}]" if value else "[]"
    return json.dumps(value, ensure_ascii=True, allow_nan=False)


def _object(fields: Document, line: str) -> str:
    inner = line + _INDENT
    parts = f",{inner}".join(
        [
            f"{_text(key)}: {_text(value) if type(value) is str else _written(value, inner)}"
            for key, value in fields.items()
        ]
    )
    return f"{{{inner}{parts}{line}}}" if fields else "{}"


def extent(interval: Interval | None) -> Document | None:
    """A range of RVAs as ``{rva, size}``; None stays None."""
    return None if interval is None else {"rva": int(interval.start), "size": len(interval)}


def extents(ranges: Iterable[Interval]) -> list[Document]:
    """Ranges of RVAs as a list of ``{rva, size}``."""
    return [{"rva": int(item.start), "size": len(item)} for item in ranges]


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
    hidden = len(table.rows) - SHOWN_ROWS
    if full or hidden <= 0:
        return [table]
    cut = Table(table.columns, table.rows[:SHOWN_ROWS], table.right)
    return [cut, Line(f"  ... {hidden:,} more; -v shows all", Tone.FAINT)]


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
