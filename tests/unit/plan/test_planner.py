"""The plan as a whole: its parts fit together, and the same input gives the same plan."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.plan.model import Reason, RedirectionKind
from hpbuild.plan.planner import decide, make_plan
from hpbuild.values import Interval

GADGET = "variants/data_init/baseline/gadget.dll"
PAIRS = [
    (".", "codec"),
    (".", "throwing"),
    *(
        (f"variants/{name}", "gadget")
        for name in ("constant_table", "line_only", "pad_jump", "removed", "static_var")
    ),
]

Dlls = Callable[[str], Any]
Plans = Callable[..., Any]


@pytest.fixture(params=[(*names, symbols) for names in PAIRS for symbols in ("auto", "none")], ids=str)
def found(request: pytest.FixtureRequest, pair: Plans) -> Any:
    return pair(*request.param)


def test_functions_and_chunks_are_in_step(found: Any) -> None:
    plan = found.plan
    assert plan.functions
    assert not plan.refused
    for function in plan.functions:
        assert tuple(plan.chunks[number].source for number in function.chunks) == function.fixed
        assert function.cause
        assert (function.level == "") == (function.baseline == ())
        assert (function.baseline == ()) == (function.reason in (Reason.ADDED, Reason.HANDLER))
    for datum in plan.data:
        chunk = plan.chunks[datum.chunk]
        assert (chunk.source, chunk.kind, chunk.name) == (datum.fixed, datum.kind, datum.name)
        assert (datum.baseline is None) == (datum.reason is Reason.ADDED)


def test_every_function_with_a_counterpart_is_redirected_once(found: Any) -> None:
    plan, image = found.plan, found.comparison.baseline.program.image
    entries = {site.function: site.entry for site in plan.redirections}
    assert len(entries) == len(plan.redirections)
    assert entries == {
        number: function.baseline[0].start
        for number, function in enumerate(plan.functions)
        if function.baseline
    }
    for site in plan.redirections:
        assert site.old == image.read(site.window.start, len(site.window))


def test_windows_lie_apart_and_in_their_function_or_in_filler(found: Any) -> None:
    program = found.comparison.baseline.program
    padding = [Interval(start, end) for start, end in program.padding.tolist()]
    windows = sorted(site.window for site in found.plan.redirections)
    assert all(one.end <= other.start for one, other in pairwise(windows))
    for site in found.plan.redirections:
        own = found.plan.functions[site.function].baseline
        for address in range(site.window.start, site.window.end):
            assert any(address in run for run in (*own, *padding))


def test_uses_are_distinct_and_ascending(found: Any) -> None:
    uses = [(use.range, use.constant) for use in found.plan.uses]
    assert uses == sorted(set(uses))
    assert all(len(run) for run, _ in uses)


def test_the_same_comparison_gives_the_same_plan(found: Any) -> None:
    assert make_plan(found.comparison) == found.plan


def test_what_is_decided_is_what_the_plan_says(found: Any) -> None:
    decision, plan = decide(found.comparison), found.plan
    assert (decision.findings, decision.exclusions) == (plan.findings, plan.exclusions)
    assert (decision.refused, decision.only) == (plan.refused, plan.only)
    assert decision.carries == bool(plan.functions)
    assert decision.unwind_records == plan.unwind_records


def test_causes_say_what_differs(pair: Plans) -> None:
    found = pair(".", "codec", "auto")
    causes = {function.name: function.cause for function in found.plan.functions}
    assert causes["tail_status"] == "no counterpart in the baseline"
    assert causes["runlength_decode"].startswith("code differs, first at 0x1f")
    levels = {function.name: function.level for function in found.plan.functions}
    assert levels["runlength_decode"] == "symbol"
    assert levels["tail_status"] == ""


def test_handlers_go_with_their_function_and_are_not_redirected(pair: Plans) -> None:
    plan = pair(".", "throwing", "auto").plan
    handlers = {number for number, function in enumerate(plan.functions) if function.reason is Reason.HANDLER}
    assert handlers
    assert not handlers & {site.function for site in plan.redirections}


def test_warn_a_pair_by_similarity_alone(dll: Dlls, planned: Plans) -> None:
    """Without exports nothing names gadget_weigh, and it lies elsewhere."""
    reordered = dll("variants/identical/fixed/gadget.dll")
    program = reordered.program()
    (weigh,) = [number for number, name in program.exported if name == "gadget_weigh"]
    reordered.write(int(program.fragments.start[weigh]) + 0x62, b"\x90\x90\x90")
    found = planned(dll(GADGET).drop_directory(0).program(), reordered.drop_directory(0).program())
    finding = found.finding(codes.WEAK_PAIR)
    assert finding.cause == "paired by similarity"
    assert [function.level for function in found.plan.functions] == ["similarity"]


def test_no_warning_where_a_name_made_the_pair(dll: Dlls, planned: Plans) -> None:
    reordered = dll("variants/identical/fixed/gadget.dll")
    program = reordered.program()
    (weigh,) = [number for number, name in program.exported if name == "gadget_weigh"]
    reordered.write(int(program.fragments.start[weigh]) + 0x62, b"\x90\x90\x90")
    found = planned(dll(GADGET).program(), reordered.program())
    assert found.plan.findings == ()
    assert [function.level for function in found.plan.functions] == ["export"]


def test_functions_that_are_gone_are_noted(pair: Plans) -> None:
    """Its only caller does not call it any more."""
    found = pair("variants/removed", "gadget")
    finding = found.finding(codes.REMOVED_FUNCTIONS)
    assert (finding.place, finding.cause) == ("sub_1150", "1 functions")
    assert found.names() == {"gadget_measure": "changed"}
    assert codes.REMOVED_FUNCTIONS.id not in pair("variants/static_var", "gadget").codes


def test_fail_branch_into_the_window(dll: Dlls, planned: Plans) -> None:
    """A branch inside gadget_weigh goes behind its first instruction; there is no filler to spare."""
    sides = []
    for side in ("baseline", "fixed"):
        made = dll(f"variants/constant_table/{side}/gadget.dll")
        sides.append(made.write(0x107C, b"\x75\xa3", old=b"\x75\xd2").program())  # to 0x1021
    found = planned(*sides)
    assert found.finding(traps.ENTRY_BRANCH).place == "gadget_weigh"
    assert found.plan.redirections == ()
    assert found.plan.refused


def test_fail_loop_at_entry(dll: Dlls, planned: Plans) -> None:
    sides = []
    for side in ("baseline", "fixed"):
        made = dll(f"variants/constant_table/{side}/gadget.dll")
        sides.append(made.write(0x107C, b"\x75\xa2", old=b"\x75\xd2").program())  # to 0x1020
    assert planned(*sides).finding(codes.LOOP_AT_ENTRY).place == "gadget_weigh"


def test_fail_two_functions_need_the_same_filler(dll: Dlls, planned: Plans) -> None:
    """Three bytes, six of filler, and an entry behind them: an entry jump and a pad jump overlap by one."""
    tiny, entry = 0x1040, 0x1049
    functions = {0x103F: "c3", tiny: "33c0c3", entry: "8bc105ffff0000c3", 0x1200: "c3"}

    def made(**changes: str) -> Any:
        library = (
            dll("variants/pad_jump/baseline/gadget.dll").drop_directory(3).write(0x1000, b"\xcc" * 0x266)
        )
        for rva, code in functions.items():
            library.write(rva, bytes.fromhex(changes.get(f"at_{rva:x}", code)))
        return library.move_exports([0x103F, tiny, entry, 0x1200]).program()

    one = planned(made(), made(at_1040="31c9c3"))
    other = planned(made(), made(at_1049="8bc105eeff0000c3"))
    assert [site.kind for site in one.plan.redirections] == [RedirectionKind.ENTRY_JUMP]
    assert [site.kind for site in other.plan.redirections] == [RedirectionKind.PAD_JUMP]
    assert not one.plan.refused
    assert not other.plan.refused
    both = planned(made(), made(at_1040="31c9c3", at_1049="8bc105eeff0000c3"))
    assert "needed for another function" in both.finding(codes.NO_ROOM).cause


def test_a_plan_is_refused_by_one_refusing_finding(pair: Plans) -> None:
    plan = pair("variants/new_export", "gadget").plan
    assert plan.findings
    assert not plan.refused
    refused = pair("variants/data_init", "gadget").plan
    assert refused.refused
    assert not replace(refused, findings=plan.findings).refused
