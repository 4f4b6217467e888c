"""The order of the stages, readable as the algorithm; the API for other programs.

    read -> analyse -> compare -> plan -> link -> describe -> prove -> assemble

Every function here is from values to values apart from reading the named files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hpbuild import __version__
from hpbuild.assembly.certificate import certificate
from hpbuild.assembly.lists import Lists
from hpbuild.assembly.loading import load_pair
from hpbuild.assembly.modules import module_entry
from hpbuild.assembly.trees import FilePair, pair_files
from hpbuild.attachments.record import Record
from hpbuild.attachments.writer import attachments
from hpbuild.bundle.contents import image_findings
from hpbuild.bundle.reader import Bundle
from hpbuild.bundle.writer import assemble as assemble_bundle
from hpbuild.codes import prove as prove_codes
from hpbuild.errors import Finding, HpbuildError
from hpbuild.manifest.codec import decode, encode
from hpbuild.manifest.consistency import check
from hpbuild.manifest.model import Manifest, Module
from hpbuild.match.comparison import Comparison, compare
from hpbuild.match.explanation import Explanation
from hpbuild.match.facts import describe
from hpbuild.match.model import Difference
from hpbuild.patchimage.link import link
from hpbuild.plan.listing import limit_of_package
from hpbuild.plan.model import NOT_SELECTED, Exclusion, Plan
from hpbuild.plan.only import Limit
from hpbuild.plan.planner import make_plan
from hpbuild.prove.proof import Proof, prove_module

Progress = Callable[[str, str, int, int], None]
"""(stage, subject, done, total); total 0 when unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """``symbols``: 'auto', 'none', or the path of the baseline's symbol file. ``only``: the functions that a
    package would be limited to, all changes when empty; ``explain``: functions to be explained."""

    symbols: str = "auto"
    only: tuple[str, ...] = ()
    explain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDiff:
    """One module: the facts, what the plan thinks of them, and the verdict 'identical', 'hotpatchable',
    'refused', 'left-out' (the list of functions names none of it) or 'nothing-to-patch' (what differs is in
    no function that has to be carried). ``symbols`` says where names come from (baseline/fixed).
    ``only`` is the list that the plan is limited to, empty when it is not."""

    baseline: str
    fixed: str
    verdict: str
    symbols: str
    difference: Difference
    findings: tuple[Finding, ...]
    exclusions: tuple[Exclusion, ...]
    only: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What ``build`` was asked for; ``created`` is RFC 3339 UTC or ''; ``only`` as in ``DiffOptions``."""

    baseline: Path
    fixed: Path
    id: str
    sequence: int
    product: str
    advisories: tuple[str, ...]
    created: str
    symbols: str = "auto"
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """``members`` are the patch images by member name, empty when refused or when nothing is to patch;
    ``symbols`` says for each module's path where names came from."""

    manifest: Manifest
    members: Mapping[str, bytes]
    diffs: tuple[ModuleDiff, ...]
    proofs: tuple[Proof, ...]
    refused: bool
    symbols: Mapping[str, str] = field(default_factory=dict)


def diff_modules(
    baseline: Path, fixed: Path, options: DiffOptions, progress: Progress
) -> tuple[ModuleDiff, ...]:
    """Compare two files, or all modules that differ between two directories.

    Raises HpbuildError for inputs that cannot be read or paired, and for lists of functions that name
    nothing (HP2110) or not one thing (HP2111).
    """
    release = pair_files(baseline, fixed)
    lists = Lists.of(options.only, options.explain, [pair.path for pair in release.pairs])
    diffs = tuple(_examine(pair, options.symbols, progress, lists)[0] for pair in release.pairs)
    lists.settle()
    return diffs


def build(request: BuildRequest, progress: Progress) -> BuildResult:
    """Make and prove all parts of a package. A refusal is in the result, with every finding.

    Raises HpbuildError for inputs that cannot be read, paired, linked or described, and as ``diff_modules``.
    """
    release = pair_files(request.baseline, request.fixed)
    lists = Lists.of(request.only, (), [pair.path for pair in release.pairs])
    diffs: list[ModuleDiff] = []
    modules: list[Module] = []
    members: dict[str, bytes] = {}
    proofs: list[Proof] = []
    symbols: dict[str, str] = {}
    unchanged, left_out = list(release.unchanged), list[str]()
    for pair in release.pairs:
        diff, comparison, plan = _examine(pair, request.symbols, progress, lists)
        diffs.append(diff)
        if plan.refused:
            continue
        if not plan.functions:
            (left_out if diff.verdict == "left-out" else unchanged).append(pair.path)
            continue
        entry, image = _make(pair, comparison, plan, diff, request.sequence, progress)
        modules.append(entry)
        symbols[pair.path] = diff.symbols
        members[entry.image.member] = image
        proofs.append(_prove(entry, image, comparison, plan, progress))
    lists.settle()
    refused = any(diff.verdict == "refused" for diff in diffs)
    manifest = _manifest(request, modules, sorted(unchanged) if release.tree else [])
    return BuildResult(
        manifest=replace(manifest, left_out=tuple(sorted(left_out))),
        members={} if refused else members,
        diffs=tuple(diffs),
        proofs=tuple(proofs),
        refused=refused,
        symbols=symbols,
    )


