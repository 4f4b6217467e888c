"""Ways into a replaced function behind its entry: code that stays comes by them to the old body."""

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64
from hpbuild.codes import traps as codes
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.plan.endless import redirected
from hpbuild.plan.selection import Selection


def into_middle(comparison: Comparison, selection: Selection) -> list[Finding]:
    """A refusal for every replaced function of the baseline that staying code enters behind its entry: by a
    jump, a call, or an address taken. Functions that the fixed image lacks do not count as staying."""
    side = comparison.baseline
    program, places, links = side.program, side.targets, side.links
    table, references = program.fragments, program.references
    replaced = {partner: root for root, partner in redirected(selection).items()}
    staying = np.zeros(len(table) + 1, dtype=np.bool_)  # the last is that of -1
    staying[selection.facts.partner] = True
    staying[selection.partners] = False
    entered = np.zeros(len(table), dtype=np.bool_)
    entered[list(replaced)] = True
    parts = np.flatnonzero(entered[table.root])
    rows = np.sort(links.rows[members(links.first[parts], links.last[parts])])
    rows = rows[references.kind[rows] != RefKind.IMAGE_BASE]
    rows = rows[(places.offset[rows] != 0) | (table.root[places.code[rows]] != places.code[rows])]
    rows = rows[staying[table.root[references.fragment[rows]]]]
    owners: I64 = table.root[references.fragment[rows]]
    found: dict[int, str] = {}
    for row, owner in zip(rows.tolist(), owners.tolist(), strict=True):
        cause = f"{program.name_of(owner)} leads to {int(references.target[row]):#x} in it"
        found.setdefault(int(table.root[places.code[row]]), cause)
    name_of = comparison.fixed.program.name_of
    return [
        Finding(codes.INTO_MIDDLE, name_of(replaced[root]), cause) for root, cause in sorted(found.items())
    ]
