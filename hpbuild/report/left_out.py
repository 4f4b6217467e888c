"""What a list of functions leaves out of a package, in documents and as text."""

from collections.abc import Sequence

from hpbuild.manifest.left_out import SAME, LeftOut
from hpbuild.report.blocks import Block, Heading, Line, Table, Tone
from hpbuild.report.document import Document, counted, shortened


def left_out(groups: Sequence[LeftOut]) -> list[Document]:
    """The parts that are left out, with their ranges in the fixed image and those that stay in use."""
    return [
        {
            "place": place,
            "kind": group.what,
            "change": group.change,
            "cause": cause,
            "fixed": _extents(fixed),
            "baseline": _extents(baseline),
        }
        for group in groups
        for place, cause, fixed, baseline in group.rows()
    ]


def _extents(borders: Sequence[int]) -> list[Document]:
    return [
        {"rva": start, "size": end - start} for start, end in zip(borders[::2], borders[1::2], strict=True)
    ]


def exception(parts: Sequence[Document]) -> str:
    """Words behind a verdict for what it leaves aside; '' when that is nothing."""
    return f", but for {counted(len(parts), 'part')} left out by choice" if parts else ""


def left_out_blocks(only: Sequence[str], parts: Sequence[Document], *, full: bool) -> list[Block]:
    """The list of functions and what it leaves out, counted and part by part; nothing for a package without a
    list."""
    if not only and not parts:
        return []
    rows = tuple(
        (part["place"], part["cause"], ", ".join(f"{item['rva']:#x}" for item in part["baseline"]) or "-")
        for part in parts
    )
    table = Table(("part", "what", "in use: the baseline's at"), rows)
    listed = Line(f"  limited to {', '.join(only) or 'nothing'}: not the whole fixed build", Tone.WARN)
    return [Heading("left out by choice"), listed, *_sums(parts), *shortened(table, full=full)]


def _sums(parts: Sequence[Document]) -> list[Block]:
    """One line for each kind and reason."""
    sizes: dict[tuple[str, str], list[int]] = {}
    for part in parts:
        size = sum(item["size"] for item in part["fixed"])
        sizes.setdefault((part["change"], part["kind"]), []).append(size)
    return [
        Line(f"  {change} {kind}: {counted(len(found), 'part')}, {counted(sum(found), 'byte')}{_why(change)}")
        for (change, kind), found in sorted(sizes.items())
    ]


def _why(change: str) -> str:
    return ", which lead into what is left out" if change == SAME else ""
