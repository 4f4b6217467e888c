"""From the working comparison to facts for people: functions, data, and where every byte belongs."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64
from hpbuild.dataclass import replace
from hpbuild.match.address_map import Evidence
from hpbuild.match.alignment import first_difference
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.content import agreed_length
from hpbuild.match.functions import FunctionFact, FunctionFacts, Groups, ranges, ranges_of_each
from hpbuild.match.model import Change, DatumChange, Difference, FunctionChange, Summary
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level
from hpbuild.match.sides import Side
from hpbuild.values import Interval

UNWIND = -2
"""``Agreement.first_bad`` of a fragment whose unwind record disagrees."""
_RESERVED = {".idata": "imports", ".edata": "exports", ".reloc": "relocations", ".rsrc": "resources"}
Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]
_RODATA = int(Memory.RODATA)
_KINDS = {int(kind): kind.name.lower() for kind in RefKind}
_LEVELS = {int(level): level.label for level in Level}
_EVIDENCE = {int(evidence): evidence.label for evidence in Evidence}
_MEMORY = {int(Memory.RODATA): "rodata", int(Memory.DATA): "data", int(Memory.BSS): "bss"}


def describe(comparison: Comparison) -> Difference:
    """The report's facts: what is not identical, counts, and the byte account of the fixed image."""
    facts, theirs = comparison.facts, comparison.baseline_functions
    others = facts.differing
    changes = [
        change
        for fact, made in zip(others, _function_changes(comparison, others, theirs), strict=True)
        for change in _renamed(comparison, made, fact)
    ]
    changes += _removed(comparison, facts, theirs)
    named = referenced(comparison.fixed)
    aside = _set_aside(comparison.fixed, np.flatnonzero(comparison.data.baseline < 0), named)
    data = _new_data(comparison, named, aside) + _removed_data(comparison)
    account, mapped = _byte_account(comparison, others, aside)
    count = Counter(change.change for change in changes if not change.line_only)
    numbers = np.bincount(comparison.pairing.level, minlength=len(Level)).tolist()
    levels = {level.label: numbers[level] for level in Level if level and numbers[level]}
    kinds = Counter(change.change for change in data)
    summary = Summary(
        functions_baseline=len(theirs),
        functions_fixed=len(facts),
        identical=len(facts) - len(others),
        changed=count[Change.CHANGED],
        line_only=sum(fact.line_only for fact in others),
        added=count[Change.ADDED],
        removed=count[Change.REMOVED],
        data_changed=kinds[Change.CHANGED],
        data_added=kinds[Change.ADDED],
        data_removed=kinds[Change.REMOVED],
        levels=tuple(sorted(levels.items())),
    )
    return Difference(
        summary=summary, functions=tuple(changes), data=tuple(data), account=account, mapped=mapped
    )


def _function_changes(
    comparison: Comparison, others: Sequence[FunctionFact], theirs: Mapping[int, tuple[int, ...]]
) -> Iterator[FunctionChange]:
    """Of each of ``others``, functions that are not identical, or but for line numbers."""
    program = comparison.fixed.program
    parts = [theirs.get(fact.partner, (fact.partner,)) if fact.partner >= 0 else () for fact in others]
    old = ranges_of_each(comparison.baseline.program, parts)
    new = ranges_of_each(program, [fact.fragments for fact in others])
    _find_reasons(comparison, others)
    levels = comparison.pairing.level[np.array([fact.root for fact in others], dtype=np.int64)].tolist()
    for fact, baseline, fixed, level in zip(others, old, new, levels, strict=True):
        added = fact.partner < 0
        yield FunctionChange(
            name=program.name_of(fact.root),
            change=Change.ADDED if added else Change.CHANGED,
            baseline=baseline,
            fixed=fixed,
            level="" if added else _LEVELS[level],
            reason="no counterpart in the baseline" if added else reason(comparison, fact),
            line_only=fact.line_only,
        )


def _renamed(
    comparison: Comparison, change: FunctionChange, fact: FunctionFact
) -> tuple[FunctionChange, ...]:
    """A changed function that symbols call otherwise in the baseline is told as one that is new and takes
    the place of one that is gone."""
    if fact.partner < 0 or not named_apart(comparison.fixed, comparison.baseline, fact.root, fact.partner):
        return (change,)
    old = comparison.baseline.program.name_of(fact.partner)
    return (
        replace(change, change=Change.ADDED, reason=f"it takes the place of {old}; {change.reason}"),
        FunctionChange(
            name=old,
            change=Change.REMOVED,
            baseline=change.baseline,
            fixed=(),
            level=change.level,
            reason=f"{change.name} takes its place",
        ),
    )


