"""Exception handlers and their functions are carried together."""

from types import SimpleNamespace

import numpy as np
import pytest

from hpbuild.code.program import load_program
from hpbuild.match.comparison import compare
from hpbuild.pe.reader import parse_image
from hpbuild.plan.handlers import Handlers
from hpbuild.plan.model import Plan, Reason
from hpbuild.plan.planner import make_plan
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


def test_owners_and_handlers_are_each_others_inverse() -> None:
    from hpbuild.match.sides import prepare

    side = prepare(program(example("throwing", "baseline"), "none"))
    fragments, handlers = side.program.fragments, Handlers(side)
    records = [(int(u), int(r)) for u, r in zip(fragments.unwind, fragments.root, strict=True) if u]
    found = {(handler, root) for record, root in records for handler in handlers.below(record)[0]}
    assert len(found) >= 5
    for handler in {handler for handler, _ in found}:
        assert handlers.owners(handler) == {root for other, root in found if other == handler}


def test_exception_data_of_a_function_without_handlers_leads_nowhere() -> None:
    from hpbuild.match.sides import prepare

    side = prepare(program(example("codec", "baseline"), "none"))
    handlers = Handlers(side)
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
        program=SimpleNamespace(
            fields=SimpleNamespace(site=np.append(4, rows[:count] * 8 + 100)),
            exceptions=SimpleNamespace(records=((0, 8),), funclets=frozenset({1})),
            fragments=SimpleNamespace(start=np.array([1]), root=np.array([0])),
        ),
    )
    handlers, atoms = Handlers(side).below(0)
    assert handlers == {0}
    assert len(atoms) == count
