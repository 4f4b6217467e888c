import itertools
from collections.abc import Sequence

import pytest

from hpbuild.codes import verify as codes
from hpbuild.codes.bundle import LIMIT, NOT_A_BUNDLE, SUBJECT_MISMATCH
from hpbuild.codes.manifest import NOT_JSON, SCHEMA_MISMATCH
from hpbuild.codes.process import NONE_LOADED
from hpbuild.errors import Code, ExitStatus, Finding
from hpbuild.verify import checks
from hpbuild.verify.checks import Check, CheckResult, judged, not_run
from hpbuild.verify.states import Authenticity, ModuleState, Verdict
from hpbuild.verify.verdict import WORST_FIRST, exit_status, verdict_of, worst

TRUSTED = Authenticity.TRUSTED


def results(module: str = "", **replaced: CheckResult) -> list[CheckResult]:
    """All checks passed, but for those given by number; module checks when ``module`` is named."""
    made = {check.number: judged(check, ()) for check in checks.PACKAGE_CHECKS}
    if module:
        made |= {check.number: judged(check, (), (), module) for check in checks.MODULE_CHECKS}
    return list((made | replaced).values())


def failed(check: Check, *found: Code, module: str = "") -> CheckResult:
    return judged(check, [Finding(code, "place", "cause") for code in found], (), module)


def status_of(
    given: Sequence[CheckResult], states: Sequence[ModuleState | None] = (), *, installed: bool = False
) -> ExitStatus:
    return exit_status(given, states, TRUSTED, installed=installed)[0]


def test_all_passed() -> None:
    assert exit_status(results(), (), TRUSTED, installed=False) == (ExitStatus.YES, ())
    made = results("m")
    assert exit_status(made, (ModuleState.APPLIED,), TRUSTED, installed=True) == (ExitStatus.YES, ())


def test_modules_that_are_not_loaded_decide_nothing() -> None:
    away = [not_run(check, "not loaded", "n") for check in checks.MODULE_CHECKS]
    one = (ModuleState.APPLIED, ModuleState.NOT_LOADED)
    assert exit_status([*results("m"), *away], one, TRUSTED, installed=True) == (ExitStatus.YES, ())
    status, findings = exit_status([*results(), *away], one[1:], TRUSTED, installed=True)
    assert status is ExitStatus.NOT_APPLICABLE
    assert [finding.code for finding in findings] == [NONE_LOADED]
    # A package that is not good is never merely not applicable.
    unmade = not_run(checks.SUBJECTS, "reason")
    bad = [*results(**{unmade.number: unmade}), *away]
    assert exit_status(bad, one[1:], TRUSTED, installed=True)[0] is ExitStatus.NO


def test_nothing_checked_is_a_failure() -> None:
    made = [not_run(check, "reason") for check in (*checks.PACKAGE_CHECKS, *checks.MODULE_CHECKS)]
    for given in ([], made):
        status, findings = exit_status(given, (), TRUSTED, installed=False)
        assert status is ExitStatus.NO
        assert [finding.code for finding in findings] == [codes.NOTHING_CHECKED]


@pytest.mark.parametrize("check", checks.PACKAGE_CHECKS)
def test_a_package_check_that_was_not_made_is_a_failure(check: Check) -> None:
    status, findings = exit_status(
        results(**{check.number: not_run(check, "reason")}), (), TRUSTED, installed=False
    )
    assert status is ExitStatus.NO
    assert [finding.code for finding in findings] == [codes.CHECK_NOT_RUN]


@pytest.mark.parametrize("check", checks.MODULE_CHECKS)
def test_a_module_check_that_was_not_made_is_a_failure(check: Check) -> None:
    given = results("m", **{check.number: not_run(check, "reason", "m")})
    status, findings = exit_status(given, (ModuleState.APPLICABLE,), TRUSTED, installed=True)
    assert status is ExitStatus.NO
    assert [finding.code for finding in findings] == [codes.CHECK_NOT_RUN]


@pytest.mark.parametrize("check", sorted(checks.OPTIONAL, key=lambda check: check.number))
def test_an_optional_check_counts_when_it_was_asked_for_or_made(check: Check) -> None:
    state = (ModuleState.APPLICABLE,)
    module = "m" if check in checks.MODULE_CHECKS else ""
    unmade = results("m", **{check.number: not_run(check, "reason", module)})
    others = checks.OPTIONAL - {check}
    assert exit_status(unmade, state, TRUSTED, installed=True, asked=others) == (ExitStatus.YES, ())
    status, findings = exit_status(unmade, state, TRUSTED, installed=True, asked=frozenset({check}))
    assert status is ExitStatus.NO
    assert [finding.code for finding in findings] == [codes.CHECK_NOT_RUN]
    made = results("m", **{check.number: failed(check, codes.EXPIRED, module=module)})
    # Whose certificates are wrong: the package's, or those of the installed file.
    wanted = ExitStatus.NOT_APPLICABLE if check is checks.PUBLISHER else ExitStatus.NO
    assert exit_status(made, state, TRUSTED, installed=True, asked=others)[0] is wanted