def _removed(comparison: Comparison, facts: FunctionFacts, theirs: Groups) -> list[FunctionChange]:
    program = comparison.baseline.program
    kept = np.zeros(len(program.fragments), dtype=np.bool_)
    kept[facts.partner[facts.partner >= 0]] = True
    return [
        FunctionChange(
            name=program.name_of(root),
            change=Change.REMOVED,
            baseline=ranges(program, theirs[root]),
            fixed=(),
            level="",
            reason="no counterpart in the fixed image",
        )
        for root in theirs.roots[~kept[theirs.roots]].tolist()
    ]


def reason(comparison: Comparison, fact: FunctionFact) -> str:
    """The first difference of a changed function, in words; found once for each."""
    known = comparison.facts.reasons
    if fact.root not in known:
        known[fact.root] = _reason(comparison, fact)
    return known[fact.root]


def _reason(comparison: Comparison, fact: FunctionFact) -> str:
    if fact.line_only:
        return _line_reason(comparison, fact)
    fixed, baseline, pairing = comparison.fixed, comparison.baseline, comparison.pairing
    for fragment in fact.fragments:
        partner = pairing.fixed.item(fragment)
        if partner < 0:
            return f"the part at {int(fixed.program.fragments.start[fragment]):#x} has no counterpart"
        if fixed.forms.item(fragment) != baseline.forms.item(partner):
            ours, theirs = first_difference(fixed, baseline, fragment, partner)
            return f"code differs, first at {_place(ours)} (baseline {_place(theirs)})"
        row = comparison.agreement.first_bad.item(fragment)
        if row == UNWIND:
            return "unwind information differs"
        if row >= 0:
            return next(_reference_reasons(comparison, np.array([fragment], dtype=np.int64)))
        if baseline.program.fragments.root[partner] != fact.partner:
            return "its parts belong to different functions of the baseline"
    return "differs"


def _parts_of(facts: Sequence[FunctionFact]) -> tuple[I64, I64]:
    """The fragments of all of ``facts``: the number of the function, and the fragment."""
    number = np.repeat(np.arange(len(facts)), [len(fact.fragments) for fact in facts])
    return number, np.fromiter(chain.from_iterable([fact.fragments for fact in facts]), np.int64)


def _find_reasons(comparison: Comparison, others: Sequence[FunctionFact]) -> None:
    """Find the reasons of many changed functions at once, of those whose first difference is a reference:
    nearly all are such."""
    known, fixed, baseline = comparison.facts.reasons, comparison.fixed, comparison.baseline
    facts = [fact for fact in others if fact.partner >= 0 and not fact.line_only]
    if not facts:
        return
    number, fragment = _parts_of(facts)
    partner, row = comparison.pairing.fixed[fragment], comparison.agreement.first_bad[fragment]
    alike = (partner >= 0) & (fixed.forms[fragment] == baseline.forms[partner])
    home = np.array([fact.partner for fact in facts], dtype=np.int64)[number]
    plain = alike & (row < 0) & (row != UNWIND) & (baseline.program.fragments.root[partner] == home)
    telling = np.flatnonzero(~plain)
    first = np.ones(len(telling), dtype=np.bool_)
    first[1:] = number[telling[1:]] != number[telling[:-1]]
    telling = telling[first & (alike & (row >= 0))[telling]]
    roots = [facts[one].root for one in number[telling].tolist()]
    known.update(zip(roots, _reference_reasons(comparison, fragment[telling]), strict=True))


def _line_reason(comparison: Comparison, fact: FunctionFact) -> str:
    """The line numbers in which a function differs: the first, and how many."""
    lines, program = comparison.lines, comparison.fixed.program
    rows = [
        row
        for run in ranges(program, tuple(sorted(fact.fragments)))
        for row in range(bisect_left(lines.fixed, run.start), bisect_left(lines.fixed, run.end))
    ]
    new = program.image.u32(lines.fixed[rows[0]])
    old = comparison.baseline.program.image.u32(lines.baseline[rows[0]])
    more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"only line numbers differ: {old} is {new} at {lines.fixed[rows[0]]:#x}{more}"


