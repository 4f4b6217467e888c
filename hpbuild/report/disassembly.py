"""Old and new code side by side."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from hpbuild.report.blocks import Block, Heading, Line, Table, Tone
from hpbuild.report.document import Document

Instruction = tuple[int, str, str]
"""(RVA, bytes in hex, text)."""

ALIGNED_AT_MOST = 4000
"""Instructions a side that are aligned; the time grows with the square."""

LEGEND = "- only old, + only new, ! different in more than the address that is jumped to or read"

_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9]+\b")
_TARGET = re.compile(r"(^(?:call|j[a-z]+|loop[a-z]*) (?:short )?|\[)0x[0-9a-f]+(?=\]|$)")
"""The target of a branch, or an absolute address alone in brackets, as RIP-relative operands are shown."""


def function(
    module: str, name: str, old: Sequence[Instruction] | None, new: Sequence[Instruction]
) -> Document:
    """One function; ``old`` is None when the baseline was not given, empty for an added function."""
    return {
        "module": module,
        "name": name,
        "baseline": None if old is None else [_entry(item) for item in old],
        "patch": [_entry(item) for item in new],
    }


def _entry(item: Instruction) -> Document:
    return {"rva": item[0], "bytes": item[1], "text": item[2]}


def blocks(functions: Sequence[Document]) -> list[Block]:
    """Each function as one table; a mark between the columns shows where they differ."""
    parts: list[Block] = []
    if any(entry["baseline"] is not None for entry in functions):
        parts += [Heading("code, old and new"), Line(LEGEND, Tone.FAINT)]
    for entry in functions:
        parts.append(Heading(f"code of {entry['name'] or '(no name)'} in {entry['module']}"))
        if entry["baseline"] is None:
            rows = tuple((_rva(item), item["bytes"], item["text"]) for item in entry["patch"])
            parts.append(Table(("rva", "bytes", "patch image"), rows))
        else:
            pairs = tuple(_row(old, new) for old, new in aligned(entry["baseline"], entry["patch"]))
            parts.append(Table(("rva", "baseline", "", "rva", "patch image"), pairs))
    return parts


def _row(old: Document | None, new: Document | None) -> tuple[str, ...]:
    if old is None:
        mark = "+"
    elif new is None:
        mark = "-"
    else:
        mark = " " if _meaning(old) == _meaning(new) else "!"
    return (_rva(old), _text(old), mark, _rva(new), _text(new))


def _rva(item: Document | None) -> str:
    return "" if item is None else f"{item['rva']:#x}"


def _text(item: Document | None) -> str:
    return "" if item is None else str(item["text"])


def _meaning(item: Document) -> str:
    """The instruction without target addresses, which differ everywhere between two builds. Constants
    stay: they may be all that a fix changes."""
    return _TARGET.sub(r"\1#", item["text"])


def _shape(item: Document) -> str:
    """The instruction without any number, to find its counterpart."""
    return _NUMBER.sub("#", item["text"])


def aligned(
    old: Sequence[Document], new: Sequence[Document]
) -> Iterator[tuple[Document | None, Document | None]]:
    """Pairs of instructions, None where one side has no counterpart."""
    if max(len(old), len(new)) > ALIGNED_AT_MOST:
        yield from _filled(old, new)
        return
    matcher = SequenceMatcher(None, [*map(_shape, old)], [*map(_shape, new)], autojunk=False)
    for _, start, end, new_start, new_end in matcher.get_opcodes():
        yield from _filled(old[start:end], new[new_start:new_end])


def _filled(
    old: Sequence[Document], new: Sequence[Document]
) -> Iterator[tuple[Document | None, Document | None]]:
    for index in range(max(len(old), len(new))):
        yield (old[index] if index < len(old) else None, new[index] if index < len(new) else None)
