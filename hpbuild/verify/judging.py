"""The checks of a verification, readable as their list. Imports all that reads packages and images.

Signatures come first after the container, on raw bytes. A failed check does not stop the others: whatever
can still be looked at safely is, so that the output of a failure is as complete as that of a success. Only
what needs the result of a check that failed is not run.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hpbuild.bundle.reader import Bundle
from hpbuild.bundle.statement import Statement
from hpbuild.codes import process
from hpbuild.codes.verify import MODULE_NOT_PE
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import Finding, HpbuildError
from hpbuild.manifest.model import Manifest, Module
from hpbuild.pe.image import Image
from hpbuild.values import Digest
from hpbuild.verify import checks, package
from hpbuild.verify.attachments import check_attachments
from hpbuild.verify.checks import CheckResult, judged, not_run
from hpbuild.verify.line import check_line
from hpbuild.verify.locate import Located, data_of, locate, subject_from
from hpbuild.verify.module import compare, uncompared
from hpbuild.verify.overrides import with_overrides
from hpbuild.verify.patchimages import check_patch_images
from hpbuild.verify.policy import Policy
from hpbuild.verify.policy_rules import check_policy
from hpbuild.verify.publisher import check_publisher, check_publisher_behind
from hpbuild.verify.reading import Reading, reading
from hpbuild.verify.request import ModuleResult, Signer, Verification, VerifyRequest
from hpbuild.verify.signatures import Signatures, check_signatures
from hpbuild.verify.states import Authenticity, ModuleState
from hpbuild.verify.verdict import exit_status, verdict_of

if TYPE_CHECKING:
    from hpbuild.pe.processes import LoadedModule
    from hpbuild.verify.running import Found, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """What the package's own checks left to work with. ``comparable``: the manifest may be acted on."""

    results: tuple[CheckResult, ...]
    authenticity: Authenticity
    signers: tuple[Signer, ...] = ()
    statement: Statement | None = None
    statement_sha256: str = ""
    manifest: Manifest | None = None
    comparable: bool = False
    patches: Mapping[str, Image] | None = None


def judge(request: VerifyRequest, now: datetime, begun: Reading | None) -> Verification:
    """Run every check that can be run and compute the verdict; ``now`` is the time to judge at, ``begun`` the
    installed file when it is being read already. Raises as ``verify``."""
    found = _check_package(request, now)
    results = list(found.results)
    modules: tuple[ModuleResult, ...] = ()
    if found.manifest is not None:
        compared = _check_modules(found, found.manifest, request, now, begun)
        modules = tuple(result for result, _ in compared)
        results += [check for _, of_module in compared for check in of_module]
    elif request.compares:
        results += [not_run(check, "the manifest could not be read") for check in checks.MODULE_CHECKS]
    statement = found.statement
    results = list(with_overrides(results, request.policy, statement.id if statement else "", now))
    modules = tuple(replace(item, findings=_findings_of(item, results)) for item in modules)
    states = [item.state for item in modules]
    status, own = exit_status(
        results, states, found.authenticity, installed=request.compares, asked=request.asked
    )
    return Verification(
        name=request.name,
        sha256=Digest.of(request.bundle).hex,
        statement_sha256=found.statement_sha256,
        policy_sha256=request.policy.sha256,
        time=now,
        verdict=verdict_of(status),
        exit=status,
        authenticity=found.authenticity,
        threshold=request.policy.threshold,
        lowest_tier=request.policy.lowest_tier,
        checks=tuple(results),
        modules=modules,
        signers=found.signers,
        id=statement.id if statement else "",
        product=statement.product if statement else "",
        sequence=statement.sequence if statement else 0,
        advisories=statement.advisories if statement else (),
        expiry=statement.expiry if statement else "",
        manifest=found.manifest,
        findings=own,
        supersedes=statement.supersedes if statement else (),
        reverts=statement.reverts if statement else None,
    )


