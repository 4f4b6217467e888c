"""Functions that never return keep their old body."""

from collections.abc import Callable
from typing import Any

from hpbuild.codes import traps
from hpbuild.errors import Severity

Pair = Callable[..., Any]


def test_fail_a_thread_that_never_ends_is_a_warning(pair: Pair) -> None:
    found = pair("traps/endless", "snare")
    assert found.names() == {"snare_worker": "changed"}
    finding = found.finding(traps.ENDLESS)
    assert (finding.place, finding.code.severity) == ("snare_worker", Severity.WARN)
    (function,) = found.plan.functions
    assert int(finding.cause.rsplit(" ", 1)[1], 16) in function.baseline[0]
    assert not found.plan.refused


def test_a_loop_with_a_way_out_is_none(pair: Pair) -> None:
    found = pair("traps/ending", "snare")
    assert found.names() == {"snare_helper": "changed"}
    assert found.plan.findings == ()


def test_the_old_body_counts_not_the_new_one(dll: Callable[[str], Any], planned: Callable[..., Any]) -> None:
    """The fix gives the loop a way out, which does not help a thread that is inside."""
    name = "traps/endless/baseline/snare.dll"
    program = dll(name).program()
    start = next(int(program.fragments.start[at]) for at, text in program.exported if text == "snare_worker")
    ended = dll(name).write(start, b"\x33\xc0\xc3").program()
    assert traps.ENDLESS.id in planned(program, ended).codes
    assert traps.ENDLESS.id not in planned(ended, program).codes
