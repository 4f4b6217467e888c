"""Line numbers that are printed: ``f(…, "… %s:%d …", file, LINE)``, whoever ``f`` is.

The format says what becomes of the constant: one that changed is enough, and the function need not be known.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hpbuild.match.line_calls import by_file
from hpbuild.match.line_pattern import in_order
from hpbuild.match.line_sites import Site, Walks, equal_sites
from hpbuild.match.line_texts import may_be_host, printed_lines, source_name, texts
from hpbuild.match.sides import Side


def in_messages(fixed: Side, sites: Sequence[Site], walks: Walks) -> Iterator[Site]:
    """Those of ``sites`` that are printed as lines, in order with all others of their file."""
    formats = _formats(fixed, sites)
    printed = _printed(fixed, sites, formats)
    moved = [site for some in printed.values() for site in some if site.old != site.new]
    told = {
        rva for site in moved for place, rva in site.addresses if formats[rva] or place == site.position - 1
    }
    others = equal_sites(walks, texts=told) if told else None
    if others is not None:
        everything = [*sites, *(site for some in others.values() for site in some)]
        for some in _printed(fixed, everything, _formats(fixed, everything)).values():
            if in_order(some):
                yield from some


def names_format(side: Side, fragment: int) -> bool:
    """True when a fragment refers to a text that prints some argument as a line."""
    return any(printed_lines(text) for rva in _named(side, fragment) for text in texts(side, rva))


def names_source(side: Side, fragment: int) -> bool:
    """True when a fragment refers to the name of a source file."""
    return any(source_name(side, rva) for rva in _named(side, fragment))


def _named(side: Side, fragment: int) -> list[int]:
    rows = slice(int(side.first[fragment]), int(side.last[fragment]))
    return sorted(set(side.program.references.target[rows].tolist()))


def _formats(side: Side, sites: Iterable[Site]) -> Mapping[int, frozenset[int]]:
    """Every address that the calls get, with the distances of the arguments that it prints as lines."""
    told = {rva for site in sites for _, rva in site.addresses}
    return {rva: frozenset(line for text in texts(side, rva) for line in printed_lines(text)) for rva in told}


def _printed(
    side: Side, sites: Iterable[Site], formats: Mapping[int, frozenset[int]]
) -> Mapping[str, Sequence[Site]]:
    """Sites that are printed as the line of a source file, by its name."""
    found: dict[str, list[Site]] = defaultdict(list)
    for site in sites:
        spoken: dict[int, list[int]] = defaultdict(list)
        for place, rva in site.addresses:
            spoken[place].append(rva)
        if any(all(site.position - place in formats[rva] for rva in each) for place, each in spoken.items()):
            (name,) = by_file(side, (site,), site.position - 1)
            if name and not may_be_host(name):
                found[name].append(site)
    return found


# Beside a file name
