"""Functions that the linker of the baseline folded into one."""

from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.code.model import Program
from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.match.comparison import compare
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, Item, function, symbol

LEFT_SECOND_BRANCH = 12
"""Offset of the operand of gadget_lower_left's `add eax,-1`."""


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_fail_the_fix_splits_one_off(pair: Callable[..., Any], symbols: str) -> None:
    found = pair("variants/folded", "gadget", symbols)
    finding = found.finding(codes.FOLDED_FUNCTION)
    assert (finding.place, finding.cause) == ("gadget_lower_right", "in the baseline at 0x11d0")
    assert traps.EXPORT_MOVED.id not in found.codes, "one finding for one thing"
    assert found.plan.refused


def test_fail_the_fix_changes_both(dll: Callable[[str], Any], planned: Callable[..., Any]) -> None:
    baseline = dll("variants/folded/baseline/gadget.dll").program()
    fixed = dll("variants/folded/fixed/gadget.dll")
    program = fixed.program()
    left = next(index for index, name in program.exported if name == "gadget_lower_left")
    fixed.write(int(program.fragments.start[left]) + LEFT_SECOND_BRANCH, b"\xfe", old=b"\xff")
    found = planned(baseline, fixed.program())
    causes = {
        finding.place: finding.cause
        for finding in found.plan.findings
        if finding.code is codes.FOLDED_FUNCTION
    }
    assert causes == {
        "gadget_lower_left": "0x11d0 is gadget_lower_left, gadget_lower_right",
        "gadget_lower_right": "in the baseline at 0x11d0",
    }


def test_functions_that_stay_folded_may_change(
    dll: Callable[[str], Any], planned: Callable[..., Any]
) -> None:
    """Both names lie at one address on both sides: one redirection serves both."""
    old = dll("variants/folded/baseline/gadget.dll")
    new = dll("variants/folded/baseline/gadget.dll").write(0x11D0 + LEFT_SECOND_BRANCH, b"\xfe", old=b"\xff")
    found = planned(old.program(), new.program())
    assert list(found.names().values()) == ["changed"]
    assert found.plan.findings == ()


def test_separate_functions_of_equal_bytes_are_not_folded(pair: Callable[..., Any]) -> None:
    assert codes.FOLDED_FUNCTION.id not in pair("variants/line_only", "gadget").codes


def test_a_name_that_several_functions_bear_tells_nothing() -> None:
    """Two static functions of one name in the baseline, and a third in the fix: none of them was folded."""

    def body(number: int) -> Item:
        return function(f"init{number}", b"\x8b\xc1" * number, RET, exported=False)

    def made(count: int) -> Program:
        calls = tuple(("call", f"init{number}") for number in range(1, count + 1))
        library = Dll(code=(function("api", *calls, RET), *(body(number) for number in range(1, count + 1))))
        labels = library.labels()
        return library.program(
            symbol("api", labels["api"]),
            *(symbol("init", labels[f"init{number}"], file=f"{number}.c") for number in range(1, count + 1)),
        )

    plan = make_plan(compare(made(2), made(3)))
    assert {function.reason.value for function in plan.functions} == {"changed", "added"}
    assert plan.findings == ()
