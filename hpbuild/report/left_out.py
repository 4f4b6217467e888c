"""What a list of functions leaves out of a package, in documents and as text."""

from collections.abc import Sequence

from hpbuild.manifest.model import Exclusion
from hpbuild.report.blocks import Block, Heading, Line, Table, Tone
from hpbuild.report.document import Document, counted, extents, shortened


def left_out(items: Sequence[Exclusion]) -> list[Document]:
    """The parts that are left out, with their ranges in the fixed image and those that stay in use."""
    return [
        {
            "place": item.place,
            "cause": item.cause,
            "fixed": extents(item.fixed),
            "baseline": extents(item.baseline),
        }
        for item in items
    ]


def exception(parts: Sequence[Document]) -> str:
    """Words behind a verdict for what it leaves aside; '' when that is nothing."""
    return f", but for {counted(len(parts), 'part')} left out by choice" if parts else ""


def left_out_blocks(only: Sequence[str], parts: Sequence[Document], *, full: bool) -> list[Block]:
    """The list of functions and what it leaves out; nothing for a package without a list."""
    if not only and not parts:
        return []
    rows = tuple(
        (part["place"], part["cause"], ", ".join(f"{item['rva']:#x}" for item in part["baseline"]) or "-")
        for part in parts
    )
    table = Table(("part", "what", "in use: the baseline's at"), rows)
    listed = Line(f"  limited to {', '.join(only) or 'nothing'}: not the whole fixed build", Tone.WARN)
    return [Heading("left out by choice"), listed, *shortened(table, full=full)]
