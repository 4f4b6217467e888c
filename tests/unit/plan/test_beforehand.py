"""What is found out of two images while it is decided what a plan carries."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hpbuild.codes import traps
from hpbuild.plan import endless
from hpbuild.plan.aside import Begun, at_hand
from hpbuild.plan.beforehand import Told, beforehand
from hpbuild.plan.endless import surely_old, takes_long
from hpbuild.plan.planner import decide
from hpbuild.plan.selection import select
from tests.assembled import RET, Dll, against, function

Pair = Callable[..., Any]


def test_it_comes_back_from_another_process_as_it_was(pair: Pair) -> None:
    comparison = pair("traps/constructor", "snare").comparison
    facts = comparison.facts
    old = facts.partner[~facts.identical & (facts.partner >= 0)]
    assert len(old) > 1
    told = Told(old[:1], select(comparison).chosen)
    found = beforehand(comparison, old[1:], lambda: told, early=True)
    assert found.seen.heads.keys() == set(old.tolist())
    assert traps.NEW_INITIALISER in {finding.code for finding in found.findings}
    assert pickle.loads(pickle.dumps(told.chosen)) == told.chosen
    assert pickle.loads(pickle.dumps(found)) == found


def test_it_does_not_matter_what_was_begun_early(pair: Pair) -> None:
    comparison = pair("traps/constructor", "snare").comparison
    facts = comparison.facts
    old = facts.partner[~facts.identical & (facts.partner >= 0)]
    chosen = select(comparison).chosen
    early = beforehand(comparison, old, lambda: Told(old[:0], chosen), early=True)
    assert early == beforehand(comparison, old[:0], lambda: Told(old, chosen))


@contextmanager
def sent(work: Callable[[Callable[[], Any]], Any]) -> Iterator[Begun[Any, Any]]:
    told: list[bytes] = []
    yield (
        lambda value: told.append(pickle.dumps(value)),
        lambda: pickle.loads(pickle.dumps(work(lambda: pickle.loads(told.pop())))),
    )


@pytest.mark.parametrize("much", [1 << 20, 1 << 22])
def test_a_decision_is_the_same_when_it_was_found_out_meanwhile(
    monkeypatch: pytest.MonkeyPatch, much: int
) -> None:
    """So much old code is replaced that it is begun early; some of it never ends."""

    def dll(number: int) -> Dll:
        changed = b"\x05" + bytes([number, 0, 0, 0])  # add eax, number
        large = function("large", changed, b"\x90" * (1 << 21), RET)
        loops = function("loops", b"\x8b\xc1", changed, ("call", "large"), b"\xeb\xf4")  # jmp to the add
        return Dll(code=(large, loops))

    monkeypatch.setattr(endless, "_MUCH", much)
    comparison = against(dll(1), dll(2))
    assert len(surely_old(comparison)) == 2
    assert takes_long(comparison, surely_old(comparison)) is (much < 1 << 21)
    plain, found = decide(comparison), decide(comparison, aside=sent)
    assert traps.ENDLESS in {item.code for item in found.findings}
    assert found.redirections
    assert (found.findings, found.redirections) == (plain.findings, plain.redirections)


@pytest.mark.parametrize("much", [0, 1 << 20])
def test_what_the_loader_runs_is_found_out_here_or_there(
    monkeypatch: pytest.MonkeyPatch, pair: Pair, much: int
) -> None:
    """Where there is much to decode meanwhile, it is found out in the process that decides."""
    monkeypatch.setattr(endless, "_WORTH", 0)
    monkeypatch.setattr(endless, "_MUCH", much)
    comparison = pair("traps/constructor", "snare").comparison
    assert takes_long(comparison, surely_old(comparison)) is (not much)
    plain, found = decide(comparison), decide(comparison, aside=sent)
    assert traps.NEW_INITIALISER in {item.code for item in found.findings}
    assert found.findings == plain.findings


def test_nothing_is_begun_where_nothing_is_replaced() -> None:
    dll = Dll(code=(function("same", b"\x90" * (1 << 21), RET),))
    comparison = against(dll, dll)
    given: list[object] = []

    @contextmanager
    def aside(work: Callable[[Callable[[], Any]], Any]) -> Iterator[Begun[Any, Any]]:
        given.append(work)
        with at_hand(work) as begun:
            yield begun

    assert not decide(comparison, aside=aside).carries
    assert not given
