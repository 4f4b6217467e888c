"""What a list of functions leaves out of a package, many parts in one value.

A release changes thousands of functions and data when a package carries ten of them. What stays is told by
kind and shape: parts of one shape have the same number of ranges, so that their places are a plain row of
numbers.
"""

from collections.abc import Iterator, Sequence

from hpbuild.dataclass import dataclass
from hpbuild.values import Interval

NOT_SELECTED = "not-selected"
"""Class of differences that a list of functions leaves out (``Module.only``)."""
FUNCTION = "function"
KINDS = (FUNCTION, "rodata", "data", "bss")
"""What a part can be."""
NEW = "new"
SAME = "same"
CHANGES = ("changed", NEW, SAME)
"""Why a part is left out. ``same``: equal in both images, but it leads into a part that is left out."""


@dataclass(frozen=True, slots=True)
class LeftOutPart:
    """One function or datum that is left out. ``fixed`` are its ranges in the fixed image, entry first;
    ``baseline`` in step with the first of them those of the baseline's version, which stays in use."""

    place: str
    cause: str
    fixed: tuple[Interval, ...]
    baseline: tuple[Interval, ...]
    klass: str = NOT_SELECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Parts of one kind and shape.

    Every part has ``ranges`` ranges in the fixed image, entry first, and the first ``kept`` of them have a
    version in the baseline that stays in use; none when the parts are new. ``fixed`` and ``baseline`` are the
    borders of all ranges, part after part: start, end, start, end, and so on; parts ascend by their entry.
    ``names`` are those of the parts, empty when all of them are called by their address.
    """

    what: str
    change: str
    ranges: int
    kept: int
    fixed: tuple[int, ...]
    baseline: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, bool, int, int]:
        """Kind and shape. The groups of a module ascend by it, and each occurs once."""
        return self.what, self.change, bool(self.names), self.ranges, self.kept

    @property
    def count(self) -> int:
        """Number of parts."""
        return len(self.fixed) // (2 * self.ranges)

    @property
    def entries(self) -> Sequence[int]:
        """RVA in the fixed image at which each part begins."""
        return self.fixed[:: 2 * self.ranges]

    @property
    def stays(self) -> Sequence[int]:
        """RVA in the baseline at which the version of each part begins that stays in use."""
        return self.baseline[:: 2 * self.kept] if self.kept else ()

    def place(self, number: int) -> str:
        """What part ``number`` is called."""
        if self.names:
            return self.names[number]
        return address_name(self.what, self.fixed[2 * self.ranges * number])

    def part(self, number: int) -> LeftOutPart:
        """Part ``number`` with all that is known of it."""
        fixed = _ranges(self.fixed, number, self.ranges)
        return LeftOutPart(
            self.place(number),
            cause_of(self.change, self.what, fixed),
            fixed,
            _ranges(self.baseline, number, self.kept),
        )

    def parts(self) -> Iterator[LeftOutPart]:
        """All parts, one by one."""
        return map(self.part, range(self.count))

    def rows(self) -> Iterator[tuple[str, str, Sequence[int], Sequence[int]]]:
        """Of all parts, one by one, ``place``, ``cause``, and the borders of their ranges in the fixed image
        and in the baseline: ``parts`` without an object for each range."""
        new, old = 2 * self.ranges, 2 * self.kept
        for number in range(self.count):
            fixed = self.fixed[new * number : new * (number + 1)]
            size = sum(fixed[1::2]) - sum(fixed[::2])
            cause = _cause(self.change, self.what, fixed[0], size)
            yield self.place(number), cause, fixed, self.baseline[old * number : old * (number + 1)]


def address_name(what: str, entry: int) -> str:
    """What a part without a name is called."""
    return f"sub_{entry:x}" if what == FUNCTION else f"{entry:#x}"


def cause_of(change: str, what: str, fixed: Sequence[Interval]) -> str:
    """Why a part with the ranges ``fixed`` is left out, in words."""
    return _cause(change, what, fixed[0].start, sum(map(len, fixed)))


def _cause(change: str, what: str, entry: int, size: int) -> str:
    words = f"{change} {what} at {entry:#x}, {size} bytes"
    if change != SAME:
        return words
    return f"{words}, leads into {'one' if what == FUNCTION else 'a function'} that is left out"


def _ranges(borders: Sequence[int], number: int, each: int) -> tuple[Interval, ...]:
    own = borders[2 * number * each : 2 * (number + 1) * each]
    return tuple(map(Interval, own[::2], own[1::2]))
