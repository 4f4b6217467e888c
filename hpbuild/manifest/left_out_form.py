"""The wire form of what a list of functions leaves out: flat lists of numbers, read and written.

``fixed`` are the differences of successive borders: the distance from the end of the range before (from 0 for
the first), the size, and so on. ``moves`` are three numbers for every run of ranges whose counterparts lie
alike: how many ranges, how far above its range a counterpart begins, and by how much it is longer.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, compress, cycle, groupby, pairwise, repeat
from operator import add, sub

from hpbuild.codes import manifest as codes
from hpbuild.manifest.left_out import CHANGES, KINDS, LeftOut
from hpbuild.manifest.readers import Node
from hpbuild.manifest.strict_json import JsonValue

MAX_GROUPS = 10_000
MAX_RANGES = 4096
"""Ranges of one part."""
MAX_NUMBERS = 2_000_000
"""Numbers in one list."""
_REACH = 2**31
"""No address of an image is above it, and so no difference of two."""
_KEYS = frozenset({"what", "change", "ranges", "kept", "fixed"})
_OPTIONAL = frozenset({"moves", "names"})


def read_left_out(node: Node) -> LeftOut:
    """One element of ``left_out``; refuses with HP40xx, and HP4128 when its numbers do not add up."""
    fields = node.fields(_KEYS, _OPTIONAL)
    ranges = fields["ranges"].integer(1, MAX_RANGES)
    kept = fields["kept"].integer(0, MAX_RANGES)
    if kept > ranges:
        raise fields["kept"].error(codes.BAD_LEFT_OUT, f"{kept} old versions of {ranges} ranges")
    fixed = _borders(fields["fixed"], 2 * ranges)
    return LeftOut(
        what=fields["what"].choice(KINDS),
        change=fields["change"].choice(CHANGES),
        ranges=ranges,
        kept=kept,
        fixed=fixed,
        baseline=_moved(node, fields.get("moves"), _kept(fixed, ranges, kept)),
        names=_names(fields.get("names"), len(fixed) // (2 * ranges)),
    )


def write_left_out(item: LeftOut) -> dict[str, JsonValue]:
    """The wire form of ``item``."""
    return {
        "what": item.what,
        "change": item.change,
        "ranges": item.ranges,
        "kept": item.kept,
        "fixed": list(map(sub, item.fixed, chain((0,), item.fixed))),
        **({"moves": list(_moves(item))} if item.kept else {}),
        **({"names": list(item.names)} if item.names else {}),
    }


def _borders(node: Node, each: int) -> tuple[int, ...]:
    """Starts and ends from differences; ``each`` of them are a part."""
    numbers = _numbers(node)
    if not numbers or len(numbers) % each:
        raise node.error(codes.BAD_LEFT_OUT, f"{len(numbers)} numbers, parts have {each} of them")
    return _within(node, tuple(accumulate(numbers)), min(numbers[1::2]))


def _moved(node: Node, moves: Node | None, kept: Sequence[int]) -> tuple[int, ...]:
    """Starts and ends of the counterparts of the ranges with the borders ``kept``."""
    if moves is None:
        if kept:
            raise node.error(codes.BAD_LEFT_OUT, "it is not said where the old versions lie")
        return ()
    numbers = _numbers(moves)
    if not numbers or len(numbers) % 3:
        raise moves.error(codes.BAD_LEFT_OUT, f"{len(numbers)} numbers, runs have 3 of them")
    counts, shifts, growths = numbers[::3], numbers[1::3], numbers[2::3]
    if min(counts) < 1 or 2 * sum(counts) != len(kept):
        cause = f"runs of {sum(counts)} ranges, the least of {min(counts)}; there are {len(kept) // 2}"
        raise moves.error(codes.BAD_LEFT_OUT, cause)
    if any(left == right for left, right in pairwise(zip(shifts, growths, strict=True))):
        raise moves.error(codes.BAD_LEFT_OUT, "two runs that follow one another are one")
    borders = [0] * len(kept)
    borders[::2] = map(add, kept[::2], _spread(counts, shifts))
    borders[1::2] = map(add, kept[1::2], _spread(counts, map(add, shifts, growths)))
    return _within(moves, tuple(borders), min(map(sub, borders[1::2], borders[::2])))


def _within(node: Node, borders: tuple[int, ...], shortest: int) -> tuple[int, ...]:
    """``borders`` when they lie in an address space and no range, of which ``shortest`` is the smallest size,
    ends before it begins."""
    if min(borders) < 0 or max(borders) > _REACH or shortest < 0:
        cause = f"ranges from {min(borders)} to {max(borders)}, the shortest of {shortest} bytes"
        raise node.error(codes.BAD_LEFT_OUT, cause)
    return borders


def _moves(item: LeftOut) -> Iterator[int]:
    kept = _kept(item.fixed, item.ranges, item.kept)
    borders = map(sub, item.baseline, kept)
    for (low, high), run in groupby(zip(borders, borders, strict=True)):
        yield from (sum(1 for _ in run), low, high - low)


def _kept(fixed: Sequence[int], ranges: int, kept: int) -> Sequence[int]:
    """Borders of the ranges that have a counterpart."""
    if kept == ranges:
        return fixed
    return tuple(compress(fixed, cycle([True] * (2 * kept) + [False] * (2 * (ranges - kept)))))


def _spread(counts: Iterable[int], values: Iterable[int]) -> Iterator[int]:
    return chain.from_iterable(map(repeat, values, counts))


def _names(node: Node | None, count: int) -> tuple[str, ...]:
    if node is None:
        return ()
    names = tuple(item.text(65536, empty=False) for item in node.items())
    if len(names) != count:
        raise node.error(codes.BAD_LEFT_OUT, f"{len(names)} names for {count} parts")
    return names


def _numbers(node: Node) -> Sequence[int]:
    """A list of integers that can be differences of addresses."""
    numbers: Sequence[int] = node.raw_items(MAX_NUMBERS)  # type: ignore[assignment]
    sound = set(map(type, numbers)) == {int} and -_REACH <= min(numbers) <= max(numbers) <= _REACH
    if not sound:
        for index in range(len(numbers)):
            node.child(index).integer(-_REACH, _REACH)
    return numbers
