"""Functions in which only line numbers differ: are the places that a manifest names sound by themselves?"""

from collections.abc import Iterator
from itertools import pairwise

from hpbuild.codes import manifest as codes
from hpbuild.errors import Finding
from hpbuild.manifest.model import LINE_ONLY, Exclusion, Module
from hpbuild.manifest.ranges import overlaps, range_defect
from hpbuild.values import Interval

LINE_SIZE = 4
"""Bytes of a line number in code."""


def line_findings(module: Module, place: str) -> Iterator[Finding]:
    """Contradictions in the exclusions of class line-only of ``module`` at ``place`` (HP4115, HP4126)."""
    places: dict[Interval, str] = {}
    for index, item in enumerate(module.exclusions):
        if item.klass != LINE_ONLY:
            continue
        where = f"{place}.exclusions[{index}]"
        yield from _shape(item, module, where)
        for site in item.fixed:
            if places.setdefault(site, where) != where:
                yield Finding(codes.BAD_LINES, where, f"{site.start:#x} is declared twice")
    carried = {part for function in module.functions for part in function.fixed}
    for left, right in overlaps([*places, *carried]):
        site, other = (left, right) if left in places else (right, left)
        if site in places:
            what = "another place" if other in places else "a function that is carried"
            yield Finding(codes.BAD_LINES, places[site], f"{site} lies in {what}")


def _shape(item: Exclusion, module: Module, where: str) -> Iterator[Finding]:
    if not item.fixed or len(item.fixed) != len(item.baseline):
        cause = f"{len(item.fixed)} places in the fixed image, {len(item.baseline)} in the baseline"
        yield Finding(codes.BAD_LINES, where, cause)
    for name, sites, size in (
        ("fixed", item.fixed, module.fixed.size_of_image),
        ("baseline", item.baseline, module.baseline.size_of_image),
    ):
        for number, site in enumerate(sites):
            if defect := range_defect(site, Interval(0, size)):
                yield Finding(codes.BAD_RANGE, f"{where}.{name}[{number}]", defect)
            if len(site) != LINE_SIZE:
                yield Finding(
                    codes.BAD_LINES, f"{where}.{name}[{number}]", f"{len(site)} bytes, not {LINE_SIZE}"
                )
        if any(before.end > after.start for before, after in pairwise(sites)):
            yield Finding(codes.BAD_LINES, f"{where}.{name}", "the places are not in ascending order")
