"""What a text report is made of. Renderers decide how it looks; every string is escaped by them."""

from enum import StrEnum

from hpbuild.dataclass import dataclass


class Tone(StrEnum):
    """How a piece of text is meant; a terminal may colour it, plain text does not show it."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    FAINT = "faint"


@dataclass(frozen=True, slots=True)
class Heading:
    """Starts a part of the report."""

    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names and values, aligned."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under column names. ``right`` holds the indices of right-aligned columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()


Block = Heading | Line | Pairs | Table
