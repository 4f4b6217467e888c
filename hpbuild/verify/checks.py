"""The numbered checks: what each one is called, and the result that each one returns."""

from collections.abc import Sequence

from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding, Severity
from hpbuild.verify.states import CheckStatus

Fact = tuple[str, str | int]
"""One thing a check found out, as (name, value); for output, never for a decision."""


@dataclass(frozen=True, slots=True)
class Check:
    """A numbered check. Numbers are stable: scripts name them."""

    number: str
    name: str


CONTAINER = Check("V01", "container")
STATEMENT = Check("V02", "statement")
SIGNATURES = Check("V03", "signatures")
SUBJECTS = Check("V04", "subjects")
MANIFEST = Check("V05", "manifest")
AGREEMENT = Check("V06", "statement and manifest agree")
CONSISTENCY = Check("V07", "manifest is consistent")
PATCH_IMAGES = Check("V08", "patch images")
LIMITS = Check("V09", "limits")
FILE_FOUND = Check("V10", "installed file found")
PIN = Check("V11", "identity of the installed file")
FUNCTIONS = Check("V12", "replaced functions")
REFERENCES = Check("V13", "what the new code refers to")
WINDOWS = Check("V14", "bytes to be redirected")
STATE = Check("V15", "state")
LINE = Check("V16", "release line")
ATTACHMENTS = Check("V17", "attachments")
PUBLISHER = Check("V18", "publisher of the installed file")
POLICY = Check("V19", "policy")

PACKAGE_CHECKS = (
    CONTAINER, STATEMENT, SIGNATURES, SUBJECTS, MANIFEST, AGREEMENT, CONSISTENCY, PATCH_IMAGES, LIMITS,
    LINE, ATTACHMENTS, POLICY,
)  # fmt: skip
MODULE_CHECKS = (FILE_FOUND, PIN, FUNCTIONS, REFERENCES, WINDOWS, STATE, PUBLISHER)

OPTIONAL = frozenset({LINE, ATTACHMENTS, PUBLISHER, POLICY})
"""Checks that are made only when the policy or the arguments ask for them (``VerifyRequest.asked``). One that
was asked for and was not made stands in the way of success like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Result of one check. ``module`` is the module's path for module checks and '' for the package's own
    checks. ``reason`` says why a check was not run. A failed check has at least one refusing finding."""

    check: Check
    status: CheckStatus
    module: str = ""
    findings: tuple[Finding, ...] = ()
    facts: tuple[Fact, ...] = ()
    reason: str = ""

    @property
    def number(self) -> str:
        """'V01' to 'V19'."""
        return self.check.number

    @property
    def name(self) -> str:
        """The check in a few words."""
        return self.check.name

    @property
    def passed(self) -> bool:
        """True only for a check that ran and found nothing."""
        return self.status is CheckStatus.PASSED


def judged(
    check: Check, findings: Sequence[Finding], facts: Sequence[Fact] = (), module: str = ""
) -> CheckResult:
    """Result of a check that ran: failed when one finding refuses, else passed."""
    refused = any(finding.code.severity is Severity.REFUSE for finding in findings)
    status = CheckStatus.FAILED if refused else CheckStatus.PASSED
    return CheckResult(
        check=check, status=status, module=module, findings=tuple(findings), facts=tuple(facts)
    )


def not_run(check: Check, reason: str, module: str = "", findings: Sequence[Finding] = ()) -> CheckResult:
    """Result of a check that could not be made, with the reason in words."""
    return CheckResult(
        check=check, status=CheckStatus.NOT_RUN, module=module, reason=reason, findings=tuple(findings)
    )
