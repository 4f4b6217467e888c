"""What a package is limited to: the functions that a list of entries names, or those of one that exists."""

from collections.abc import Mapping, Sequence

from hpbuild.errors import HpbuildError
from hpbuild.match.comparison import Comparison
from hpbuild.match.lookup import Found, Lookup
from hpbuild.plan.only import Limit


def limit(comparison: Comparison, functions: Mapping[str, Found]) -> Limit:
    """The limit that the functions of a list are. Each is listed by the name that the package will know it
    by, or by its address where that name stands for others too."""
    lookup = Lookup(comparison)
    roots = {found.fixed for found in functions.values() if found.fixed >= 0}
    named = {_name(comparison, lookup, root): root for root in sorted(roots)}
    gone = tuple(sorted(text for text, found in functions.items() if found.fixed < 0))
    return Limit(tuple(sorted(named)), {root: name for name, root in named.items()}, gone)


def limit_of_package(comparison: Comparison, only: Sequence[str], entries: Sequence[int]) -> Limit | None:
    """The limit of a package that exists: ``entries`` are the RVAs in the fixed image of what it carries,
    ``only`` its list. None for a package without a list."""
    if not only:
        return None
    roots = set()
    for rva in entries:
        fragment = comparison.fixed.program.fragment_at(rva)
        if fragment >= 0:
            roots.add(int(comparison.fixed.program.fragments.root[fragment]))
    return Limit(tuple(only), dict.fromkeys(sorted(roots), ""))


def _name(comparison: Comparison, lookup: Lookup, root: int) -> str:
    program = comparison.fixed.program
    name = program.name_of(root)
    try:
        same = lookup.find(name).fixed == root
    except HpbuildError:
        same = False
    return name if same else f"{int(program.fragments.start[root]):#x}"
