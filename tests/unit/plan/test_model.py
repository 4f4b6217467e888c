"""The plan's verdict follows from the severities of its findings."""

import pytest

from hpbuild.codes import plan as codes
from hpbuild.errors import Finding, Severity
from hpbuild.plan.model import Plan


@pytest.mark.parametrize("code", codes.ROWS, ids=lambda code: code.id)
def test_a_refusing_finding_refuses(code: codes.Code) -> None:
    nothing = dict.fromkeys(("chunks", "functions", "data", "unwind", "redirections", "exclusions"), ())
    plan = Plan(findings=(Finding(code, "x", "y"),), **nothing)
    assert plan.refused == (code.severity is Severity.REFUSE)
    note = Finding(codes.REMOVED_FUNCTIONS, "x", "y")
    assert Plan(findings=(note, *plan.findings, note), **nothing).refused == plan.refused


def test_no_finding_refuses_nothing() -> None:
    nothing = dict.fromkeys(("chunks", "functions", "data", "unwind", "redirections", "exclusions"), ())
    assert not Plan(findings=(), **nothing).refused