def _place(rva: int) -> str:
    return f"{rva:#x}" if rva >= 0 else "the end"


def _reference_reasons(comparison: Comparison, fragments: I64) -> Iterator[str]:
    """What differs of fragments that differ in a reference first."""
    fixed, baseline = comparison.fixed, comparison.baseline
    references, rows = fixed.program.references, comparison.agreement.first_bad[fragments]
    others = baseline.first[comparison.pairing.fixed[fragments]] + rows - fixed.first[fragments]
    atoms = fixed.targets.atom[rows]
    constant = (atoms >= 0) & (np.append(fixed.atoms.memory, 0)[atoms] == _RODATA)
    columns = (
        references.kind[rows],
        references.site[rows],
        references.target[rows],
        baseline.program.references.target[others],
        constant,
    )
    for kind, site, ours, theirs, is_constant in zip(*(part.tolist() for part in columns), strict=True):
        what = "content of a constant" if is_constant else "target"
        yield (f"{what} differs: {_KINDS[kind]} at {site:#x} names {ours:#x}, in the baseline {theirs:#x}")


def _set_aside(side: Side, atoms: I64, named: Bool) -> dict[int, str]:
    """Those of some atoms that are no data of the program, with their class: 'padding' for filler, else as in
    ``reserved_class``. What is named is never one."""
    found = {}
    for atom in atoms[~named[atoms]].tolist():
        klass = "padding" if is_filler(side, atom, named) else reserved_class(side, atom, named)
        if klass:
            found[atom] = klass
    return found


def _new_data(comparison: Comparison, named: Bool, aside: Mapping[int, str]) -> list[DatumChange]:
    """Changed and added data. ``aside`` are the atoms without counterpart that are no data."""
    fixed, baseline, data = comparison.fixed, comparison.baseline, comparison.data
    atoms = np.flatnonzero((data.baseline < 0) | ~data.same)
    places = data.baseline[atoms]
    behind = np.append(baseline.atoms.end, -1)[baseline.atoms.at(places)]
    columns = (fixed.atoms.start, fixed.atoms.end, fixed.atoms.memory, data.evidence)
    found = []
    for atom, place, end, start, stop, memory, evidence in zip(
        *(column.tolist() for column in (atoms, places, behind, *(part[atoms] for part in columns))),
        strict=True,
    ):
        added = place < 0
        if atom in aside if added else reserved_class(fixed, atom, named):
            continue
        found.append(
            DatumChange(
                name=fixed.atoms.names.get(atom, ""),
                change=Change.ADDED if added else Change.CHANGED,
                kind=_MEMORY[memory],
                baseline=None if added else Interval(place, end if end >= 0 else place + stop - start),
                fixed=Interval(start, stop),
                reason="no counterpart in the baseline"
                if added
                else f"content differs (paired by {_EVIDENCE[evidence]})",
            )
        )
    return found


def _removed_data(comparison: Comparison) -> list[DatumChange]:
    baseline, data = comparison.baseline, comparison.data
    kept = np.zeros(len(baseline.atoms) + 1, dtype=np.bool_)
    kept[baseline.atoms.at(data.baseline[data.baseline >= 0])] = True
    atoms = np.flatnonzero(~kept[:-1])
    aside = _set_aside(baseline, atoms, referenced(baseline))
    atoms = np.array([atom for atom in atoms.tolist() if atom not in aside], dtype=np.int64)
    atoms = atoms[~_covered(comparison, baseline.atoms.start[atoms])]
    columns = (baseline.atoms.start, baseline.atoms.end, baseline.atoms.memory)
    return [
        DatumChange(
            name=baseline.atoms.names.get(atom, ""),
            change=Change.REMOVED,
            kind=_MEMORY[memory],
            baseline=Interval(start, end),
            fixed=None,
            reason="no counterpart in the fixed image",
        )
        for atom, start, end, memory in zip(
            atoms.tolist(), *(column[atoms].tolist() for column in columns), strict=True
        )
    ]


