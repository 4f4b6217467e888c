"""What the two builds' types and tools permit."""

from collections.abc import Iterable

from hpbuild.codes import builds as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding, HpbuildError
from hpbuild.match.type_layouts import LayoutChange, layout_changes
from hpbuild.pe.evidence import Build, Toolchain
from hpbuild.pe.pdb.compilers import Compiler

MAX_TYPES = 100
"""Findings about types in one plan; the last one tells how many more there are."""
MAX_DETAILS = 3


@dataclass(frozen=True, slots=True)
class Builds:
    """How both images were made."""

    baseline: Build
    fixed: Build

    @property
    def types_known(self) -> bool:
        """True when the types of both sides can be compared."""
        return self.baseline.types is not None and self.fixed.types is not None


def build_findings(builds: Builds, module: str) -> list[Finding]:
    """Findings about types and tools; ``module`` is the place of those about the image as a whole."""
    findings = _types(builds, module)
    differences = _tools(builds.baseline.toolchain, builds.fixed.toolchain)
    if differences:
        findings.append(Finding(codes.TOOLCHAIN_DIFFERS, module, "; ".join(differences)))
    return findings


def _types(builds: Builds, module: str) -> list[Finding]:
    baseline, fixed = builds.baseline, builds.fixed
    if baseline.types is None or fixed.types is None:
        sides = (("baseline", baseline), ("fixed", fixed))
        causes = (f"{side}: {build.types_note}" for side, build in sides if build.types is None)
        return [Finding(codes.LAYOUTS_NOT_COMPARED, module, "; ".join(causes))]
    try:
        changes = layout_changes(baseline.types, fixed.types)
    except HpbuildError as error:
        return [Finding(codes.LAYOUTS_NOT_COMPARED, module, str(error.finding))]
    findings = [_finding(change) for change in changes[:MAX_TYPES]]
    if len(changes) > MAX_TYPES:
        cause = f"and {len(changes) - MAX_TYPES} more types"
        findings.append(Finding(codes.TYPE_LAYOUT, changes[MAX_TYPES].name, cause))
    return findings


def _finding(change: LayoutChange) -> Finding:
    code = codes.ENUMERATION_GREW if change.last_value_only else codes.TYPE_LAYOUT
    more = len(change.details) - MAX_DETAILS
    details = [*change.details[:MAX_DETAILS], *([f"{more} more differences"] if more > 0 else [])]
    return Finding(code, change.name, f"{change.kind}: {'; '.join(details)}")


def _tools(baseline: Toolchain, fixed: Toolchain) -> list[str]:
    """What differs, in words; nothing when one side does not tell."""
    differences = []
    if baseline.linker != fixed.linker:
        old, new = (f"{major}.{minor}" for major, minor in (baseline.linker, fixed.linker))
        differences.append(f"linker {old} -> {new}")
    if baseline.products and fixed.products and baseline.products != fixed.products:
        differences += _sets("tool records", _products(baseline), _products(fixed))
    if baseline.compilers and fixed.compilers:
        differences += _sets("compilers", _compilers(baseline.compilers), _compilers(fixed.compilers))
    return differences


def _sets(what: str, old: set[str], new: set[str]) -> list[str]:
    parts = []
    if old - new:
        parts.append(f"baseline only: {_few(old - new)}")
    if new - old:
        parts.append(f"fixed only: {_few(new - old)}")
    return [f"{what} {', '.join(parts)}"] if parts else []


def _few(names: set[str]) -> str:
    shown = sorted(names)[:MAX_DETAILS]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def _products(toolchain: Toolchain) -> set[str]:
    return {f"product {product:#x} build {build}" for product, build in toolchain.products}


def _compilers(compilers: Iterable[Compiler]) -> set[str]:
    """Compilers by name, version and machine, not by the files they made: those may come and go."""
    return {f"{item.name} {item.version} ({item.language}, machine {item.machine:#x})" for item in compilers}
