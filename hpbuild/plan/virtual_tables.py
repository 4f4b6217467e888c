"""Carried data beside the words in front of a virtual table: where the one ends and the other begins.

Source: Itanium C++ ABI, "Virtual Table Layout" (offsets of virtual bases and of calls through them).
"""

import numpy as np

from hpbuild.codes import traps as codes
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.match.sides import Side
from hpbuild.plan.objects import Objects, extent
from hpbuild.plan.selection import Selection

_PLAIN_HEAD = 16
_COUNT, _LIST, _BASE = 20, 24, 16
"""Offsets of the number of bases and of their list in type information, and bytes of each."""


def torn_tables(comparison: Comparison, selection: Selection) -> list[Finding]:
    """A refusal for each carried virtual table whose words in front went with something else, and for each
    carried datum whose last words may have been taken for those of the table behind it."""
    side = comparison.fixed
    atoms, objects = side.atoms, selection.shapes
    findings = []
    for first, last in _beside_tables(side, selection):
        members = selection.objects[first][0]
        cause = ""
        if first and atoms.end[first - 1] == atoms.start[first] and first not in atoms.names:
            zeros = bool(atoms.heads[first]) and objects.empty_front(first - 1)
            if zeros or atoms.heads[first - 1]:
                cause = f"the words from {int(atoms.start[first - 1]):#x} on belong to other data as well"
        if _runs_on(objects, comparison.fixed, last):
            cause = f"it may reach into what lies in front of the table behind {int(atoms.end[last]):#x}"
        if cause:
            run = extent(side, members)
            place = atoms.names.get(objects.body(members)) or f"data at {run.start:#x}"
            findings.append(Finding(codes.TORN_TABLE, place, cause))
    return findings


def _beside_tables(side: Side, selection: Selection) -> list[tuple[int, int]]:
    """The first and last atoms of the carried objects that begin with or behind such words, or end where such
    words or zeros in front of them begin."""
    heads = np.append(side.atoms.heads, (False, False))  # the last two are behind all atoms
    first, last = selection.first, selection.last
    near = heads[first] | heads[first - 1] | heads[last + 1] | heads[last + 2]
    return list(zip(first[near].tolist(), last[near].tolist(), strict=True))


def _runs_on(objects: Objects, side: Side, last: int) -> bool:
    """Does an object whose last atom is ``last`` end where the words of a table begin, and nothing shows it:
    neither a pointer nor the end of a text, nor a symbol of the table?"""
    atoms, behind = side.atoms, last + 1
    if behind == len(atoms) or atoms.end[last] != atoms.start[behind] or objects.empty_front(last):
        return False
    empty = objects.empty_front(behind)
    head = behind + empty
    long = atoms.heads[head] and atoms.end[head] - atoms.start[head] > _PLAIN_HEAD
    known = head in atoms.names or objects.ends_with_pointer(last) or objects.is_string(last)
    return bool((long or empty) and not known and not _is_type(side, last))


def _is_type(side: Side, atom: int) -> bool:
    """Type information with a list of bases: its end is known."""
    start, end = int(side.atoms.start[atom]), int(side.atoms.end[atom])
    return end - start > _LIST and end - start == _LIST + _BASE * side.program.image.u32(start + _COUNT)
