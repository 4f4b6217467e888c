"""V16 on values: every way in which a package may stand to what was accepted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hpbuild.bundle.statement import Reverts, Statement
from hpbuild.codes import servicing as codes
from hpbuild.errors import Code
from hpbuild.values import Digest
from hpbuild.verify import Policy
from hpbuild.verify.checks import CheckResult
from hpbuild.verify.line import Accepted, AcceptedLine, AcceptedLines, check_line
from hpbuild.verify.states import CheckStatus

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def digest(text: str) -> Digest:
    return Digest.of(text.encode())


def statement(name: str, sequence: int, reverts: Reverts | None = None, **more: object) -> Statement:
    made = Statement(
        subjects=(), id=name, product="Codec", sequence=sequence, supersedes=(), expiry="", pins=(),
        advisories=(), tool="", reverts=reverts,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def reverts(name: str, sequence: int, of: str | None = None) -> Reverts:
    return Reverts(id=name, sequence=sequence, statement=digest(of or name), reason="r")


def accepted(name: str, sequence: int, back: Reverts | None = None, *supersedes: str) -> Accepted:
    """A package whose statement is the digest of its id."""
    return Accepted(
        id=name, sequence=sequence, statement=digest(name).hex, supersedes=supersedes, reverts=back, time=NOON
    )


ONE, THREE = accepted("KB-1", 1), accepted("KB-3", 3)
LINE = AcceptedLine(product="Codec", packages=(ONE, THREE))
BACK = AcceptedLine(product="Codec", packages=(*LINE.packages, accepted("KB-4", 4, reverts("KB-3", 3))))
POLICY = Policy(allow_unsigned=True)


def check(given: Statement, line: AcceptedLine | None, policy: Policy = POLICY) -> CheckResult:
    return check_line(given, digest(given.id).hex, line, policy)


def found(given: Statement, line: AcceptedLine | None = LINE, policy: Policy = POLICY) -> list[Code]:
    return [item.code for item in check(given, line, policy).findings]


def test_nobody_keeps_a_line() -> None:
    assert check(statement("KB-1", 1), None).status is CheckStatus.NOT_RUN


def test_a_policy_that_requires_it_refuses_then() -> None:
    result = check(statement("KB-1", 1), None, replace(POLICY, state_required=True))
    assert result.status is CheckStatus.FAILED
    assert [item.code for item in result.findings] == [codes.STATE_REQUIRED]


def test_the_first_package_of_a_line_is_believed() -> None:
    result = check(statement("KB-77", 77_000_000), AcceptedLine(product="Codec"))
    assert result.passed
    assert [item.code for item in result.findings] == [codes.FIRST_OF_LINE]


def test_the_next_package_passes() -> None:
    result = check(statement("KB-4", 4), LINE)
    assert result.passed
    assert dict(result.facts)["highest sequence"] == 3
    assert result.findings == ()


def test_the_last_package_passes_again() -> None:
    result = check(statement("KB-3", 3), LINE)
    assert result.passed
    assert dict(result.facts)["this package"] == "accepted before"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (statement("KB-2", 2), [codes.ROLLBACK]),
        (statement("KB-1", 1), [codes.ROLLBACK]),
        (statement("KB-3x", 3), [codes.EQUIVOCATION]),
        (statement("KB-9", 1004), [codes.FAR_FUTURE]),
        (statement("KB-9", 2**32 - 1), [codes.FAR_FUTURE]),
        (statement("KB-4", 4, product=""), [codes.NO_PRODUCT]),
        (statement("KB-2", 2, supersedes=("KB-3",)), [codes.ROLLBACK, codes.SUPERSEDES_NEWER]),
        (
            statement("KB-3x", 3, supersedes=("KB-3",)),
            [codes.EQUIVOCATION, codes.SUPERSEDES_NEWER],
        ),
        (statement("KB-4", 4, reverts("KB-2", 2)), [codes.REVERTS_UNKNOWN]),
        (statement("KB-4", 4, reverts("KB-3", 3, "other")), [codes.REVERTS_OTHER]),
        (statement("KB-4", 4, reverts("KB-2", 3, "other")), [codes.REVERTS_OTHER]),
        (statement("KB-4", 4, reverts("KB-2", 3, "KB-3")), [codes.REVERTS_OTHER]),
        (statement("KB-4", 4, reverts("KB-3", 2)), [codes.REVERTS_OTHER]),
        (statement("KB-4", 4, reverts("KB-1", 1)), []),
        (statement("KB-4", 4, reverts("KB-3", 3)), []),
    ],
)
def test_standing(given: Statement, wanted: list[Code]) -> None:
    assert found(given) == wanted
    assert check(given, LINE).passed is (not wanted)


def test_an_id_is_not_used_twice() -> None:
    other = statement("KB-3", 4)
    assert [item.code for item in check_line(other, digest("x").hex, LINE, POLICY).findings] == [
        codes.ID_REUSED
    ]


def test_the_bound_of_a_jump_is_the_policys() -> None:
    assert found(statement("KB-9", 1003)) == []
    assert found(statement("KB-9", 5), policy=replace(POLICY, max_sequence_jump=1)) == [codes.FAR_FUTURE]


def test_a_superseded_package_is_refused_whatever_its_sequence() -> None:
    line = AcceptedLine(product="Codec", packages=(accepted("KB-3", 3, None, "KB-1", "KB-7"),))
    assert found(statement("KB-1", 1), line) == [codes.ROLLBACK, codes.SUPERSEDED]
    assert found(statement("KB-7", 7), line) == [codes.SUPERSEDED]


def test_what_was_taken_back_does_not_come_again() -> None:
    assert found(statement("KB-3", 3), BACK) == [codes.ROLLBACK, codes.REPLAY]
    assert check(statement("KB-4", 4, reverts("KB-3", 3)), BACK).passed
    assert found(statement("KB-5", 5), BACK) == []


def test_it_is_taken_back_once() -> None:
    assert found(statement("KB-5", 5, reverts("KB-3", 3)), BACK) == [codes.REVERTED_ALREADY]
    assert found(statement("KB-5", 5, reverts("KB-4", 4)), BACK) == [codes.REVERTS_OTHER]


def test_a_clock_that_was_set_back_does_not_revive_a_package() -> None:
    late = NOON.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found(statement("KB-4", 4, expiry=late)) == [codes.EXPIRED_BEFORE]
    later = (NOON + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found(statement("KB-4", 4, expiry=later)) == []


def test_what_is_in_effect() -> None:
    assert [item.id for item in LINE.in_effect] == ["KB-1", "KB-3"]
    assert [item.id for item in BACK.in_effect] == ["KB-1"]
    line = AcceptedLine(product="Codec", packages=(ONE, accepted("KB-3", 3, None, "KB-1")))
    assert [item.id for item in line.in_effect] == ["KB-3"]


def test_lines_do_not_touch_each_other() -> None:
    lines = AcceptedLines().having("Other", accepted("O-9", 900)).having("Codec", ONE)
    assert lines.of("Codec").packages == (ONE,)
    assert lines.of("None") == AcceptedLine(product="None")
    assert [line.product for line in lines.lines] == ["Codec", "Other"]
    assert check(statement("KB-3", 3), lines.of("Codec")).passed
