"""Comparing two programs: the one entry of this package, and everything it found.

The order of the steps is the algorithm: prepare both sides, pair their fragments, set line numbers aside,
align what changed, judge all testimony, map the data.
"""

from functools import partial

import numpy as np

from hpbuild.code.model import Program
from hpbuild.dataclass import dataclass
from hpbuild.match.address_map import DataMap, map_data
from hpbuild.match.agreement import Agreement
from hpbuild.match.both import both
from hpbuild.match.functions import FunctionFact, FunctionFacts, Groups, function_facts, groups
from hpbuild.match.funnel import pair_fragments
from hpbuild.match.line_only import LineSites, line_sites, without_lines
from hpbuild.match.pairing import Pairing
from hpbuild.match.sides import Bearings, Contents, Side, prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The working result that planning builds on; ``hpbuild.match.facts`` makes the report of it.
    ``lines`` are the line numbers that were masked out of both sides, in pairs that differ in nothing else;
    ``baseline_functions`` gives the fragments of each function of the baseline by its root."""

    fixed: Side
    baseline: Side
    pairing: Pairing
    lines: LineSites
    agreement: Agreement
    data: DataMap
    facts: FunctionFacts
    baseline_functions: Groups

    @property
    def functions(self) -> tuple[FunctionFact, ...]:
        """All functions of the fixed image. Most are identical: ``facts`` does not make them all."""
        return self.facts.every


def compare(
    baseline: Program,
    fixed: Program,
    contents: tuple[Contents | None, Contents | None] = (None, None),
    bearings: tuple[Bearings | None, Bearings | None] = (None, None),
) -> Comparison:
    """Compare two programs. Deterministic: the same programs give the same result. ``contents`` and
    ``bearings`` are those of the baseline and of the fixed program, where they are known
    (``hpbuild.match.sides``)."""
    left, right = both(
        partial(prepare, fixed, contents[1], bearings[1]),
        partial(prepare, baseline, contents[0], bearings[0]),
        min(len(fixed.references), len(baseline.references)),
    )
    pairing = pair_fragments(left, right)
    lines = line_sites(left, right, pairing)
    left, right = without_lines(left, lines.fixed), without_lines(right, lines.baseline)
    paired = np.flatnonzero((pairing.fixed >= 0) & (left.forms != 0))
    changed = paired[left.forms[paired] != right.forms[pairing.fixed[paired]]]
    agreement, data = map_data(left, right, pairing, changed)
    return Comparison(
        fixed=left,
        baseline=right,
        pairing=pairing,
        lines=lines,
        agreement=agreement,
        data=data,
        facts=function_facts(left, right, pairing, agreement, lines.fragments),
        baseline_functions=groups(baseline),
    )