def test_waived_signatures_need_no_signature_check_and_nothing_else() -> None:
    waived = not_run(checks.SIGNATURES, "waived")
    assert exit_status(results(V03=waived), (), Authenticity.WAIVED, installed=False)[0] is ExitStatus.YES
    other = results(V03=waived, V04=not_run(checks.SUBJECTS, "reason"))
    assert exit_status(other, (), Authenticity.WAIVED, installed=False)[0] is ExitStatus.NO


def test_untrusted_never_succeeds() -> None:
    assert exit_status(results(), (), Authenticity.UNTRUSTED, installed=False)[0] is ExitStatus.NO


def test_nothing_installed_compared_is_a_failure() -> None:
    assert status_of(results(), (), installed=True) is ExitStatus.NO


@pytest.mark.parametrize("state", [state for state in ModuleState if state not in ("applicable", "applied")])
def test_only_two_states_succeed(state: ModuleState) -> None:
    assert status_of(results("m"), (state,), installed=True) is ExitStatus.NO


@pytest.mark.parametrize(
    ("check", "code", "status"),
    [
        (checks.CONTAINER, NOT_A_BUNDLE, ExitStatus.MALFORMED),
        (checks.CONTAINER, LIMIT, ExitStatus.LIMIT),
        (checks.STATEMENT, NOT_JSON, ExitStatus.MALFORMED),
        (checks.MANIFEST, NOT_JSON, ExitStatus.MALFORMED),
        (checks.MANIFEST, SCHEMA_MISMATCH, ExitStatus.NO),
        (checks.SIGNATURES, codes.UNTRUSTED, ExitStatus.NO),
        (checks.SIGNATURES, NOT_JSON, ExitStatus.NO),
        (checks.SUBJECTS, SUBJECT_MISMATCH, ExitStatus.NO),
        (checks.PATCH_IMAGES, NOT_JSON, ExitStatus.NO),
        (checks.PATCH_IMAGES, LIMIT, ExitStatus.LIMIT),
        (checks.LIMITS, codes.LIMIT_EXCEEDED, ExitStatus.LIMIT),
    ],
)
def test_status_of_one_failed_package_check(check: Check, code: Code, status: ExitStatus) -> None:
    assert status_of(results(**{check.number: failed(check, code)})) is status


def test_a_bad_package_decides_before_the_installed_file() -> None:
    given = results(
        "m",
        V04=failed(checks.SUBJECTS, SUBJECT_MISMATCH),
        V15=failed(checks.STATE, codes.NOT_NEEDED, module="m"),
    )
    assert status_of(given, (ModuleState.NOT_NEEDED,), installed=True) is ExitStatus.NO


def test_the_order_of_failures() -> None:
    order = [
        ExitStatus.NO,
        ExitStatus.MALFORMED,
        ExitStatus.LIMIT,
        ExitStatus.UNAVAILABLE,
        ExitStatus.NOT_APPLICABLE,
    ]
    assert [status for status in WORST_FIRST if status in order] == order
    for first, second in itertools.combinations(order, 2):
        assert worst([second, first, ExitStatus.YES]) is first
    assert worst([]) is ExitStatus.YES


def test_every_failing_status_has_a_place_in_the_order() -> None:
    assert set(WORST_FIRST) == set(ExitStatus) - {ExitStatus.YES}


def test_several_modules_the_worst_decides() -> None:
    given = [
        *results("a"),
        *(judged(check, (), (), "b") for check in checks.MODULE_CHECKS[:-1]),
        failed(checks.STATE, codes.UNKNOWN_BASELINE, module="b"),
    ]
    states = (ModuleState.APPLICABLE, ModuleState.UNKNOWN_BASELINE)
    assert status_of(given, states, installed=True) is ExitStatus.NOT_APPLICABLE


@pytest.mark.parametrize("status", ExitStatus)
def test_verdict_of_every_status(status: ExitStatus) -> None:
    expected = {ExitStatus.YES: Verdict.VERIFIED, ExitStatus.NOT_APPLICABLE: Verdict.NOT_APPLICABLE}
    assert verdict_of(status) is expected.get(status, Verdict.FAILED)
