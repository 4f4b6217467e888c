"""Functions that never return keep their old body."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from hpbuild.codes import traps
from hpbuild.errors import Severity
from hpbuild.plan.aside import Begun, at_hand
from hpbuild.plan.endless import Seen, look, old_code, others_replaced
from hpbuild.plan.planner import decide
from hpbuild.plan.selection import select
from tests.assembled import RET, Dll, Item, against, function

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


def looping(number: int, *more: Item) -> Dll:
    """``loops`` calls ``quit`` for ever; ``number`` is in it."""
    body = b"\x05" + number.to_bytes(4, "little")  # add eax, number
    return Dll(
        code=(
            function("loops", body, ("call", "quit"), b"\xeb\xf4"),  # jmp to the add
            function("quit", b"\x8b\xc1", RET, exported=False),
            *more,
        )
    )


def test_a_call_that_does_not_return_leads_out() -> None:
    """What calls do not return is asked only where something seems to go round for ever."""
    ends = function("ends", b"\x8b\xd1", ("call", "quit"))  # nothing is behind it
    for more, found in (((), {traps.ENDLESS}), ((ends,), set())):
        findings = decide(against(looping(1, *more), looping(2, *more))).findings
        assert {item.code for item in findings if item.code is traps.ENDLESS} == found


@pytest.mark.parametrize("trap", ["traps/endless", "traps/ending"])
def test_what_was_seen_before_is_not_looked_at_again(pair: Pair, trap: str) -> None:
    comparison = pair(trap, "snare").comparison
    selection = select(comparison)
    everything = others_replaced(selection, np.zeros(0, dtype=np.int64))
    assert len(everything)
    whole = look(comparison, everything)
    assert list(whole.heads) == everything.tolist()
    for count in range(len(everything) + 1):
        others = others_replaced(selection, everything[:count])
        assert others.tolist() == everything[count:].tolist()
        assert look(comparison, others).joined(look(comparison, everything[:count])) == whole


def test_old_code_is_what_was_seen_of_the_redirected_functions(pair: Pair) -> None:
    selection = select(pair("traps/endless", "snare").comparison)
    partners = {selection.facts[root].partner for root in selection.functions} - {-1}
    lies = Seen(dict.fromkeys((*partners, 1 << 21), "seen"), dict.fromkeys(partners, 7))  # type: ignore[arg-type]
    told = old_code(selection, lies)
    assert told.heads.keys() == told.endless.keys() <= selection.functions.keys()
    assert (set(told.heads.values()), set(told.endless.values())) == ({"seen"}, {7})


@pytest.mark.parametrize(("size", "begun"), [(1 << 10, False), (1 << 21, True)])
def test_the_old_code_of_a_large_image_is_looked_at_meanwhile(size: int, begun: bool) -> None:
    def dll(number: int) -> Dll:
        return Dll(code=(function("large", b"\x05" + bytes([number, 0, 0, 0]), b"\x90" * size, RET),))

    given: list[object] = []

    @contextmanager
    def aside(work: Callable[[Callable[[], Any]], Any]) -> Iterator[Begun[Any, Any]]:
        given.append(work)
        with at_hand(work) as begun:
            yield begun

    comparison = against(dll(1), dll(2))
    assert decide(comparison, aside=aside).findings == decide(comparison).findings
    assert len(given) == begun
