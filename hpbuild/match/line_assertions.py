"""Line numbers that assertions get: ``f(text, file, LINE)`` or ``f(file, LINE, text)``, of another image.

The shape alone is not enough: a function that renames one file to another, with flags, has it as well. Every
call of the function has to have it, and in one file two numbers at least have to move together.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from hpbuild.match.line_calls import Calls, by_file, doors, imported
from hpbuild.match.line_pattern import in_order, supported
from hpbuild.match.line_sites import Site
from hpbuild.match.line_texts import source_name, texts
from hpbuild.match.sides import Side

MIN_ASSERTIONS: Final = 2
"""Distinct values of one file that moved by one distance, for one that an assertion gets to be a line."""
MAX_SHARED: Final = 0.1
"""Share of a file's lines that may hold assertions with different texts."""


def in_assertions(calls: Calls) -> Iterator[Site]:
    """The sites that are lines of assertions."""
    side = calls.fixed
    keys = {(doors(side, callee), place) for callee, place in calls.changed() if imported(side, callee)}
    for through, position in sorted(keys, key=lambda key: (min(key[0]), key[1])):
        sites = [site for door in sorted(through) for site in calls.groups.get((door, position), ())]
        said = next((each for each in (-2, 1) if _all_told(side, sites, position, each)), 0)
        if not said or not calls.every_call(through, sites, held=True):
            continue
        for name, some in by_file(side, sites, position - 1).items():
            if name and in_order(some) and _one_text_each(side, some, position + said):
                yield from supported(some, values=MIN_ASSERTIONS, functions=1)


def may_tell(side: Side, sites: Sequence[Site], position: int) -> bool:
    """True when every call gets the name of a source file and a text at one of their places."""
    return any(_all_told(side, sites, position, said) for said in (-2, 1))


def _all_told(side: Side, sites: Iterable[Site], position: int, said: int) -> bool:
    """True when every call gets the name of a source file before ``position``, and a text ``said`` behind."""
    for site in sites:
        names = [rva for place, rva in site.addresses if place == position - 1]
        spoken = [rva for place, rva in site.addresses if place == position + said]
        if not names or not all(source_name(side, rva) for rva in names):
            return False
        if not spoken or not all(texts(side, rva) for rva in spoken):
            return False
    return True


def _one_text_each(side: Side, sites: Iterable[Site], position: int) -> bool:
    """True when hardly any value comes with different texts: flags and sizes do, lines do not."""
    found: dict[int, set[tuple[str, ...]]] = defaultdict(set)
    for site in sites:
        said = [rva for place, rva in site.addresses if place == position]
        # Where ways meet in one call, which value came with which text is not known.
        found[site.old].update([texts(side, said[0])] if len(said) == 1 else [])
    return sum(len(each) > 1 for each in found.values()) <= MAX_SHARED * len(found)
