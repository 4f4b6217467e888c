"""What other modules and the loader took from the baseline when it was loaded: exports, imports, flags,
resources."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from hpbuild.code.model import I64, Program
from hpbuild.codes import plan
from hpbuild.codes import traps as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.match.sides import Side
from hpbuild.pe.exports import Export, exports, same_names
from hpbuild.pe.image import Image
from hpbuild.pe.load_config import load_config
from hpbuild.pe.resources import resource_digest
from hpbuild.plan.model import Exclusion
from hpbuild.plan.selection import Selection

_ORDINAL = "ordinal "
_NO_FUNCTION = -2
"""As a partner: there is no function to have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interfaces:
    """What two images have otherwise there, and a hotpatch does not deliver."""

    exports: tuple[Exclusion, ...]
    imports: tuple[Exclusion, ...]
    flags: tuple[Exclusion, ...]
    resources: tuple[Exclusion, ...]

    @classmethod
    def of(cls, fixed: Program, baseline: Program) -> "Interfaces":
        """Compare both. Raises HpbuildError from the table readers of ``hpbuild.pe``."""
        images = fixed.image, baseline.image
        return cls(
            exports=tuple(export_exclusions(*images)),
            imports=_import_exclusions(fixed, baseline),
            flags=tuple(flag_exclusions(*images)),
            resources=_resource_exclusions(*images),
        )

    def every(self) -> tuple[Exclusion, ...]:
        """All of them."""
        return (*self.exports, *self.imports, *self.flags, *self.resources)


def export_exclusions(fixed: Image, baseline: Image) -> list[Exclusion]:
    """Exports that were added or removed, or have another ordinal or forwarder."""
    if same_names(fixed, baseline):
        return []
    ours, theirs = _by_name(fixed), _by_name(baseline)
    rows = [
        Exclusion("export", name, "added in the fixed image") for name in sorted(ours.keys() - theirs.keys())
    ]
    rows += [
        Exclusion("export", name, "removed in the fixed image")
        for name in sorted(theirs.keys() - ours.keys())
    ]
    for name in sorted(ours.keys() & theirs.keys()):
        new, old = ours[name], theirs[name]
        if new.forwarder != old.forwarder:
            cause = f"forwarded to {old.forwarder or 'nowhere'}, now to {new.forwarder or 'nowhere'}"
            rows.append(Exclusion("export", name, cause))
        elif new.ordinal != old.ordinal:
            rows.append(Exclusion("export", name, f"{_ORDINAL}{old.ordinal} became {new.ordinal}"))
    return rows


def export_findings(rows: Iterable[Exclusion]) -> list[Finding]:
    """A warning for each of ``export_exclusions``; one note for all ordinals: a linker counts anew."""
    renumbered, others = list[Exclusion](), list[Exclusion]()
    for row in rows:
        (renumbered if row.cause.startswith(_ORDINAL) else others).append(row)
    findings = [Finding(plan.EXPORTS_DIFFER, row.place, row.cause) for row in others]
    if renumbered:
        cause = f"{len(renumbered)} exports; {renumbered[0].cause}"
        findings.append(Finding(codes.EXPORT_ORDINALS, renumbered[0].place, cause))
    return findings


def _import_exclusions(fixed: Program, baseline: Program) -> tuple[Exclusion, ...]:
    """Imports that were added or removed."""
    ours, theirs = set(fixed.slots.values()), set(baseline.slots.values())
    added = [Exclusion("import", name, "added in the fixed image") for name in sorted(ours - theirs)]
    removed = [Exclusion("import", name, "removed in the fixed image") for name in sorted(theirs - ours)]
    return (*added, *removed)


def _resource_exclusions(fixed: Image, baseline: Image) -> tuple[Exclusion, ...]:
    if resource_digest(fixed) == resource_digest(baseline):
        return ()
    return (Exclusion("resource", ".rsrc", "resources differ"),)


def flag_exclusions(fixed: Image, baseline: Image) -> list[Exclusion]:
    """Flags that the loader read: subsystem, mitigations, control flow guard."""
    rows = []
    for name in ("subsystem", "dll_characteristics"):
        new, old = getattr(fixed, name), getattr(baseline, name)
        if new != old:
            rows.append(Exclusion("metadata", name, f"{old:#x} became {new:#x}"))
    ours, theirs = load_config(fixed), load_config(baseline)
    new, old = ours.guard_flags if ours else 0, theirs.guard_flags if theirs else 0
    if new != old:
        rows.append(Exclusion("metadata", "guard flags", f"{old:#x} became {new:#x}"))
    return rows


def flag_findings(rows: Iterable[Exclusion]) -> list[Finding]:
    """One warning for each of ``flag_exclusions``."""
    return [Finding(codes.LOADER_FLAGS, row.place, row.cause) for row in rows]


def moved_exports(comparison: Comparison, selection: Selection) -> list[Finding]:
    """Refusals for exports of code that lead to a function which is not the counterpart of the old one."""
    fixed, baseline = comparison.fixed.program, comparison.baseline.program
    theirs = dict(zip((name for _, name in baseline.exported), _roots(baseline).tolist(), strict=True))
    partner = np.full(len(fixed.fragments), _NO_FUNCTION, dtype=np.int64)
    partner[selection.facts.roots] = selection.facts.partner
    roots = _roots(fixed)
    olds = np.array([theirs.get(name, _NO_FUNCTION) for _, name in fixed.exported], dtype=np.int64)
    moved = (olds != _NO_FUNCTION) & (partner[roots] != olds) & (partner[roots] != _NO_FUNCTION)
    names = Counter(theirs.values()) if moved.any() else Counter[int]()
    kept = frozenset(selection.facts.partner.tolist()) if moved.any() else frozenset[int]()
    findings = []
    for row in np.flatnonzero(moved).tolist():
        name, root, old = fixed.exported[row][1], int(roots[row]), int(olds[row])
        fact = selection.facts[root]
        if selection.limit is not None and fact.root not in selection.functions:
            continue  # left out by choice
        if old in kept:
            if fact.partner < 0 and names[old] > 1:
                continue  # split off from a folded function, which is a refusal of its own
            start = int(baseline.fragments.start[old])
            findings.append(
                Finding(codes.EXPORT_MOVED, name, f"the function at {start:#x} stays what it was")
            )
        elif not (
            fact.partner >= 0 and fact.identical and equal_code(comparison.baseline, old, fact.partner)
        ):
            start = int(baseline.fragments.start[old])
            findings.append(Finding(codes.FOLDED_IN_FIXED, name, f"in the baseline at {start:#x}"))
    return findings


def _roots(program: Program) -> I64:
    """The functions that the exports of code lead to, in their order."""
    index = np.fromiter((index for index, _ in program.exported), np.int64, len(program.exported))
    found: I64 = program.fragments.root[index]
    return found


def equal_code(side: Side, one: int, other: int) -> bool:
    """True when two fragments of one image have the same code and refer to the same things."""
    if side.forms[one] == 0 or side.forms[one] != side.forms[other]:
        return False
    targets = side.program.references.target
    ours = targets[side.first[one] : side.last[one]].tolist()
    theirs = targets[side.first[other] : side.last[other]].tolist()
    return bool(ours == theirs)


def _by_name(image: Image) -> dict[str, Export]:
    return {item.name or f"#{item.ordinal}": item for item in exports(image)}
