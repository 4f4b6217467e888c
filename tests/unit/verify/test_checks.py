from hpbuild.codes.verify import SIGNATURES_WAIVED, UNTRUSTED
from hpbuild.errors import Finding
from hpbuild.verify import checks
from hpbuild.verify.states import CheckStatus

WARNING = Finding(SIGNATURES_WAIVED, "p", "c")
REFUSAL = Finding(UNTRUSTED, "p", "c")


def test_numbers_are_stable_and_without_gaps() -> None:
    numbers = [check.number for check in (*checks.PACKAGE_CHECKS, *checks.MODULE_CHECKS)]
    assert sorted(numbers) == [f"V{number:02}" for number in range(1, 20)]
    assert {check.number for check in checks.OPTIONAL} == {"V16", "V17", "V18", "V19"}


def test_only_a_refusing_finding_fails_a_check() -> None:
    assert checks.judged(checks.CONTAINER, ()).passed
    assert checks.judged(checks.CONTAINER, (WARNING,)).passed
    assert checks.judged(checks.CONTAINER, (WARNING, REFUSAL)).status is CheckStatus.FAILED


def test_not_run_is_not_passed() -> None:
    result = checks.not_run(checks.CONTAINER, "why")
    assert not result.passed
    assert result.reason == "why"
