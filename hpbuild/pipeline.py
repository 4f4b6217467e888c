"""The order of the stages, readable as the algorithm; the API for other programs.

    read -> analyse -> compare -> plan -> link -> describe -> prove -> assemble

The steps up to the proof are ``hpbuild.assembly.examining``, module by module; ``Work`` says where they are
done. Every function here is from values to values apart from reading the named files and the cache. What only
some of them need is imported there: comparing makes no package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from hpbuild import __version__
from hpbuild.assembly.examining import ModuleDiff
from hpbuild.assembly.jobs import Job, Result
from hpbuild.assembly.lists import Lists
from hpbuild.assembly.trees import pair_files
from hpbuild.assembly.work import Work, run_jobs
from hpbuild.codes import prove as prove_codes
from hpbuild.dataclass import dataclass, field, replace
from hpbuild.errors import HpbuildError
from hpbuild.manifest.model import Manifest, Module

if TYPE_CHECKING:
    from hpbuild.bundle.reader import Bundle
    from hpbuild.prove.result import Proof

__all__ = [
    "BuildRequest", "BuildResult", "DiffOptions", "ModuleDiff", "Progress", "Work", "assemble", "build",
    "diff_modules", "prove_bundle",
]  # fmt: skip

Progress = Callable[[str, str, int, int], None]
"""(stage, subject, done, total); total 0 when unknown."""
HERE = Work()
"""In this process, without a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """``symbols``: 'auto', 'none', or the path of the baseline's symbol file. ``only``: the functions that a
    package would be limited to, all changes when empty; ``explain``: functions to be explained."""

    symbols: str = "auto"
    only: tuple[str, ...] = ()
    explain: tuple[str, ...] = ()


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
    baseline: Path, fixed: Path, options: DiffOptions, progress: Progress, work: Work = HERE
) -> tuple[ModuleDiff, ...]:
    """Compare two files, or all modules that differ between two directories.

    Raises HpbuildError for inputs that cannot be read or paired, and for lists of functions that name
    nothing (HP2110) or not one thing (HP2111); as ``run_jobs``.
    """
    release = pair_files(baseline, fixed)
    lists = Lists.of(options.only, options.explain, [pair.path for pair in release.pairs])
    jobs = [Job(pair=pair, symbols=options.symbols, lists=lists.fresh()) for pair in release.pairs]
    return tuple(result.diff for result in _seen(run_jobs(jobs, work, progress), lists) if result.diff)


def build(request: BuildRequest, progress: Progress, work: Work = HERE) -> BuildResult:
    """Make and prove all parts of a package. A refusal is in the result, with every finding.

    Raises HpbuildError for inputs that cannot be read, paired, linked or described, and as ``diff_modules``.
    """
    release = pair_files(request.baseline, request.fixed)
    lists = Lists.of(request.only, (), [pair.path for pair in release.pairs])
    jobs = [
        Job(pair=pair, symbols=request.symbols, lists=lists.fresh(), sequence=request.sequence)
        for pair in release.pairs
    ]
    results = _seen(run_jobs(jobs, work, progress), lists)
    unchanged, left_out = list(release.unchanged), list[str]()
    for pair, result in zip(release.pairs, results, strict=True):
        verdict = result.diff.verdict if result.diff else ""
        if not result.carries and verdict != "refused":
            (left_out if verdict == "left-out" else unchanged).append(pair.path)
    diffs = tuple(result.diff for result in results if result.diff)
    made = [result.made for result in results if result.made]
    refused = any(diff.verdict == "refused" for diff in diffs)
    manifest = _manifest(request, [part.module for part in made], sorted(unchanged) if release.tree else [])
    return BuildResult(
        manifest=replace(manifest, left_out=tuple(sorted(left_out))),
        members={} if refused else {part.module.image.member: part.image for part in made},
        diffs=diffs,
        proofs=tuple(part.proof for part in made),
        refused=refused,
        symbols={
            pair.path: result.diff.symbols
            for pair, result in zip(release.pairs, results, strict=True)
            if result.made and result.diff
        },
    )


def _seen(results: list[Result], lists: Lists) -> list[Result]:
    """The results, after the lists were held against what all modules have. Raises HpbuildError HP2110,
    HP2111."""
    for result in results:
        lists.add(result.seen)
    lists.settle()
    return results


def assemble(
    result: BuildResult, *, attach: bool = True, supersedes: tuple[str, ...] = (), expiry: str = ""
) -> bytes:
    """The unsigned bundle, with provenance, SBOM and VEX unless ``attach`` is False; ``supersedes`` are ids
    of packages that it replaces, ``expiry`` is a UTC time as in RFC 3339, '' for never.

    Raises HpbuildError when a part does not fit its format, or when the manifest contradicts itself: such a
    package could be built but never signed or verified."""
    from hpbuild.bundle.writer import assemble as assemble_bundle
    from hpbuild.manifest.codec import encode
    from hpbuild.manifest.consistency import check

    manifest = result.manifest
    for finding in check(manifest):
        raise HpbuildError(finding.code, finding.place, finding.cause)
    encoded = encode(manifest)
    made: Mapping[str, bytes] = {}
    if attach:
        from hpbuild.attachments.record import Record
        from hpbuild.attachments.writer import attachments

        record = Record(
            manifest=manifest,
            manifest_bytes=encoded,
            symbols=result.symbols,
            supersedes=supersedes,
            expiry=expiry,
        )
        made = attachments(record)
    return assemble_bundle(manifest, result.members, made, supersedes, expiry, encoded)


def prove_bundle(
    bundle: Bundle, baseline: Path, fixed: Path, symbols: str, progress: Progress, work: Work = HERE
) -> tuple[Proof, ...]:
    """Prove every module of a bundle against the two builds. The certificate is made anew and believed by
    nobody: the proof checks it. The cache of ``work`` is not used.

    Raises HpbuildError: HP4305 or HP4306 for a package without its patch images, a module that is not
    among the files, inputs that cannot be read; as ``run_jobs``.
    """
    from hpbuild.bundle.contents import image_findings
    from hpbuild.manifest.codec import decode

    manifest = decode(bundle.manifest)
    for finding in image_findings(bundle, manifest):
        raise HpbuildError(finding.code, finding.place, finding.cause)
    pairs = {pair.path: pair for pair in pair_files(baseline, fixed).pairs}
    if len(manifest.modules) == 1 and not baseline.is_dir():
        pairs = {manifest.modules[0].path: next(iter(pairs.values()))}
    lists = Lists.of((), (), [])
    missing = [module.path for module in manifest.modules if module.path not in pairs]
    present = list(takewhile(lambda module: module.path in pairs, manifest.modules))
    jobs = [
        Job(
            pair=pairs[module.path],
            symbols=symbols,
            lists=lists,
            given=(module, bundle.members[module.image.member]),
        )
        for module in present
    ]
    results = run_jobs(jobs, work, progress)
    if missing:
        raise HpbuildError(prove_codes.WRONG_IMAGES, missing[0], "not among the given files, or unchanged")
    return tuple(result.proof for result in results if result.proof)


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