def _check_package(request: VerifyRequest, now: datetime) -> _Package:
    """The package's own checks, in the order of their numbers."""
    limits = request.policy.limits
    size = package.check_limits(len(request.bundle), None, limits)
    if not size.passed:
        return _unread(size, "the bundle exceeds the policy's limit")
    bundle, container = package.check_container(request.bundle, request.name)
    if bundle is None:
        return _unread(container, "the container could not be read")
    signatures = check_signatures(bundle, request.policy, now)
    statement, of_statement = package.check_statement(bundle, now)
    manifest, of_manifest = package.check_manifest(bundle)
    consistency = _unless_missing(manifest, checks.CONSISTENCY)
    images = _unless_missing(manifest, checks.PATCH_IMAGES)
    bounds = _unless_missing(manifest, checks.LIMITS)
    patches: Mapping[str, Image] | None = None
    if manifest is not None:
        consistency = package.check_consistency(manifest)
        bounds = package.check_limits(len(request.bundle), manifest, limits)
        if consistency.passed and bounds.passed:
            images, patches = check_patch_images(bundle, manifest)
        else:
            images = not_run(checks.PATCH_IMAGES, "the manifest is inconsistent or exceeds a limit")
    subjects, agreement, *rest = _check_signed(bundle, statement, manifest, signatures, request, now)
    return _Package(
        results=(
            container, of_statement, signatures.check, subjects, of_manifest, agreement, consistency, images,
            bounds, *rest,
        ),
        authenticity=signatures.authenticity,
        signers=signatures.signers,
        statement=statement,
        statement_sha256=Digest.of(bundle.statement).hex,
        manifest=manifest,
        comparable=consistency.passed and bounds.passed,
        patches=patches,
    )  # fmt: skip


def _check_signed(
    bundle: Bundle,
    statement: Statement | None,
    manifest: Manifest | None,
    signatures: Signatures,
    request: VerifyRequest,
    now: datetime,
) -> tuple[CheckResult, ...]:
    """V04, V06, V16, V17 and V19: what the statement says, held against the rest."""
    made = (checks.SUBJECTS, checks.AGREEMENT, checks.LINE, checks.ATTACHMENTS, checks.POLICY)
    subjects, agreement, line, attached, rules = (_unless_missing(None, check) for check in made)
    if statement is not None:
        digest = Digest.of(bundle.statement).hex
        subjects = package.check_subjects(bundle, statement)
        accepted = None if request.accepted is None else request.accepted.of(statement.product)
        line = check_line(statement, digest, accepted, request.policy)
        rules = check_policy(statement, digest, manifest, signatures.signers, request.policy, now)
        if manifest is not None:
            agreement = package.check_agreement(statement, manifest)
            attached = check_attachments(bundle, statement, manifest, request.policy)
    return subjects, agreement, line, attached, rules


def _unread(failed: CheckResult, reason: str) -> _Package:
    """Only one check of the package could be made."""
    results = tuple(
        failed if check is failed.check else not_run(check, reason) for check in checks.PACKAGE_CHECKS
    )
    return _Package(results=results, authenticity=Authenticity.UNTRUSTED)


def _unless_missing(needed: object | None, check: checks.Check) -> CheckResult:
    """The result to start with: not run, because a document that the check needs is missing."""
    return not_run(check, "" if needed is not None else "a document that it needs could not be read")


def _check_modules(
    found: _Package, manifest: Manifest, request: VerifyRequest, now: datetime, begun: Reading | None
) -> tuple[tuple[ModuleResult, tuple[CheckResult, ...]], ...]:
    """The checks of every module, one file after the other so that only one is in memory."""
    if not request.compares:
        return tuple(_not_compared(module, "nothing installed was given") for module in manifest.modules)
    if not found.comparable:
        return tuple(_not_compared(module, "the manifest cannot be relied on") for module in manifest.modules)
    patches = found.patches or {}
    if request.installed is not None:
        return tuple(
            _check_module(
                located, patches.get(located.module.path), manifest.sequence, request.policy, now, begun
            )
            for located in locate(request.installed, manifest.modules)
        )
    from hpbuild.verify.running import find_loaded, open_target  # with all that reads processes

    try:
        with open_target(request.pid, request.dump) as target:
            return tuple(
                _check_loaded(
                    target, item, patches.get(item.module.path), manifest.sequence, request.policy, now
                )
                for item in find_loaded(manifest.modules, target.modules)
            )
    except HpbuildError as error:
        # Opening alone raises; what a module's memory refuses is caught where the module is looked at.
        return tuple(_not_found(module, None, error.finding) for module in manifest.modules)


