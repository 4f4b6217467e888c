"""What the comparison found: facts about functions, data and bytes. Values only, no policy."""

from enum import StrEnum

from hpbuild.dataclass import dataclass
from hpbuild.values import Interval


class Change(StrEnum):
    """The fact about a function or datum."""

    IDENTICAL = "identical"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionChange:
    """One function. Ranges are RVAs, entry range first; ``baseline`` is empty when added, ``fixed`` when
    removed. ``level`` names the match level that paired it, '' when unpaired. ``reason`` says in words
    the first difference; ``line_only`` is True when nothing but ``__LINE__`` values differ."""

    name: str
    change: Change
    baseline: tuple[Interval, ...]
    fixed: tuple[Interval, ...]
    level: str
    reason: str
    line_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumChange:
    """One datum. ``kind`` is rodata, data or bss."""

    name: str
    change: Change
    kind: str
    baseline: Interval | None
    fixed: Interval | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts of functions and data, by change; ``levels`` counts identical and changed pairs by level.
    ``line_only`` functions, in which nothing but line numbers differ, are counted apart from ``changed``."""

    functions_baseline: int
    functions_fixed: int
    identical: int
    changed: int
    line_only: int
    added: int
    removed: int
    data_changed: int
    data_added: int
    data_removed: int
    levels: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The comparison of two images as facts: non-identical functions and data, and the byte account of
    the fixed image (class name, bytes), which adds up to its mapped bytes (``mapped``)."""

    summary: Summary
    functions: tuple[FunctionChange, ...]
    data: tuple[DatumChange, ...]
    account: tuple[tuple[str, int], ...]
    mapped: int
