"""Why a function is called what it is called: the pairing with its evidence, the first difference, and the
reference that disagrees with who says so. Facts for people; nothing is decided from them."""

from hpbuild.code.disassembly import disassemble
from hpbuild.match.alignment import Step, steps
from hpbuild.match.comparison import Comparison
from hpbuild.match.explained import Disagreement, Explanation, Instruction, Part
from hpbuild.match.facts import UNWIND, reason
from hpbuild.match.functions import FunctionFact, ranges
from hpbuild.match.lookup import Found
from hpbuild.match.model import Change
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level
from hpbuild.match.testimony import (
    disagreement,
    first_disagreement,
    unwind_disagreement,
    witnesses,
)

CONTEXT = 3
"""Instructions shown before and after the first difference."""

EVIDENCE = {
    "symbol": "both have this name in their symbols",
    "export": "both are exported under this name",
    "form": "no other function of the images has this form, or this form with these texts and imports",
    "context": "alone on both sides with this form and what refers to it and what it refers to",
    "reference": "paired functions refer to the two in the same place",
    "layout": "between the same paired neighbours, and alike",
    "similarity": "more alike than either is to any other",
    "callers": "alone on both sides with the functions that refer to it",
    "order": "not told apart from others but by the order of addresses",
}
"""What the levels of pairing mean, by their labels."""


def explain(comparison: Comparison, asked: str, found: Found) -> Explanation:
    """The explanation of the function ``found``, which was ``asked`` for."""
    facts = comparison.facts
    if found.fixed not in facts:
        return _removed(comparison, asked, found.baseline)
    fact = facts[found.fixed]
    program, other = comparison.fixed.program, comparison.baseline.program
    paired = fact.partner >= 0
    level = Level(int(comparison.pairing.level[fact.root])) if paired else Level.NONE
    names, count = witnesses(comparison, fact.root) if paired else ((), 0)
    change = _change(comparison, fact)
    differs = paired and change is not Change.IDENTICAL
    code, bad = _difference(comparison, fact) if differs else (((), ()), None)
    return Explanation(
        asked=asked,
        name=program.name_of(fact.root),
        baseline_name=other.name_of(fact.partner) if paired else "",
        change=change,
        line_only=fact.line_only,
        fixed=ranges(program, fact.fragments),
        baseline=ranges(other, comparison.baseline_functions.get(fact.partner, (fact.partner,)))
        if paired
        else (),
        level=level.label if paired else "",
        evidence=EVIDENCE.get(level.label, "") if paired else "nothing of the baseline is its counterpart",
        reason=_reason(comparison, fact, change),
        parts=tuple(_part(comparison, fact, fragment) for fragment in fact.fragments),
        witnesses=names,
        witness_count=count,
        references=sum(
            int(comparison.fixed.last[part] - comparison.fixed.first[part]) for part in fact.fragments
        ),
        fixed_code=code[0],
        baseline_code=code[1],
        disagreement=bad,
    )


def _change(comparison: Comparison, fact: FunctionFact) -> Change:
    """As reports have it: a changed function of another name is one that is new in its place."""
    if fact.identical and not fact.line_only:
        return Change.IDENTICAL
    fixed, baseline = comparison.fixed, comparison.baseline
    if fact.partner < 0 or named_apart(fixed, baseline, fact.root, fact.partner):
        return Change.ADDED
    return Change.CHANGED


def _reason(comparison: Comparison, fact: FunctionFact, change: Change) -> str:
    if change is Change.IDENTICAL:
        return "same form, and every reference leads to the counterpart of its target"
    if fact.partner < 0:
        return "no counterpart in the baseline"
    words = reason(comparison, fact)
    old = comparison.baseline.program.name_of(fact.partner)
    return f"it takes the place of {old}; {words}" if change is Change.ADDED else words


def _removed(comparison: Comparison, asked: str, root: int) -> Explanation:
    program = comparison.baseline.program
    members = comparison.baseline_functions.get(root, (root,))
    return Explanation(
        asked=asked,
        name=program.name_of(root),
        baseline_name=program.name_of(root),
        change=Change.REMOVED,
        line_only=False,
        fixed=(),
        baseline=ranges(program, members),
        level="",
        evidence="nothing of the fixed image is its counterpart",
        reason="no counterpart in the fixed image",
        parts=(),
        witnesses=(),
        witness_count=0,
        references=0,
        fixed_code=(),
        baseline_code=(),
        disagreement=None,
    )


