"""What a list of functions leaves out: are its ranges sound, apart from each other and from what is carried?

There can be a hundred thousand ranges. Whether all is well is asked of whole lists; single ranges are looked
at when it is not.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, islice, pairwise
from operator import eq, ge, gt, sub

from hpbuild.codes import manifest as codes
from hpbuild.errors import Finding
from hpbuild.manifest.left_out import NEW, LeftOut, address_name
from hpbuild.manifest.model import Module
from hpbuild.manifest.ranges import range_defect
from hpbuild.values import Interval


def left_out_findings(module: Module, place: str) -> Iterator[Finding]:
    """Contradictions in ``left_out`` of ``module`` at ``place`` (HP4112, HP4114, HP4115, HP4125)."""
    if not module.left_out:
        return
    for index, item in enumerate(module.left_out):
        where = f"{place}.left_out[{index}]"
        if not module.only:
            cause = f"{item.place(0)[:200]!r} is left out, but the package is not limited to a list"
            yield Finding(codes.BAD_SELECTION, where, cause)
        yield from _group_findings(item, module, where)
    place += ".left_out"
    if any(left.key >= right.key for left, right in pairwise(module.left_out)):
        cause = "kinds and shapes are not in ascending order, or twice there"
        yield Finding(codes.NOT_SORTED, place, cause)
    yield from _overlaps(module, place)


def stays_findings(module: Module, place: str) -> Iterator[Finding]:
    """What stays in use and is redirected nevertheless (HP4125)."""
    stays = frozenset(chain.from_iterable(item.stays for item in module.left_out))
    for index, function in enumerate(module.functions):
        if function.baseline and (entry := function.baseline[0].start) in stays:
            cause = f"the old version of a part that is left out stays at {entry:#x}, which is redirected"
            yield Finding(codes.BAD_SELECTION, f"{place}.functions[{index}].baseline", cause)


def _group_findings(item: LeftOut, module: Module, place: str) -> Iterator[Finding]:
    if (item.change == NEW) != (item.kept == 0):
        cause = f"{item.change} parts, of which {item.kept} ranges have a version in the baseline"
        yield Finding(codes.BAD_SELECTION, f"{place}.kept", cause)
    if any(map(ge, item.entries, islice(item.entries, 1, None))):
        yield Finding(codes.NOT_SORTED, f"{place}.fixed", "parts are not in ascending order")
    if any(map(eq, item.names, map(partial(address_name, item.what), item.entries))):
        yield Finding(codes.BAD_SELECTION, f"{place}.names", "a part has its address as its name")
    for name, borders, size in (
        ("fixed", item.fixed, module.fixed.size_of_image),
        ("moves", item.baseline, module.baseline.size_of_image),
    ):
        if borders and (min(map(sub, borders[1::2], borders[::2])) < 1 or max(borders) > size):
            for interval in map(Interval, borders[::2], borders[1::2]):
                if defect := range_defect(interval, Interval(0, size)):
                    yield Finding(codes.BAD_RANGE, f"{place}.{name}", defect)


def _overlaps(module: Module, place: str) -> Iterator[Finding]:
    """No two ranges overlap, and nothing that is left out is carried as well."""
    starts = sorted(chain.from_iterable(item.fixed[::2] for item in module.left_out))
    reach = sorted(chain.from_iterable(item.fixed[1::2] for item in module.left_out))
    # Ranges that are not empty are apart when each ends before as many others have begun.
    if any(map(gt, reach, islice(starts, 1, None))):
        rows = sorted(
            chain.from_iterable(zip(i.fixed[::2], i.fixed[1::2], strict=True) for i in module.left_out)
        )
        starts, reach = [start for start, _ in rows], list(accumulate((end for _, end in rows), max))
        for (start, _), before, (other, _) in zip(rows[1:], reach, rows, strict=False):
            if start < before:
                yield Finding(
                    codes.OVERLAP, place, f"the range at {start:#x} overlaps one from {other:#x} on"
                )
    carried = chain.from_iterable(function.fixed for function in module.functions)
    for part in sorted({*carried, *(datum.fixed for datum in module.data)}):
        if _holds(starts, reach, part):
            yield Finding(codes.OVERLAP, place, f"{part} of the fixed image is carried")


def _holds(starts: Sequence[int], reach: Sequence[int], part: Interval) -> bool:
    """Whether one of the ranges that begin at ``starts`` shares a byte with ``part``; ``reach`` are the
    furthest ends up to each of them."""
    before = bisect_left(starts, part.end) - 1
    return before >= 0 and reach[before] > part.start
