"""What the package does not deliver, declared: exports, imports, resources, unused additions."""

from collections.abc import Container

import numpy as np

from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import referenced, reserved_class
from hpbuild.pe.exports import exports
from hpbuild.pe.image import Image
from hpbuild.pe.imports import imports
from hpbuild.pe.resources import resource_digest
from hpbuild.pe.tls import tls
from hpbuild.plan.model import Exclusion
from hpbuild.plan.selection import Selection


def declared_exclusions(
    comparison: Comparison, selection: Selection, carried: Container[int]
) -> tuple[tuple[Exclusion, ...], list[Finding]]:
    """Exclusions, and the findings that tell of them. ``carried`` are the atoms that chunks hold."""
    fixed, baseline = comparison.fixed.program.image, comparison.baseline.program.image
    exclusions = [*_exports(fixed, baseline), *_imports(fixed, baseline), *_resources(fixed, baseline)]
    exclusions += _unused(comparison, selection, carried)
    if _templates_differ(fixed, baseline):
        exclusions.append(Exclusion("thread-local", ".tls", "initial thread-local data differs"))
    findings = [
        Finding(codes.EXPORTS_DIFFER, item.place, item.cause) for item in exclusions if item.klass == "export"
    ]
    findings += [
        Finding(codes.RESOURCES_DIFFER, item.place, item.cause)
        for item in exclusions
        if item.klass == "resource"
    ]
    unused = [item for item in exclusions if item.klass in ("unreferenced-function", "unreferenced-data")]
    if unused:
        findings.append(
            Finding(codes.UNUSED_ADDITIONS, unused[0].place, f"{len(unused)} runs of code or data")
        )
    findings += _entry_point(comparison, selection)
    findings += _thread_local(comparison, selection)
    return tuple(sorted(exclusions, key=lambda item: (item.klass, item.place, item.cause))), findings


def _exports(fixed: Image, baseline: Image) -> list[Exclusion]:
    ours = {item.name or f"#{item.ordinal}" for item in exports(fixed)}
    theirs = {item.name or f"#{item.ordinal}" for item in exports(baseline)}
    rows = [Exclusion("export", name, "added in the fixed image") for name in sorted(ours - theirs)]
    return rows + [Exclusion("export", name, "removed in the fixed image") for name in sorted(theirs - ours)]


def _imports(fixed: Image, baseline: Image) -> list[Exclusion]:
    def names(image: Image) -> set[str]:
        return {f"{item.dll.lower()}!{item.name or f'#{item.ordinal}'}" for item in imports(image)}

    ours, theirs = names(fixed), names(baseline)
    rows = [Exclusion("import", name, "added in the fixed image") for name in sorted(ours - theirs)]
    return rows + [Exclusion("import", name, "removed in the fixed image") for name in sorted(theirs - ours)]


def _resources(fixed: Image, baseline: Image) -> list[Exclusion]:
    if resource_digest(fixed) == resource_digest(baseline):
        return []
    return [Exclusion("resource", ".rsrc", "resources differ")]


def _unused(comparison: Comparison, selection: Selection, carried: Container[int]) -> list[Exclusion]:
    side, data = comparison.fixed, comparison.data
    rows = []
    for fact in selection.facts.values():
        if not fact.identical and fact.root not in selection.functions:
            start = int(side.program.fragments.start[fact.root])
            rows.append(Exclusion("unreferenced-function", f"{start:#x}", side.program.name_of(fact.root)))
    named = referenced(side)
    missing = np.flatnonzero((data.baseline < 0) | ~data.same)
    for atom in missing.tolist():
        start, end = int(side.atoms.start[atom]), int(side.atoms.end[atom])
        if atom in carried:
            continue
        klass = reserved_class(side, atom, named)
        if klass:
            rows.append(Exclusion("metadata", f"{start:#x}", klass))
            continue
        content = side.program.image.read(start, end - start)
        if content.strip(b"\0\xcc") or named[atom]:
            kind = Memory(int(side.atoms.memory[atom])).name.lower()
            rows.append(Exclusion("unreferenced-data", f"{start:#x}", f"{end - start} bytes of {kind}"))
    return rows


def _entry_point(comparison: Comparison, selection: Selection) -> list[Finding]:
    program = comparison.fixed.program
    fragment = program.fragment_at(program.image.entry_point) if program.image.entry_point else -1
    if fragment >= 0 and int(program.fragments.root[fragment]) in selection.functions:
        return [Finding(codes.INITIALISER, program.name_of(fragment), "it ran when the image was loaded")]
    return []


def _templates_differ(fixed: Image, baseline: Image) -> bool:
    ours, theirs = tls(fixed), tls(baseline)
    if ours is None or theirs is None:
        return ours is not theirs
    if ours.zero_fill != theirs.zero_fill or len(ours.template) != len(theirs.template):
        return True
    return fixed.read(ours.template.start, len(ours.template)) != baseline.read(
        theirs.template.start, len(theirs.template)
    )


def _thread_local(comparison: Comparison, selection: Selection) -> list[Finding]:
    """Refuse when the template changed and carried code uses thread-local data (it reads the index)."""
    fixed, baseline = comparison.fixed.program.image, comparison.baseline.program.image
    ours = tls(fixed)
    if ours is None or not _templates_differ(fixed, baseline):
        return []
    side = comparison.fixed
    rows = np.flatnonzero(side.program.references.target == ours.index)
    roots = set(side.program.fragments.root[side.program.references.fragment[rows]].tolist())
    users = sorted(roots & selection.functions.keys())
    return [
        Finding(codes.THREAD_LOCAL, side.program.name_of(root), "it uses thread-local data") for root in users
    ]