def _check_loaded(
    target: "Target", found: "Found", patch: Image | None, sequence: int, policy: Policy, now: datetime
) -> tuple[ModuleResult, tuple[CheckResult, ...]]:
    """The checks of one module in a process or dump."""
    module, loaded = found.module, found.loaded
    if loaded is None:
        if found.finding is not None:
            return _not_found(module, None, found.finding)
        result, checked = _not_compared(module, f"{target.name} has not loaded it")
        return replace(result, state=ModuleState.NOT_LOADED), checked
    from hpbuild.verify.running import OwnPackage, take_from

    try:
        taken = take_from(target, loaded, module, OwnPackage(patch, sequence), policy.limits.installed_size)
    except HpbuildError as error:
        if error.code in process.ROWS:
            return _not_found(module, loaded.file, error.finding)
        return _not_an_image(target, loaded, module, error.finding)
    where = taken.where
    facts = (
        ("source", where.source), ("module", where.path), ("base", f"{where.base:#x}"),
        ("file behind it", str(where.file or "")), ("file's identity", str(where.file_tier or "")),
        ("bytes not compared: writable", where.writable),
        ("bytes not compared: written by the loader", sum(len(place) for place in where.unknown)),
    )  # fmt: skip
    module_found = judged(checks.FILE_FOUND, taken.remarks, facts, module.path)
    compared = compare(module, taken.subject, patch, lowest=policy.lowest_tier, sequence=sequence)
    publisher = check_publisher_behind(module, taken, policy, now)
    made = (module_found, *compared.checks, publisher)
    result, of_module = _result(module, where.file, compared.state, made)
    return replace(result, tier=compared.tier, memory=where), of_module


def _not_an_image(
    target: "Target", loaded: "LoadedModule", module: Module, finding: Finding
) -> tuple[ModuleResult, tuple[CheckResult, ...]]:
    """What lies in memory has not the shape of an image."""
    facts = (("source", target.name), ("module", loaded.path), ("base", f"{loaded.base:#x}"))
    there = judged(checks.FILE_FOUND, (), facts, module.path)
    cause = Finding(MODULE_NOT_PE, module.path, str(finding))
    results = (there, *uncompared(module, cause, "it could not be read as an image"))
    return _result(module, loaded.file, ModuleState.UNKNOWN_BASELINE, results)


def _not_compared(module: Module, reason: str) -> tuple[ModuleResult, tuple[CheckResult, ...]]:
    results = tuple(not_run(check, reason, module.path) for check in checks.MODULE_CHECKS)
    return ModuleResult(path=module.path, installed=None, state=None, tier=None, findings=()), results


def _check_module(
    located: Located,
    patch: Image | None,
    sequence: int,
    policy: Policy,
    now: datetime,
    begun: Reading | None,
) -> tuple[ModuleResult, tuple[CheckResult, ...]]:
    """The checks of one module; the file is read once."""
    module, path = located.module, located.path
    if path is None or located.finding is not None:
        return _not_found(module, path, located.finding)
    known = nullcontext(begun) if begun is not None and begun.path == path else None
    with known or reading(path, policy.limits.installed_size) as file:
        try:
            data = data_of(file.data, module.path)
        except HpbuildError as error:
            return _not_found(module, path, error.finding)
        file_found = judged(checks.FILE_FOUND, (), (("file", str(path)), ("bytes", len(data))), module.path)
        try:
            subject = subject_from(data, path, module.path)
        except HpbuildError as error:
            results = (file_found, *uncompared(module, error.finding, "it could not be read as an image"))
            unread, of_module = _result(module, path, ModuleState.UNKNOWN_BASELINE, results)
            return replace(unread, sha256=file.sha256().hex), of_module
        subject = replace(subject, sha256=file.sha256())
    compared = compare(module, subject, patch, lowest=policy.lowest_tier, sequence=sequence)
    publisher = check_publisher(module, subject.image, policy, now, compared.state)
    result, of_module = _result(module, path, compared.state, (file_found, *compared.checks, publisher))
    return replace(result, tier=compared.tier, sha256=file.sha256().hex), of_module


def _not_found(
    module: Module, path: Path | None, finding: Finding | None
) -> tuple[ModuleResult, tuple[CheckResult, ...]]:
    findings = () if finding is None else (finding,)
    failed = judged(checks.FILE_FOUND, findings, (), module.path)
    reason = "there is no file to compare with"
    rest = [not_run(check, reason, module.path) for check in checks.MODULE_CHECKS[1:]]
    return _result(module, path, None, (failed, *rest))


def _result(
    module: Module, path: Path | None, state: ModuleState | None, results: tuple[CheckResult, ...]
) -> tuple[ModuleResult, tuple[CheckResult, ...]]:
    findings = tuple(finding for result in results for finding in result.findings)
    return ModuleResult(path=module.path, installed=path, state=state, tier=None, findings=findings), results


def _findings_of(module: ModuleResult, results: Sequence[CheckResult]) -> tuple[Finding, ...]:
    return tuple(finding for item in results if item.module == module.path for finding in item.findings)
