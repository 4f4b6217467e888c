"""V01, V02, V04 to V07 and V09: the package alone. One pure function a check."""

from datetime import datetime

from hpbuild.bundle.contents import agreement_findings, subject_findings
from hpbuild.bundle.reader import Bundle, read_bundle
from hpbuild.bundle.statement import Statement, decode_statement
from hpbuild.codes.verify import EXPIRED, LIMIT_EXCEEDED
from hpbuild.errors import Finding, HpbuildError
from hpbuild.manifest import codec, consistency, schema
from hpbuild.manifest.model import SCHEMA_ID, Manifest, Module
from hpbuild.manifest.strict_json import parse_canonical
from hpbuild.values import parse_moment
from hpbuild.verify import checks
from hpbuild.verify.checks import CheckResult, judged
from hpbuild.verify.policy import Limits

MANIFEST_NAME = "manifest.json"


def check_container(data: bytes, name: str) -> tuple[Bundle | None, CheckResult]:
    """V01: the file is a bundle under the strict ZIP profile."""
    try:
        bundle = read_bundle(data, place=name)
    except HpbuildError as error:
        return None, judged(checks.CONTAINER, (error.finding,))
    facts = (("bytes", len(data)), ("members", len(bundle.members)))
    return bundle, judged(checks.CONTAINER, (), facts)


def check_statement(bundle: Bundle, now: datetime) -> tuple[Statement | None, CheckResult]:
    """V02: the statement is a canonical in-toto statement with hpbuild's predicate, and has not expired.
    ``now`` has a time zone."""
    try:
        statement = decode_statement(bundle.statement)
    except HpbuildError as error:
        return None, judged(checks.STATEMENT, (error.finding,))
    facts = (("id", statement.id), ("sequence", statement.sequence), ("subjects", len(statement.subjects)))
    findings = []
    if statement.expiry and now >= parse_moment(statement.expiry):
        findings.append(Finding(EXPIRED, "statement.json: predicate.expiry", f"it was {statement.expiry}"))
    return statement, judged(checks.STATEMENT, findings, facts)


def check_subjects(bundle: Bundle, statement: Statement) -> CheckResult:
    """V04: every member has the digest that the statement lists; none is missing, none is extra."""
    return judged(
        checks.SUBJECTS, subject_findings(bundle.members, statement), (("subjects", len(statement.subjects)),)
    )


def check_manifest(bundle: Bundle) -> tuple[Manifest | None, CheckResult]:
    """V05: the manifest is canonical JSON, agrees with its published schema and can be decoded."""
    try:
        document = parse_canonical(bundle.manifest, MANIFEST_NAME)
        schema.validate(document, SCHEMA_ID, MANIFEST_NAME)
        manifest = codec.from_document(document, MANIFEST_NAME)
    except HpbuildError as error:
        return None, judged(checks.MANIFEST, (error.finding,))
    facts = (("modules", len(manifest.modules)), ("unchanged", len(manifest.unchanged)))
    return manifest, judged(checks.MANIFEST, (), facts)


def check_agreement(statement: Statement, manifest: Manifest) -> CheckResult:
    """V06: what the signers were shown is what the manifest says."""
    return judged(checks.AGREEMENT, agreement_findings(statement, manifest))


def check_consistency(manifest: Manifest) -> CheckResult:
    """V07: the parts of the manifest fit together. Says what the package leaves out by choice."""
    parts = sum(item.count for module in manifest.modules for item in module.left_out)
    limited = bool(manifest.left_out) or any(module.only for module in manifest.modules)
    facts = (("left out: parts", parts), ("left out: files", len(manifest.left_out))) if limited else ()
    return judged(checks.CONSISTENCY, consistency.check(manifest), facts)


def check_limits(size: int, manifest: Manifest | None, limits: Limits) -> CheckResult:
    """V09: the policy's bounds on the bundle (``size`` bytes) and, when there is one, its manifest."""
    sums = [("bundle bytes", size, limits.bundle_size)]
    if manifest is not None:
        modules = manifest.modules
        sums += [
            ("modules", len(modules), limits.modules),
            ("functions", sum(len(module.functions) for module in modules), limits.functions),
            ("redirections", sum(len(module.redirections) for module in modules), limits.redirections),
            ("references", sum(len(module.references) for module in modules), limits.references),
            ("patch bytes", sum(len(module.image.range) for module in modules), limits.patch_bytes),
            ("compared bytes", sum(_compared_bytes(module) for module in modules), limits.compared_bytes),
        ]
    findings = [
        Finding(LIMIT_EXCEEDED, "bundle", f"{count} {what}, the limit is {limit}")
        for what, count, limit in sums
        if count > limit
    ]
    return judged(checks.LIMITS, findings, tuple((what, count) for what, count, _ in sums))


def _compared_bytes(module: Module) -> int:
    code = sum(len(part) for function in module.functions for part in function.baseline)
    return code + sum(len(reference.range) for reference in module.references)
