"""Why functions are called what they are called: the part of ``diff`` that --explain-function asks for."""

from collections.abc import Sequence

from hpbuild.match.explained import Disagreement, Explanation, Instruction, Part, Place
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, counted, extent, extents

TONES = {"identical": Tone.GOOD, "changed": Tone.WARN, "added": Tone.WARN, "removed": Tone.WARN}
MARK = ">"
CONTENT_SHOWN = 24
"""Digits of an instruction's bytes that fit into the table."""


def explanation(item: "Explanation") -> Document:
    """One function (``hpbuild.match.explanation`` makes it)."""
    return {
        "asked": item.asked,
        "name": item.name,
        "baseline_name": item.baseline_name,
        "change": item.change.value,
        "line_only": item.line_only,
        "reason": item.reason,
        "fixed": extents(item.fixed),
        "baseline": extents(item.baseline),
        "match_level": item.level,
        "evidence": item.evidence,
        "witnesses": {"names": list(item.witnesses), "count": item.witness_count},
        "references": item.references,
        "parts": [_part(part) for part in item.parts],
        "fixed_code": [_instruction(line) for line in item.fixed_code],
        "baseline_code": [_instruction(line) for line in item.baseline_code],
        "disagreement": None if item.disagreement is None else _disagreement(item.disagreement),
    }


def _part(part: "Part") -> Document:
    return {
        "fixed": extent(part.fixed),
        "baseline": extent(part.baseline),
        "match_level": part.level,
        "outcome": part.outcome,
    }


def _instruction(line: "Instruction") -> Document:
    return {"rva": line.rva, "bytes": line.content, "text": line.text, "differs": line.differs}


def _disagreement(item: "Disagreement") -> Document:
    return {
        "kind": item.kind,
        "fixed_site": item.fixed_site,
        "baseline_site": item.baseline_site,
        "fixed": _place(item.fixed),
        "baseline": _place(item.baseline),
        "testimony": list(item.testimony),
    }


def _place(place: "Place") -> Document:
    return {
        "rva": place.rva,
        "section": place.section,
        "kind": place.kind,
        "name": place.name,
        "offset": place.offset,
        "content": place.content,
    }


def blocks(entries: Sequence[Document]) -> list[Block]:
    """Each function: what it is called, on what evidence, and where it differs."""
    parts: list[Block] = []
    for entry in entries:
        change = "line-only" if entry["line_only"] else entry["change"]
        parts.append(Heading(f"{entry['name']}: {change}"))
        parts.append(Line(f"  {entry['reason']}", TONES[entry["change"]]))
        parts.append(Pairs(_facts(entry)))
        if len(entry["parts"]) > 1:
            parts += _parts(entry["parts"])
        if entry["fixed_code"] or entry["baseline_code"]:
            parts += _code(entry["baseline_code"], entry["fixed_code"])
        if entry["disagreement"] is not None:
            parts += _reference(entry["disagreement"])
    return parts


def _facts(entry: Document) -> tuple[tuple[str, str], ...]:
    rows = [
        ("  baseline", _ranges(entry["baseline"], entry["baseline_name"])),
        ("  fixed", _ranges(entry["fixed"], entry["name"])),
    ]
    if entry["match_level"]:
        rows.append(("  paired by", f"{entry['match_level']}: {entry['evidence']}"))
        rows.append(("  referred to alike", _witnesses(entry["witnesses"])))
    elif entry["evidence"]:
        rows.append(("  paired by", entry["evidence"]))
    if entry["change"] == "identical":
        rows.append(("  agreeing", counted(entry["references"], "reference")))
    return tuple(rows)


def _witnesses(witnesses: Document) -> str:
    names, count = witnesses["names"], witnesses["count"]
    if not count:
        return "by no identical function"
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return f"by {', '.join(names)}{more}"


def _ranges(ranges: list[Document], name: str) -> str:
    places = ", ".join(f"{item['rva']:#x}+{item['size']}" for item in ranges)
    return f"{places} {name}" if places else "-"


def _parts(rows: list[Document]) -> list[Block]:
    cells = tuple(
        (
            _ranges([row["baseline"]] if row["baseline"] else [], "").strip(),
            _ranges([row["fixed"]], "").strip(),
            row["match_level"] or "-",
            row["outcome"],
        )
        for row in rows
    )
    return [Line("  parts"), Table(("baseline", "fixed", "matched by", "outcome"), cells)]


def _code(baseline: list[Document], fixed: list[Document]) -> list[Block]:
    rows: list[tuple[str, ...]] = []
    for title, listing in (("baseline", baseline), ("fixed", fixed)):
        if not any(line["differs"] for line in listing):
            rows.append((title, "", "", "", "(the code ends here)"))
        for line in listing:
            mark = MARK if line["differs"] else ""
            content = line["bytes"]
            short = content if len(content) <= CONTENT_SHOWN else f"{content[: CONTENT_SHOWN - 2]}.."
            rows.append((title, mark, f"{line['rva']:#x}", short, line["text"]))
    return [
        Line(f"  code around the first difference ({MARK})"),
        Table(("image", "", "rva", "bytes", "instruction"), tuple(rows)),
    ]


def _reference(item: Document) -> list[Block]:
    rows = tuple(
        (side, f"{item[f'{side}_site']:#x}", item["kind"], *_target(item[side]))
        for side in ("baseline", "fixed")
    )
    columns = ("image", "at", "reference", "names", "what", "content")
    parts: list[Block] = [Line("  the reference that disagrees"), Table(columns, rows)]
    return parts + [Line(f"    {words}", Tone.FAINT) for words in item["testimony"]]


def _target(place: Document) -> tuple[str, str, str]:
    where = f"{place['rva']:#x} {place['section']}".rstrip()
    distance = f"+{place['offset']:#x}" if place["offset"] else ""
    return where, f"{place['kind']} {place['name']}{distance}".rstrip(), place["content"]