def _covered(comparison: Comparison, rvas: I64) -> Bool:
    """Which addresses of the baseline lie inside the counterpart of a longer fixed atom with equal content,
    filler at its end aside."""
    fixed, baseline, data = comparison.fixed, comparison.baseline, comparison.data
    atoms = np.flatnonzero((data.baseline >= 0) & data.same)
    atoms = atoms[np.argsort(data.baseline[atoms], kind="stable")]
    places = data.baseline[atoms]
    last = places.searchsorted(rvas, side="right")
    nearest = np.append(places, -1)[last - 1]  # of no place before it: of none at all, or behind it
    first = places.searchsorted(nearest)
    held = [
        any(rva < place + agreed_length(fixed, baseline, atom, place) for atom in atoms[low:high].tolist())
        for rva, place, low, high in zip(
            *(column.tolist() for column in (rvas, nearest, first, last)), strict=True
        )
    ]
    return np.array(held, dtype=np.bool_)


def referenced(side: Side) -> Bool:
    """By atom: something names it (a reference, a field, a symbol that is not import book-keeping)."""
    # One more stands for no atom, -1.
    named = np.zeros(len(side.atoms) + 1, dtype=np.bool_)
    named[side.targets.atom] = True
    named[side.pointers.atom] = True
    named[[atom for atom, name in side.atoms.names.items() if not name.startswith(".idata$")]] = True
    return named[:-1]


def is_filler(side: Side, atom: int, named: Bool) -> bool:
    """True for zeros (or int3 in code sections) that nothing names."""
    if named[atom]:
        return False
    start, end = side.atoms.start.item(atom), side.atoms.end.item(atom)
    code = side.program.image.section_at(start)
    filler = bytes((0, 0xCC)) if code is not None and code.executable else b"\0"
    return not side.program.image.read(start, end - start).strip(filler)


def reserved_class(side: Side, atom: int, named: Bool) -> str:
    """Metadata class of an atom that no code and no relocated pointer names, in a section that linkers
    keep for loader structures (mingw leaves import book-keeping in .idata) or that identifies a compiler; ''
    for anything else."""
    if named[atom] or side.atoms.first_field[atom] != side.atoms.last_field[atom]:
        return ""
    klass = _RESERVED.get(side.program.image.sections[int(side.atoms.section[atom])].name, "")
    if not klass and int(side.atoms.start[atom]) in side.atoms.identification:
        return "compiler-identification"
    return klass


def _byte_account(
    comparison: Comparison, others: Sequence[FunctionFact], aside: Mapping[int, str]
) -> tuple[tuple[tuple[str, int], ...], int]:
    """Bytes of the fixed image by class, and their total: headers and every section's virtual size.
    ``others`` are the functions that are not identical, or but for line numbers; ``aside`` the atoms without
    counterpart that are no data."""
    fixed, data = comparison.fixed, comparison.data
    program, sizes = fixed.program, Counter[str]()
    fragments = program.fragments
    length = fragments.end - fragments.start
    number, fragment = _parts_of(others)
    size = np.zeros(len(others), dtype=np.int64)
    np.add.at(size, number, length[fragment])
    for fact, code_size in zip(others, size.tolist(), strict=True):
        klass = "line-only-code" if fact.line_only else "added-code" if fact.partner < 0 else "changed-code"
        sizes[klass] += code_size
    code = ~fragments.opaque & ~fragments.opaque[fragments.root]
    sizes["identical-code"] = int(length[code].sum()) - sizes.total()
    sizes["padding"] += int((program.padding[:, 1] - program.padding[:, 0]).sum())
    for name, start, end in program.metadata:
        sizes[name] += end - start
    span = fixed.atoms.end - fixed.atoms.start
    mapped = data.baseline >= 0
    sizes["identical-data"] += int(span[mapped & data.same].sum())
    sizes["changed-data"] += int(span[mapped & ~data.same].sum())
    sizes["added-data"] += int(span[~mapped].sum())
    for atom, klass in aside.items():
        sizes[klass] += span.item(atom)
        sizes["added-data"] -= span.item(atom)
    headers = (
        0 if any(name == "headers" for name, _, _ in program.metadata) else program.image.size_of_headers
    )
    sizes["headers"] += headers
    sections = sum(section.virtual_size for section in program.image.sections)
    total = sections + program.image.size_of_headers
    return tuple(sorted((name, size) for name, size in sizes.items() if size)), total
