"""A package of chosen functions: does its list agree with what it carries and what it leaves out?

An entry of the list is the name of a function that the package carries, or ``0x`` and the RVA of its entry in
the fixed image where its name does not tell it from others.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from hpbuild.codes import manifest as codes
from hpbuild.errors import Finding
from hpbuild.manifest.model import NOT_SELECTED, Exclusion, Function, Module
from hpbuild.manifest.ranges import overlaps, range_defect
from hpbuild.values import Interval

_UNLISTED = ("added", "handler")
"""Reasons of functions that come along with the listed ones."""


def selection_findings(module: Module, place: str) -> Iterator[Finding]:
    """Contradictions between the list of functions and the rest of ``module`` at ``place`` (HP4112, HP4114,
    HP4115, HP4125)."""
    left_out = [(index, item) for index, item in enumerate(module.exclusions) if item.klass == NOT_SELECTED]
    if module.only:
        yield from _list_findings(module, place)
    for index, item in left_out:
        where = f"{place}.exclusions[{index}]"
        if not module.only:
            cause = f"{item.place[:200]!r} is left out, but the package is not limited to a list"
            yield Finding(codes.BAD_SELECTION, where, cause)
        yield from _range_findings(item, module, where)
    if left_out:
        yield from _overlaps(module, place)


def _list_findings(module: Module, place: str) -> Iterator[Finding]:
    if any(left >= right for left, right in pairwise(module.only)):
        yield Finding(codes.NOT_SORTED, f"{place}.only", "entries are not in ascending order, or twice there")
    entries = frozenset(module.only)
    counts: Counter[str] = Counter()
    for index, function in enumerate(module.functions):
        named = entries & _spellings(function)
        counts.update(named)
        if function.reason not in _UNLISTED and not named:
            cause = f"{function.name[:200]!r} is carried, but not on the list"
            yield Finding(codes.BAD_SELECTION, f"{place}.functions[{index}]", cause)
    for index, entry in enumerate(module.only):
        if counts[entry] != 1:
            cause = f"{entry[:200]!r} names {counts[entry]} carried functions"
            yield Finding(codes.BAD_SELECTION, f"{place}.only[{index}]", cause)


def _spellings(function: Function) -> set[str]:
    entry = {f"{function.fixed[0].start:#x}"} if function.fixed else set()
    return {function.name} | entry


def _range_findings(item: Exclusion, module: Module, place: str) -> Iterator[Finding]:
    if not item.fixed or len(item.baseline) > len(item.fixed):
        cause = f"{len(item.fixed)} ranges of the fixed image, {len(item.baseline)} of the baseline"
        yield Finding(codes.BAD_SELECTION, place, cause)
    for name, ranges, size in (
        ("fixed", item.fixed, module.fixed.size_of_image),
        ("baseline", item.baseline, module.baseline.size_of_image),
    ):
        for index, interval in enumerate(ranges):
            if defect := range_defect(interval, Interval(0, size)):
                yield Finding(codes.BAD_RANGE, f"{place}.{name}[{index}]", defect)


def _overlaps(module: Module, place: str) -> Iterator[Finding]:
    """What is left out is not carried as well, and what stays in its stead is not replaced."""
    out = [part for item in module.left_out for part in item.fixed]
    known = set(out)
    carried = {part for function in module.functions for part in function.fixed}
    carried |= {datum.fixed for datum in module.data}
    for left, right in overlaps([*out, *carried]):
        if left in known or right in known:
            cause = f"{left} and {right} of the fixed image overlap"
            yield Finding(codes.OVERLAP, f"{place}.exclusions", cause)
    stays = {item.baseline[0].start: item for item in module.left_out if item.baseline}
    for index, function in enumerate(module.functions):
        item = stays.get(function.baseline[0].start) if function.baseline else None
        if item is not None:
            cause = f"{item.place[:200]!r} stays as it is, at an entry that is redirected"
            yield Finding(codes.BAD_SELECTION, f"{place}.functions[{index}].baseline", cause)
