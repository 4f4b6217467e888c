"""Exception handlers and their functions are carried together."""

from types import SimpleNamespace

import numpy as np
import pytest

from hpbuild.code.program import load_program
from hpbuild.codes import traps
from hpbuild.match.comparison import compare
from hpbuild.pe.reader import parse_image
from hpbuild.plan import descent
from hpbuild.plan.handlers import Handlers
from hpbuild.plan.model import Plan, Reason, Target
from hpbuild.plan.parts import records
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, against, datum, function
from tests.comparing import NO_SYMBOLS, example, patched, program

PARENT = "number_or_status"


@pytest.fixture(scope="module")
def changed_handler() -> Plan:
    """throwing.dll against itself with another number in one catch block: ``*number = -2``, then -3."""
    baseline = program(example("throwing", "baseline"), "none")
    site = next(
        rva
        for start in sorted(baseline.exceptions.funclets)
        for rva in range(start, start + 60)
        if baseline.image.read(rva, 4) == b"\xfe\xff\xff\xff"
    )
    image = parse_image(patched(baseline.image, {site: b"\xfd"}), "throwing.dll")
    return make_plan(compare(baseline, load_program(image, NO_SYMBOLS)))


def test_a_changed_handler_takes_its_function_along(changed_handler: Plan) -> None:
    assert not changed_handler.refused
    reasons = {function.name: function.reason for function in changed_handler.functions}
    assert reasons.pop(PARENT) is Reason.REFERRER
    assert set(reasons.values()) == {Reason.HANDLER}
    assert len(reasons) == 2, "both catch blocks return into the function, so both go along"


def test_only_the_function_is_redirected(changed_handler: Plan) -> None:
    redirected = {changed_handler.functions[site.function].name for site in changed_handler.redirections}
    assert redirected == {PARENT}
    handlers = [function for function in changed_handler.functions if function.reason is Reason.HANDLER]
    assert all(not function.baseline for function in handlers)


def test_the_new_exception_data_names_the_new_handlers(changed_handler: Plan) -> None:
    carried = {chunk for function in changed_handler.functions for chunk in function.chunks}
    data = [changed_handler.chunks[datum.chunk] for datum in changed_handler.data]
    named = {field.target.chunk for chunk in data for field in chunk.fields}
    handlers = {f.chunks[0] for f in changed_handler.functions if f.reason is Reason.HANDLER}
    assert handlers <= named & carried


