"""Half-open ranges of addresses or offsets."""

from hpbuild.dataclass import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Half-open range ``[start, end)`` in bytes; addresses or offsets, as the holder says.

    Raises ValueError when ``end < start`` or ``start < 0``.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"not an interval: [{self.start:#x}, {self.end:#x})")

    def __len__(self) -> int:
        return self.end - self.start

    def __contains__(self, address: int) -> bool:
        return self.start <= address < self.end

    def covers(self, other: "Interval") -> bool:
        """True when every byte of ``other`` lies inside this interval."""
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: "Interval") -> bool:
        """True when the two share at least one byte."""
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        return f"[{self.start:#x}, {self.end:#x})"