def assemble(
    result: BuildResult, *, attach: bool = True, supersedes: tuple[str, ...] = (), expiry: str = ""
) -> bytes:
    """The unsigned bundle, with provenance, SBOM and VEX unless ``attach`` is False; ``supersedes`` are ids
    of packages that it replaces, ``expiry`` is a UTC time as in RFC 3339, '' for never.

    Raises HpbuildError when a part does not fit its format, or when the manifest contradicts itself: such a
    package could be built but never signed or verified."""
    manifest = result.manifest
    for finding in check(manifest):
        raise HpbuildError(finding.code, finding.place, finding.cause)
    made: Mapping[str, bytes] = {}
    if attach:
        record = Record(
            manifest=manifest,
            manifest_bytes=encode(manifest),
            symbols=result.symbols,
            supersedes=supersedes,
            expiry=expiry,
        )
        made = attachments(record)
    return assemble_bundle(manifest, result.members, made, supersedes, expiry)


def prove_bundle(
    bundle: Bundle, baseline: Path, fixed: Path, symbols: str, progress: Progress
) -> tuple[Proof, ...]:
    """Prove every module of a bundle against the two builds. The certificate is made anew and believed by
    nobody: the proof checks it.

    Raises HpbuildError: HP4305 or HP4306 for a package without its patch images, a module that is not
    among the files, inputs that cannot be read.
    """
    manifest = decode(bundle.manifest)
    for finding in image_findings(bundle, manifest):
        raise HpbuildError(finding.code, finding.place, finding.cause)
    pairs = {pair.path: pair for pair in pair_files(baseline, fixed).pairs}
    if len(manifest.modules) == 1 and not baseline.is_dir():
        pairs = {manifest.modules[0].path: next(iter(pairs.values()))}
    proofs = []
    for module in manifest.modules:
        if module.path not in pairs:
            raise HpbuildError(
                prove_codes.WRONG_IMAGES, module.path, "not among the given files, or unchanged"
            )
        _, comparison, plan = _examine(pairs[module.path], symbols, progress, module)
        proofs.append(_prove(module, bundle.members[module.image.member], comparison, plan, progress))
    return tuple(proofs)


def _examine(
    pair: FilePair, symbols: str, progress: Progress, lists: Lists | Module
) -> tuple[ModuleDiff, Comparison, Plan]:
    """Analyse, compare and plan one module, within the limits of the lists or of a package's module."""
    programs = load_pair(pair.baseline, pair.fixed, symbols, progress)
    progress("compare", pair.path, 0, 0)
    comparison = compare(programs.baseline, programs.fixed)
    progress("plan", pair.path, 0, 0)
    if isinstance(lists, Lists):
        limit, explanations = lists.limit(comparison, pair.path), lists.explanations(comparison, pair.path)
    else:
        entries = [function.fixed[0].start for function in lists.functions if function.fixed]
        limit, explanations = limit_of_package(comparison, lists.only, entries), ()
    plan = make_plan(comparison, limit, programs.builds)
    difference = describe(comparison)
    sources = (programs.baseline.symbols.source, programs.fixed.symbols.source)
    return (
        ModuleDiff(
            baseline=str(pair.baseline),
            fixed=str(pair.fixed),
            verdict=_verdict(difference, plan, limit),
            symbols=sources[0] if sources[0] == sources[1] else "/".join(sources),
            difference=difference,
            findings=plan.findings,
            exclusions=plan.exclusions,
            only=plan.only,
            explanations=explanations,
        ),
        comparison,
        plan,
    )


def _verdict(difference: Difference, plan: Plan, limit: Limit | None) -> str:
    if plan.refused:
        return "refused"
    left_out = any(item.klass == NOT_SELECTED for item in plan.exclusions)
    if limit is not None and not plan.functions and left_out:
        return "left-out"
    same = not difference.functions and not difference.data
    if same:
        return "identical"
    return "hotpatchable" if plan.functions else "nothing-to-patch"


def _make(
    pair: FilePair, comparison: Comparison, plan: Plan, diff: ModuleDiff, sequence: int, progress: Progress
) -> tuple[Module, bytes]:
    """Link the patch image and describe it."""
    progress("link", pair.path, 0, 0)
    baseline, fixed = comparison.baseline.program.image, comparison.fixed.program.image
    linked = link(plan, baseline, sequence)
    entry = module_entry(pair.path, baseline, fixed, plan, linked, diff.difference.account)
    return entry, linked.data


def _prove(module: Module, image: bytes, comparison: Comparison, plan: Plan, progress: Progress) -> Proof:
    claims = certificate(comparison, plan, module)
    return prove_module(
        claims, module, image, comparison.baseline.program.image, comparison.fixed.program.image, progress
    )


def _manifest(request: BuildRequest, modules: list[Module], unchanged: list[str]) -> Manifest:
    return Manifest(
        id=request.id,
        product=request.product,
        sequence=request.sequence,
        advisories=request.advisories,
        created=request.created,
        tool=f"hpbuild {__version__}",
        modules=tuple(sorted(modules, key=lambda module: module.path)),
        unchanged=tuple(unchanged),
    )
