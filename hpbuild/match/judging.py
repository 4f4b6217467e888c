"""Places that two sides name in step: which agree whatever the data is, and which if their data does."""

import numpy as np

from hpbuild.code.model import I64
from hpbuild.match.atoms import Memory
from hpbuild.match.pairing import Pairing
from hpbuild.match.places import Places
from hpbuild.match.sides import Side

Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]


def judge(
    fixed: Side, baseline: Side, pairing: Pairing, left: tuple[Places, I64], right: tuple[Places, I64]
) -> tuple[Bool, I64, I64, I64]:
    """Compare two columns of places, rows of a table each: (agreed or not yet known, which of the rows rest
    on a pair of atoms, these of both sides)."""
    (ours, row), (theirs, other) = left, right
    offset = ours.offset[row]
    alike = offset == theirs.offset[other]
    code, mate = ours.code[row], theirs.code[other]
    # Where there is no code, -1, some partner is asked, which says nothing.
    partners = pairing.fixed if len(pairing.fixed) else np.full(1, -1)
    agreed = alike & (partners[code] == mate) & ((code | mate) >= 0)
    inner = np.flatnonzero(agreed & (offset != 0))
    agreed[inner[fixed.forms[code[inner]] != baseline.forms[mate[inner]]]] = False
    atom_f, atom_b = ours.atom[row], theirs.atom[other]
    rows = of_one_kind(fixed, baseline, atom_f, atom_b, np.flatnonzero(alike & ((atom_f | atom_b) >= 0)))
    agreed[rows] = True
    rest = np.flatnonzero(~agreed)
    agreed[rest[_same_others(ours, row[rest], theirs, other[rest])]] = True
    return agreed, rows, atom_f[rows], atom_b[rows]


def of_one_kind(fixed: Side, baseline: Side, left: I64, right: I64, rows: I64) -> I64:
    """Those of the rows where both atoms are variables, or both constants."""
    ours = fixed.atoms.memory[left[rows]] != Memory.RODATA
    theirs = baseline.atoms.memory[right[rows]] != Memory.RODATA
    return rows[np.flatnonzero(ours == theirs)]


def _same_others(ours: Places, row: I64, theirs: Places, other: I64) -> Bool:
    """Rows whose ends are one named thing of the loader, or the end of one section."""
    left, right = ours.other[row], theirs.other[other]
    bare = (ours.code[row] < 0) & (ours.atom[row] < 0), (theirs.code[other] < 0) & (theirs.atom[other] < 0)
    same: Bool = bare[0] & bare[1] & (left == right) & (left != 0)
    # The end of a section coincides with the start of the next one on one side alone.
    for beyond, one, edge, two in (
        (bare[0], left, theirs.edge[other], right),
        (bare[1], right, ours.edge[row], left),
    ):
        same |= beyond & (one == edge) & (edge != 0) & (two != edge)
    return same
