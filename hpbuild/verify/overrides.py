"""Overrides of the policy: a refusal becomes a recorded warning, for one package, until a day, by
somebody's word.

Never for integrity, signatures or the state of installed files: only for what says that a sound package
should not be used, ``OVERRIDABLE``.
"""

from collections.abc import Sequence
from datetime import datetime

from hpbuild.codes import policy as codes
from hpbuild.codes.attachments import MISSING
from hpbuild.codes.servicing import FAR_FUTURE
from hpbuild.codes.verify import EXPIRED
from hpbuild.dataclass import replace
from hpbuild.errors import Code, Finding, Severity
from hpbuild.verify.checks import CheckResult, judged
from hpbuild.verify.policy import Override, Policy
from hpbuild.verify.states import CheckStatus

OVERRIDABLE: tuple[Code, ...] = (
    EXPIRED,
    MISSING,
    codes.TOO_OLD,
    codes.AGE_UNKNOWN,
    codes.EXPIRY_MISSING,
    FAR_FUTURE,
)
"""Codes that an override may name. Rollback is not among them: a signed revert package is the way back."""


def with_overrides(
    results: Sequence[CheckResult], policy: Policy, package: str, now: datetime
) -> tuple[CheckResult, ...]:
    """``results`` with the refusals that ``policy`` overrides for the package with the id ``package`` at
    the time ``now`` as warnings that say who did it and why."""
    allowed = {code.id for code in OVERRIDABLE}
    valid = {
        item.code: item
        for item in policy.overrides
        if item.package == package and item.code in allowed and now < item.expires
    }
    return tuple(_with(result, valid) for result in results) if valid else tuple(results)


def expired_overrides(policy: Policy, package: str, now: datetime) -> tuple[Finding, ...]:
    """A warning for each override of the package that is without effect by ``now``."""
    return tuple(
        Finding(
            codes.OVERRIDE_EXPIRED,
            f"policy: override of {item.code}",
            f"for {item.package}, until {item.expires.isoformat()}",
        )
        for item in policy.overrides
        if item.package == package and now >= item.expires
    )


def _with(result: CheckResult, valid: dict[str, Override]) -> CheckResult:
    """One result; judged anew when it failed, so that it passes when nothing else refuses."""
    if result.status is not CheckStatus.FAILED:
        return result
    findings = tuple(
        _overridden(finding, valid[finding.code.id])
        if finding.code.severity is Severity.REFUSE and finding.code.id in valid
        else finding
        for finding in result.findings
    )
    again = judged(result.check, findings, result.facts, result.module)
    return replace(result, status=again.status, findings=findings)


def _overridden(finding: Finding, override: Override) -> Finding:
    cause = (
        f"{finding.code.id} ({finding.code.title}): {finding.cause}; overridden by {override.by} until "
        f"{override.expires.isoformat()}: {override.reason}"
    )
    return Finding(codes.OVERRIDDEN, finding.place, cause)
