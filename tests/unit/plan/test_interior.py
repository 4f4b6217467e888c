"""Ways into the middle of a replaced function, from code that stays."""

import pytest

from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.errors import Code
from hpbuild.plan.model import Plan
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, Part, against, datum, function

NOPS = bytes.fromhex("8bc1 8bd1 8bd9 8bc1 8bd1")  # five moves: ten bytes
SHARED = bytes.fromhex("83c001 83c002 c3")  # the tail: add eax,1; add eax,2; ret


def planned(*bodies: tuple[Part, ...]) -> Plan:
    """The plan for two bodies of ``shared``, which ``other`` jumps into behind its tenth byte."""
    sides = []
    for body in bodies:
        items = (function("shared", *body), function("other", b"\x8b\xca", ("jump", "shared+10")))
        sides.append(Dll(code=(*items, function("last", RET)), constants=(datum("one", b"12345678"),)))
    return make_plan(against(*sides))


def refusals(plan: Plan) -> set[Code]:
    return {finding.code for finding in plan.findings if plan.refused}


def test_fail_control_runs_on_into_a_tail_that_others_jump_to() -> None:
    """Without unwind data the tail is a function of its own: the two are one piece of code."""
    plan = planned((NOPS, SHARED), (NOPS[:8] + b"\x8b\xc2", SHARED))
    assert codes.RUNS_ON in refusals(plan)


def test_a_change_in_the_tail_alone_reaches_both() -> None:
    """The tail is redirected where it begins, so whoever comes by gets the new one."""
    plan = planned((NOPS, SHARED), (NOPS, bytes.fromhex("83c001 83c003 c3")))
    assert not plan.refused
    assert [site.entry for site in plan.redirections] == [0x100A]


@pytest.fixture(scope="module")
def sides() -> tuple[Dll, Dll]:
    """``shared`` reads another constant; unwind data keeps it whole, ``other`` jumps into its middle."""

    def made(constant: str) -> Dll:
        return Dll(
            code=(
                function("shared", ("load", constant), b"\x8b\xc1\x8b\xc1", SHARED),
                function("other", b"\x8b\xca", ("jump", "shared+10")),
                function("reader", ("lea", "one"), RET),
                function("second", ("lea", "two"), RET),
            ),
            constants=(datum("one", b"12345678"), datum("two", b"abcdefgh")),
            unwound=("shared", "other"),
        )

    return made("one"), made("two")


class TestWithUnwindData:
    """A function that unwind data keeps in one piece: its middle is no entry."""

    def test_fail_code_that_stays_enters_the_old_body(self, sides: tuple[Dll, Dll]) -> None:
        plan = make_plan(against(*sides))
        assert [function.name for function in plan.functions] == ["shared"]
        (finding,) = [item for item in plan.findings if item.code is traps.INTO_MIDDLE]
        assert (finding.place, finding.cause) == ("shared", "other leads to 0x100a in it")
        assert plan.refused

    def test_a_call_of_the_entry_is_no_way_into_the_middle(self, sides: tuple[Dll, Dll]) -> None:
        plans = []
        for side in sides:
            other = function("other", b"\x8b\xca", ("jump", "shared"))
            plans.append(
                Dll(
                    code=(side.code[0], other, *side.code[2:]),
                    constants=side.constants,
                    unwound=side.unwound,
                )
            )
        plan = make_plan(against(*plans))
        assert [function.name for function in plan.functions] == ["shared"]
        assert not plan.refused

    def test_code_that_changed_with_it_is_taken_along(self, sides: tuple[Dll, Dll]) -> None:
        """The tail changes its length: whoever jumps into it changed too, and goes to the new one."""
        shorter = Dll(
            code=(
                function("shared", ("load", "two"), b"\x8b\xc1", SHARED),
                function("other", b"\x8b\xca", ("jump", "shared+8")),
                *sides[0].code[2:],
            ),
            constants=sides[0].constants,
            unwound=sides[0].unwound,
        )
        plan = make_plan(against(sides[0], shorter))
        assert {function.name for function in plan.functions} == {"shared", "other"}
        assert not plan.refused
