"""V19: what the policy says about packages beyond their signatures: product, age, expiry, revocation."""

from collections.abc import Sequence
from datetime import datetime

from hpbuild.bundle.statement import Statement
from hpbuild.codes import policy as codes
from hpbuild.errors import Finding
from hpbuild.manifest.model import Manifest
from hpbuild.values import moment_text, parse_moment
from hpbuild.verify.checks import POLICY, CheckResult, Fact, judged, not_run
from hpbuild.verify.one_signature import CLOCK_TOLERANCE
from hpbuild.verify.overrides import expired_overrides
from hpbuild.verify.policy import Policy
from hpbuild.verify.request import Signer

PREDICATE = "statement.json: predicate"


def check_policy(
    statement: Statement,
    statement_sha256: str,
    manifest: Manifest | None,
    signers: Sequence[Signer],
    policy: Policy,
    now: datetime,
) -> CheckResult:
    """V19 at the time ``now``: HP6141 to HP6145, and HP6147 for overrides of this package that have expired.
    ``statement_sha256`` is lower-case hex."""
    if not policy.has_rules:
        return not_run(POLICY, "the policy has no rules about packages")
    findings: list[Finding] = []
    if policy.products and statement.product not in policy.products:
        cause = f"{statement.product!r} is none of {', '.join(map(repr, policy.products))}"
        findings.append(Finding(codes.WRONG_PRODUCT, f"{PREDICATE}.product", cause))
    findings += [
        Finding(codes.BUNDLE_REVOKED, f"{PREDICATE}.id", f"{item.package}: {item.reason}")
        for item in policy.revoked_bundles
        if item.package in (statement.id, statement_sha256)
    ]
    if policy.expiry_required and not statement.expiry:
        findings.append(Finding(codes.EXPIRY_MISSING, f"{PREDICATE}.expiry", "it is empty"))
    made, source = _made(statement, manifest, signers)
    facts: tuple[Fact, ...] = (("made", moment_text(made)), ("by", source)) if made else ()
    findings += _age(made, source, policy, now)
    findings += expired_overrides(policy, statement.id, now)
    return judged(POLICY, findings, facts)


def _made(
    statement: Statement, manifest: Manifest | None, signers: Sequence[Signer]
) -> tuple[datetime | None, str]:
    """When the package was made, and who says so: the earliest of the trusted time stamps of signatures that
    count and the signed manifest. A stamp is not signed: anybody can take it away and have the signature
    stamped anew, which must not make an old package young. A revert package has the manifest of the one that
    it takes back."""
    times = [
        (signer.signing_time, "time stamp")
        for signer in signers
        if signer.trusted and signer.signing_time is not None
    ]
    if manifest is not None and manifest.created and statement.reverts is None:
        times.append((parse_moment(manifest.created), "manifest"))
    return min(times, default=(None, ""))


def _age(made: datetime | None, source: str, policy: Policy, now: datetime) -> tuple[Finding, ...]:
    if policy.max_age is None:
        return ()
    if made is None:
        return (Finding(codes.AGE_UNKNOWN, "package", "neither a trusted time stamp nor a time of building"),)
    if made - now > CLOCK_TOLERANCE:
        cause = f"its {source} says {moment_text(made)}, judged at {moment_text(now)}"
        return (Finding(codes.AGE_UNKNOWN, "package", cause),)
    if now - made <= policy.max_age:
        return ()
    cause = f"made {moment_text(made)} by its {source}, more than {policy.max_age.days} days ago"
    return (Finding(codes.TOO_OLD, "package", cause),)
