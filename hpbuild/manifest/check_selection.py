"""A package of chosen functions: does its list agree with what it carries and what it leaves out?

An entry of the list is the name of a function that the package carries, or ``0x`` and the RVA of its entry in
the fixed image where its name does not tell it from others.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from hpbuild.codes import manifest as codes
from hpbuild.errors import Finding
from hpbuild.manifest.check_left_out import left_out_findings, stays_findings
from hpbuild.manifest.model import Function, Module

_UNLISTED = ("added", "handler")
"""Reasons of functions that come along with the listed ones."""


def selection_findings(module: Module, place: str) -> Iterator[Finding]:
    """Contradictions between the list of functions and the rest of ``module`` at ``place`` (HP4112, HP4114,
    HP4115, HP4125)."""
    if module.only:
        yield from _list_findings(module, place)
    yield from left_out_findings(module, place)
    yield from stays_findings(module, place)


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
