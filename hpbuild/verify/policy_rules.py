"""V19: what the policy says about packages beyond their signatures: product, age, expiry, revocation."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hpbuild.bundle.statement import Statement
from hpbuild.codes import policy as codes
from hpbuild.errors import Finding
from hpbuild.manifest.model import Manifest
from hpbuild.verify.checks import POLICY, CheckResult, Fact, judged, not_run
from hpbuild.verify.one_signature import CLOCK_TOLERANCE
from hpbuild.verify.overrides import expired_overrides
from hpbuild.verify.policy import Policy
from hpbuild.verify.request import Signer

PREDICATE = "statement.json: predicate"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


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
    facts: tuple[Fact, ...] = (("made", made.strftime(TIME_FORMAT)), ("by", source)) if made else ()
    findings += _age(made, source, policy, now)
    findings += expired_overrides(policy, statement.id, now)
    return judged(POLICY, findings, facts)


def _made(
    statement: Statement, manifest: Manifest | None, signers: Sequence[Signer]
) -> tuple[datetime | None, str]:
    """When the package was made, and who says so: the earliest trusted time stamp of a signature that counts,
    else the signed manifest. A revert package has the manifest of the one that it takes back."""
    times = [signer.signing_time for signer in signers if signer.trusted and signer.signing_time is not None]
    if times:
        return min(times), "time stamp"
    if manifest is not None and manifest.created and statement.reverts is None:
        return datetime.strptime(manifest.created, TIME_FORMAT).replace(tzinfo=UTC), "manifest"
    return None, ""


def _age(made: datetime | None, source: str, policy: Policy, now: datetime) -> tuple[Finding, ...]:
    if policy.max_age is None:
        return ()
    if made is None:
        return (Finding(codes.AGE_UNKNOWN, "package", "neither a trusted time stamp nor a time of building"),)
    if made - now > CLOCK_TOLERANCE:
        cause = f"its {source} says {made.strftime(TIME_FORMAT)}, judged at {now.strftime(TIME_FORMAT)}"
        return (Finding(codes.AGE_UNKNOWN, "package", cause),)
    if now - made <= policy.max_age:
        return ()
    cause = f"made {made.strftime(TIME_FORMAT)} by its {source}, more than {policy.max_age.days} days ago"
    return (Finding(codes.TOO_OLD, "package", cause),)
