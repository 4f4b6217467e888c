"""Identical functions whose rows of the exception directory begin in front of their entries, with filler.

Source: Microsoft Learn, "x64 exception handling": the places of unwind codes count from the row's begin.
"""

import numpy as np

from hpbuild.code.columns import among, distinct, members
from hpbuild.code.model import I64, Program
from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.pe.unwind import runtime_functions

_NOWHERE = 1 << 40
"""Behind all images."""


def filled_rows(comparison: Comparison) -> list[Finding]:
    """A refusal for each pair of identical functions with filler of different length within their rows, when
    the unwind record counts from there: the same record then means two things."""
    fixed, baseline = comparison.fixed.program, comparison.baseline.program
    identical = np.flatnonzero(comparison.agreement.identical)
    identical = identical[fixed.fragments.unwind[identical] > 0]
    mate = comparison.pairing.fixed[identical]
    ours, theirs = _filler(fixed, identical), _filler(baseline, mate)
    findings = []
    for row in np.flatnonzero(ours != theirs).tolist():
        fragment = int(identical[row])
        record = int(fixed.fragments.unwind[fragment])
        if fixed.image.memory[record + 1] or fixed.image.memory[record + 2]:
            cause = f"{int(ours[row])} bytes of filler within its row, {int(theirs[row])} in the baseline"
            findings.append(Finding(codes.EXCEPTION_DATA, fixed.name_of(fragment), cause))
    return findings


def _filler(program: Program, fragments: I64) -> I64:
    """Bytes between the begin of each fragment's row and the fragment, where that is filler, else 0."""
    table = runtime_functions(program.image)
    if not len(table) or not len(fragments):
        return np.zeros(len(fragments), dtype=np.int64)
    start, found = program.fragments.start[fragments], np.zeros(len(fragments), dtype=np.int64)
    begin, end = table.begin.astype(np.int64), table.end.astype(np.int64)
    filled = _common(begin, program.padding[:, 0])  # few are
    if not len(filled):
        return found
    begin, end, behind = begin[filled], end[filled], np.append(begin[1:], _NOWHERE)[filled]
    order = np.argsort(start, kind="stable")
    low, high = (start[order].searchsorted(place) for place in (begin, np.minimum(end, behind)))
    inside = order[members(low, high)]
    found[inside] = start[inside] - np.repeat(begin, high - low)
    return found


def _common(column: I64, other: I64) -> I64:
    """The rows of a column that ascends, each value once, that are in ``other``, which does too: two such
    runs are merged soon, and what is in both then stands twice."""
    both = np.sort(np.concatenate([column, other]), kind="stable")
    twice = distinct(both[1:][both[1:] == both[:-1]])
    return column.searchsorted(twice[among(twice, column)])