@pytest.mark.parametrize("most", [0, 1 << 22])
def test_owners_and_handlers_are_each_others_inverse(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Found for all records together, and for each when it is asked for."""
    from hpbuild.match.sides import prepare

    monkeypatch.setattr(descent, "_MOST", most)
    side = prepare(program(example("throwing", "baseline"), "none"))
    fragments, handlers = side.program.fragments, Handlers(side, records(side))
    rows = [(int(u), int(r)) for u, r in zip(fragments.unwind, fragments.root, strict=True) if u]
    found = {(handler, root) for record, root in rows for handler in handlers.below(record)[0]}
    assert len(found) >= 5
    for handler in {handler for handler, _ in found}:
        assert handlers.owners(handler) == {root for other, root in found if other == handler}


def test_exception_data_of_a_function_without_handlers_leads_nowhere() -> None:
    from hpbuild.match.sides import prepare

    side = prepare(program(example("codec", "baseline"), "none"))
    handlers = Handlers(side, records(side))
    for record in set(side.program.fragments.unwind.tolist()) - {0}:
        assert handlers.below(record) == (frozenset(), frozenset())


def test_a_long_chain_of_pointers_is_followed_without_recursion() -> None:
    """Each of 5,000 atoms points at the next, the last one at a handler: deeper than any call stack."""
    count = 5000
    rows = np.arange(count + 1)
    side = SimpleNamespace(
        atoms=SimpleNamespace(
            start=rows * 8 + 100, first_field=rows + 1, last_field=rows + 2, memory=np.zeros(count + 1)
        ),
        pointers=SimpleNamespace(
            atom=np.append(rows[:count], -1),
            code=np.append(np.full(count, -1), 0),
            offset=np.zeros(count + 1),
        ),
        targets=SimpleNamespace(code=rows[:0], offset=rows[:0]),
        links=SimpleNamespace(rows=rows[:0], first=np.array([0]), last=np.array([0])),
        program=SimpleNamespace(
            references=SimpleNamespace(kind=rows[:0], target=rows[:0], fragment=rows[:0]),
            fields=SimpleNamespace(site=np.append(4, rows[:count] * 8 + 100)),
            exceptions=SimpleNamespace(starts=np.array([2]), sizes=np.array([8]), funclets=frozenset({1})),
            fragments=SimpleNamespace(start=np.array([1]), root=np.array([0]), unwind=np.array([2])),
        ),
    )
    found = Handlers(side, records(side))
    handlers, atoms = found.below(2)
    assert handlers == {0} == found.owners(0)
    assert len(atoms) == count


def test_a_function_whose_unwind_data_alone_changed_is_carried() -> None:
    """One more byte of prolog in the UNWIND_INFO of codec.dll's first function; its code is the same."""
    baseline = program(example("codec", "baseline"), "none")
    start = int(baseline.fragments.start[0])
    record = int(baseline.fragments.unwind[0])
    prolog = baseline.image.read(record + 1, 1)[0]
    image = parse_image(patched(baseline.image, {record + 1: bytes([prolog + 1])}), "codec.dll")
    plan = make_plan(compare(baseline, load_program(image, NO_SYMBOLS)))
    users = {int(baseline.fragments.start[at]) for at in np.flatnonzero(baseline.fragments.unwind == record)}
    assert {int(function.baseline[0].start) for function in plan.functions} == users >= {start}
    assert {function.cause for function in plan.functions} == {"unwind information differs"}
    assert not plan.refused
    assert len(plan.unwind) == len(users)


class TestSplitOffParts:
    """A part that a compiler split off: ``whole`` jumps to ``cold``, which jumps back behind the middle."""

    @staticmethod
    def made(constant: str = "one", cold: bytes = b"\x8b\xd1", split: bool = True) -> Dll:
        part = {"split": ("cold",)} if split else {"unwound": ("whole", "cold")}
        return Dll(
            code=(
                function("whole", ("load", constant), b"\x8b\xc1", ("jump", "cold"), b"\x8b\xd9", RET),
                function("cold", cold, b"\x8b\xf1", ("jump", "whole+13"), exported=False),
                function("reader", ("lea", "one"), RET),
                function("second", ("lea", "two"), RET),
            ),
            constants=(datum("one", b"12345678"), datum("two", b"abcdefgh")),
            **{"unwound": ("whole",), **part},
        )

    def test_it_is_known_by_its_unwind_data(self) -> None:
        made = self.made()
        assert made.program().exceptions.funclets == {made.labels()["cold"]}
        assert self.made(split=False).program().exceptions.funclets == frozenset()

    def test_an_equal_part_goes_along_and_is_not_redirected(self) -> None:
        plan = make_plan(against(self.made(), self.made("two")))
        assert not plan.refused
        assert [function.reason for function in plan.functions] == [Reason.CHANGED, Reason.HANDLER]
        assert [plan.functions[site.function].name for site in plan.redirections] == ["whole"]

    def test_a_changed_part_takes_its_function_along(self) -> None:
        plan = make_plan(against(self.made(), self.made(cold=b"\x8b\xd6")))
        assert not plan.refused
        assert [function.reason for function in plan.functions] == [Reason.REFERRER, Reason.HANDLER]
        assert [plan.functions[site.function].name for site in plan.redirections] == ["whole"]

    def test_the_new_function_and_the_new_part_jump_to_each_other(self) -> None:
        made = self.made("two")
        plan = make_plan(against(self.made(), made))
        whole, cold = (plan.chunks[function.chunks[0]] for function in plan.functions)
        jumps = [field.target for field in whole.fields if field.target.chunk is not None]
        assert Target(plan.functions[1].chunks[0], 0) in jumps
        assert [field.target for field in cold.fields] == [Target(plan.functions[0].chunks[0], 13)]

    def test_fail_without_such_unwind_data_it_is_code_that_stays(self) -> None:
        """An ordinary function that jumps into the middle of a replaced one."""
        plan = make_plan(against(self.made(split=False), self.made("two", split=False)))
        assert traps.INTO_MIDDLE in {finding.code for finding in plan.findings}
        assert plan.refused