def _part(comparison: Comparison, fact: FunctionFact, fragment: int) -> Part:
    partner = int(comparison.pairing.fixed[fragment])
    other = comparison.baseline.program
    return Part(
        fixed=ranges(comparison.fixed.program, (fragment,))[0],
        baseline=ranges(other, (partner,))[0] if partner >= 0 else None,
        level=Level(int(comparison.pairing.level[fragment])).label if partner >= 0 else "",
        outcome=_outcome(comparison, fact, fragment, partner),
    )


def _outcome(comparison: Comparison, fact: FunctionFact, fragment: int, partner: int) -> str:
    if partner < 0:
        return "no counterpart"
    if comparison.fixed.forms[fragment] != comparison.baseline.forms[partner]:
        return "code differs"
    if comparison.agreement.identical[fragment]:
        home = int(comparison.baseline.program.fragments.root[partner])
        return "identical" if home == fact.partner else "identical, but a part of another function"
    row = int(comparison.agreement.first_bad[fragment])
    return "unwind information differs" if row == UNWIND else "reference differs"


Code = tuple[tuple[Instruction, ...], tuple[Instruction, ...]]


def _difference(comparison: Comparison, fact: FunctionFact) -> tuple[Code, Disagreement | None]:
    """The code around the first difference in a function, and the reference that disagrees."""
    fixed, baseline = comparison.fixed, comparison.baseline
    for fragment in fact.fragments:
        partner = int(comparison.pairing.fixed[fragment])
        if fact.line_only and fragment in comparison.lines.fragments:
            return _first_line(comparison, fragment, partner), None
        if partner < 0 or comparison.agreement.identical[fragment]:
            continue
        ours, theirs = steps(fixed, fragment), steps(baseline, partner)
        if fixed.forms[fragment] != baseline.forms[partner]:
            at = _first_other(ours, theirs)
            shown = (_around(comparison, ours, at, True), _around(comparison, theirs, at, False))
            return shown, first_disagreement(comparison, ours, theirs)
        row = int(comparison.agreement.first_bad[fragment])
        if row == UNWIND:
            return ((), ()), unwind_disagreement(comparison, fragment, partner)
        if row < 0:
            continue
        at = next((number for number, step in enumerate(ours) if row in step.references), 0)
        other = int(baseline.first[partner]) + row - int(fixed.first[fragment])
        shown = (_around(comparison, ours, at, True), _around(comparison, theirs, at, False))
        return shown, disagreement(comparison, row, other)
    return ((), ()), None


def _first_line(comparison: Comparison, fragment: int, partner: int) -> Code:
    """The code around the first line number that differs in a fragment."""
    lines, program = comparison.lines, comparison.fixed.program
    site = next(site for site in lines.fixed if program.fragment_at(site) == fragment)
    ours, theirs = steps(comparison.fixed, fragment), steps(comparison.baseline, partner)
    at = sum(step.rva <= site for step in ours) - 1
    return _around(comparison, ours, at, True), _around(comparison, theirs, at, False)


def _first_other(ours: list[Step], theirs: list[Step]) -> int:
    """Number of the first instruction whose form differs; the shorter length when there is none."""
    for number, (one, two) in enumerate(zip(ours, theirs, strict=False)):
        if one.text != two.text:
            return number
    return min(len(ours), len(theirs))


def _around(comparison: Comparison, listing: list[Step], at: int, fixed: bool) -> tuple[Instruction, ...]:
    """The instructions around number ``at``, which is marked."""
    near = listing[max(at - CONTEXT, 0) : at + CONTEXT + 1]
    if not near:
        return ()
    side = comparison.fixed if fixed else comparison.baseline
    marked = listing[at].rva if at < len(listing) else -1
    size = near[-1].rva + len(near[-1].text) - near[0].rva
    lines = disassemble(side.program.image.read(near[0].rva, size), near[0].rva)
    return tuple(Instruction(rva, content, text, rva == marked) for rva, content, text in lines)
