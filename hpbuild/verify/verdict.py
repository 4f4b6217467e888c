"""The verdict: computed from the checks and the module states, never set by hand.

Exit status. Every failed check contributes the status of its refusing findings; the worst decides, in
this order:

    1 (NO)              somebody's package is wrong: signature, digest, schema, contradiction
    4 (MALFORMED)       the container or a document in it cannot be read
    5 (LIMIT)           a bound was exceeded, so not everything was looked at
    6 (UNAVAILABLE)     an installed file exists and could not be read
    3 (NOT_APPLICABLE)  the package is good, the file is not its baseline: unknown-baseline, not-needed,
                        conflict, file missing
    0 (YES)             everything passed

A finding contributes the status of its code. In checks that compare parts of a readable package with each
other (V03, V04, V06, V07, V08), and for a manifest that is JSON but not of its schema, a status of
MALFORMED counts as NO: the input could be read, and the answer is no. In V18 both count as NOT_APPLICABLE:
certificates and signature are those of the installed file, and nothing is wrong with the package.

So a bad package is never reported as "not applicable", whatever the installed files say, and with
several modules the worst one decides. Success needs every package check passed (signatures may be
waived by the policy, and then the verification says so) and, when there is something installed to
compare with, every check of every module passed. An optional check (``checks.OPTIONAL``) has to have passed
only when it was asked for; one that was made and failed always counts. Modules that a process has not loaded
are left out of that; when it has loaded none, there is no success. A run in which nothing was checked is a
failure.
"""

from collections.abc import Sequence

from hpbuild.codes.manifest import BAD_LEFT_OUT, SCHEMA_MISMATCH
from hpbuild.codes.process import NONE_LOADED
from hpbuild.codes.verify import CHECK_NOT_RUN, NOTHING_CHECKED
from hpbuild.errors import Code, ExitStatus, Finding, Severity
from hpbuild.verify.checks import (
    AGREEMENT,
    CONSISTENCY,
    MODULE_CHECKS,
    OPTIONAL,
    PACKAGE_CHECKS,
    PATCH_IMAGES,
    PUBLISHER,
    SIGNATURES,
    SUBJECTS,
    Check,
    CheckResult,
)
from hpbuild.verify.states import SUCCESSFUL_STATES, Authenticity, CheckStatus, ModuleState, Verdict

WORST_FIRST = (
    ExitStatus.BUG,
    ExitStatus.NO,
    ExitStatus.MALFORMED,
    ExitStatus.LIMIT,
    ExitStatus.UNAVAILABLE,
    ExitStatus.USAGE,
    ExitStatus.NOT_APPLICABLE,
)
"""Failing exit statuses in the order in which they decide."""

COMPARING_CHECKS = frozenset({SIGNATURES, SUBJECTS, AGREEMENT, CONSISTENCY, PATCH_IMAGES})
"""Checks that compare parts of a package which could all be read."""


def exit_status(
    checks: Sequence[CheckResult],
    states: Sequence[ModuleState | None],
    authenticity: Authenticity,
    *,
    installed: bool,
    asked: frozenset[Check] = OPTIONAL,
) -> tuple[ExitStatus, tuple[Finding, ...]]:
    """Exit status of a run and the findings that the verdict itself adds.

    ``checks`` are all results; ``states`` the state of every module (None: not determined); ``installed``
    tells whether the caller gave something to compare with; ``asked`` are the optional checks that the policy
    or the arguments ask for.
    """
    failed = [result for result in checks if result.status is CheckStatus.FAILED]
    if failed:
        return worst([_status_of(result) for result in failed]), ()
    missing = _unmet(checks, states, authenticity, asked, installed=installed)
    if not missing and installed and set(states) == {ModuleState.NOT_LOADED}:
        cause = f"{len(states)} modules, none of them loaded"
        return ExitStatus.NOT_APPLICABLE, (Finding(NONE_LOADED, "verification", cause),)
    if missing:
        ran = any(result.status is not CheckStatus.NOT_RUN for result in checks)
        code: Code = CHECK_NOT_RUN if ran else NOTHING_CHECKED
        return ExitStatus.NO, (Finding(code, "verification", missing),)
    return ExitStatus.YES, ()


def required(of: Sequence[Check], asked: frozenset[Check]) -> tuple[Check, ...]:
    """Those of the checks ``of`` that have to have passed when the optional ones ``asked`` are asked for."""
    return tuple(check for check in of if check not in OPTIONAL or check in asked)


def worst(statuses: Sequence[ExitStatus]) -> ExitStatus:
    """The status that decides; YES when there is none."""
    return next((status for status in WORST_FIRST if status in statuses), ExitStatus.YES)


def verdict_of(status: ExitStatus) -> Verdict:
    """The verdict that belongs to an exit status."""
    if status is ExitStatus.YES:
        return Verdict.VERIFIED
    return Verdict.NOT_APPLICABLE if status is ExitStatus.NOT_APPLICABLE else Verdict.FAILED


def _status_of(result: CheckResult) -> ExitStatus:
    """Worst status among the refusing findings of a failed check; NO when it has none."""
    statuses = [
        _counted(result, finding) for finding in result.findings if finding.code.severity is Severity.REFUSE
    ]
    return next((status for status in WORST_FIRST if status in statuses), ExitStatus.NO)


def _counted(result: CheckResult, finding: Finding) -> ExitStatus:
    """The status that a refusing finding contributes."""
    status = finding.code.exit
    if result.check is PUBLISHER and status in (ExitStatus.NO, ExitStatus.MALFORMED):
        return ExitStatus.NOT_APPLICABLE
    comparing = result.check in COMPARING_CHECKS or finding.code in (SCHEMA_MISMATCH, BAD_LEFT_OUT)
    return ExitStatus.NO if comparing and status is ExitStatus.MALFORMED else status


def _unmet(
    checks: Sequence[CheckResult],
    states: Sequence[ModuleState | None],
    authenticity: Authenticity,
    asked: frozenset[Check],
    *,
    installed: bool,
) -> str:
    """What success lacks, in words; '' when nothing."""
    package = {result.check: result for result in checks if not result.module}
    for check in required(PACKAGE_CHECKS, asked):
        waived = check is SIGNATURES and authenticity is Authenticity.WAIVED
        if not waived and (check not in package or not package[check].passed):
            return f"{check.number} ({check.name}) was not made"
    if authenticity is Authenticity.UNTRUSTED:
        return "nobody vouches for the package"
    if not installed:
        return ""
    if not states:
        return "the package has no module to compare with"
    of_module = required(MODULE_CHECKS, asked)
    passed = sum(1 for result in checks if result.check in of_module and result.passed)
    compared = [state for state in states if state is not ModuleState.NOT_LOADED]
    if passed != len(compared) * len(of_module):
        return "not every check of every module was made"
    if any(state not in SUCCESSFUL_STATES for state in compared):
        return "a module is neither applicable nor applied"
    return ""
