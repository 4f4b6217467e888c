"""What is found out of two images while it is decided what a plan carries."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hpbuild.codes import traps
from hpbuild.plan.beforehand import beforehand
from hpbuild.plan.endless import surely_old
from hpbuild.plan.planner import decide
from tests.assembled import RET, Dll, against, function

Pair = Callable[..., Any]


def test_it_comes_back_from_another_process_as_it_was(pair: Pair) -> None:
    comparison = pair("traps/constructor", "snare").comparison
    facts = comparison.facts
    found = beforehand(comparison, facts.partner[~facts.identical & (facts.partner >= 0)])
    assert found.seen.heads
    assert found.lists
    assert pickle.loads(pickle.dumps(found)) == found


@contextmanager
def sent(work: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
    result = pickle.dumps(work())
    yield lambda: pickle.loads(result)


def test_a_decision_is_the_same_when_it_was_found_out_meanwhile() -> None:
    """So much old code is replaced that it is begun early; some of it never ends."""

    def dll(number: int) -> Dll:
        changed = b"\x05" + bytes([number, 0, 0, 0])  # add eax, number
        large = function("large", changed, b"\x90" * (1 << 20), RET)
        loops = function("loops", b"\x8b\xc1", changed, ("call", "large"), b"\xeb\xf4")  # jmp to the add
        return Dll(code=(large, loops))

    comparison = against(dll(1), dll(2))
    assert len(surely_old(comparison)) == 2
    plain, found = decide(comparison), decide(comparison, aside=sent)
    assert traps.ENDLESS in {item.code for item in found.findings}
    assert found.redirections
    assert (found.findings, found.redirections) == (plain.findings, plain.redirections)


def test_nothing_is_begun_where_nothing_is_replaced() -> None:
    dll = Dll(code=(function("same", b"\x90" * (1 << 20), RET),))
    comparison = against(dll, dll)
    given: list[object] = []

    @contextmanager
    def aside(work: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
        given.append(work)
        yield work

    assert not decide(comparison, aside=aside).carries
    assert not given
