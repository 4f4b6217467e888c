"""Code that ran when the image was loaded: nothing that depends on it is delivered silently."""

from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.errors import Severity
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, Item, against, datum, function

Pair = Callable[..., Any]


def snare(pair: Pair, trap: str) -> Any:
    return pair(f"traps/{trap}", "snare")


def test_fail_a_new_object_with_a_constructor(pair: Pair) -> None:
    """One more entry in the list that the C runtime walks at its start."""
    found = snare(pair, "constructor")
    finding = found.finding(traps.NEW_INITIALISER)
    assert finding.cause.startswith("in a list of initialisers at 0x2")
    assert "snare_level" in found.names()
    assert found.plan.refused


def test_fail_the_object_itself_would_stay_zero(pair: Pair) -> None:
    finding = snare(pair, "constructor").finding(traps.NEVER_INITIALISED)
    assert finding.place == "variable data_3000"
    assert "ran when the image was loaded" in finding.cause


def test_fail_an_old_constructor_function_fills_a_new_object_too(pair: Pair) -> None:
    """The list keeps its length."""
    found = snare(pair, "constructor_grown")
    assert traps.NEW_INITIALISER.id not in found.codes
    assert found.finding(traps.NEVER_INITIALISED)
    assert found.plan.refused


def test_a_new_object_with_a_constant_value_is_carried(pair: Pair) -> None:
    found = snare(pair, "constant_object")
    assert found.names() == {"snare_gauge": "changed"}
    assert [datum.reason.value for datum in found.plan.data] == ["added"]
    assert found.plan.findings == ()


def test_fail_dll_main_fills_a_new_variable(pair: Pair) -> None:
    found = snare(pair, "dllmain_variable")
    assert found.finding(traps.NEVER_INITIALISED)
    assert found.finding(codes.INITIALISER)
    assert found.plan.refused


def test_fail_one_more_thread_local_callback(pair: Pair) -> None:
    found = snare(pair, "thread_callback")
    assert found.finding(traps.NEW_INITIALISER).cause == "a thread-local callback"
    assert found.plan.refused


def test_warn_a_function_that_only_dll_main_calls(pair: Pair) -> None:
    found = snare(pair, "load_only")
    finding = found.finding(traps.RAN_ALREADY)
    assert finding.code.severity is Severity.WARN
    assert list(found.names()) == [finding.place]
    assert found.plan.findings == (finding,)


def test_no_warning_where_an_export_calls_it_too(pair: Pair) -> None:
    found = snare(pair, "load_too")
    assert list(found.names().values()) == ["changed"]
    assert found.plan.findings == ()


def test_the_entry_point_has_a_warning_of_its_own(pair: Pair) -> None:
    found = pair("variants/initialiser", "gadget")
    assert found.finding(codes.INITIALISER).code.severity is Severity.WARN
    assert traps.RAN_ALREADY.id not in found.codes


class TestReadingAndWriting:
    """A new variable that start-up code names: filled by it, or only looked at."""

    @pytest.mark.parametrize(
        ("access", "refused"), [("store", True), ("lea", True), ("load", False), (None, False)]
    )
    def test_what_the_entry_point_does_to_it(self, access: str | None, refused: bool) -> None:
        def made(new: str, how: str | None) -> Dll:
            start: tuple[Item, ...] = (
                function("start", *([(how, new)] if how else [b"\x8b\xc1"]), RET, exported=False),
            )
            user = function("user", ("load", new), RET)
            keeper = function("keeper", ("load", "old"), b"\x03\xc1", RET)
            return Dll(
                code=(*start, user, keeper),
                variables=(datum("old", b"\1\2\3\4\5\6\7\x08"), datum("new", b"\x08\7\6\5\4\3\2\1")),
                entry="start",
            )

        baseline = Dll(
            code=made("old", None).code,
            variables=(datum("old", b"\1\2\3\4\5\6\7\x08"),),
            entry="start",
        )
        plan = make_plan(against(baseline, made("new", access)))
        found = {finding.code for finding in plan.findings}
        assert (traps.NEVER_INITIALISED in found) is refused
        assert plan.refused is refused
