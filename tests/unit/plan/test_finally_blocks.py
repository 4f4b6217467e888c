"""A `__finally` block that is called as a function stays with the body that it was made for."""

from pathlib import Path

import pytest

from hpbuild.code.program import load_program
from hpbuild.match.comparison import Comparison, compare
from hpbuild.pe.reader import read_image
from hpbuild.pe.symbols import load_symbols
from hpbuild.plan.finally_blocks import finally_blocks
from hpbuild.plan.handlers import Handlers
from hpbuild.plan.model import Plan, Reason
from hpbuild.plan.parts import records
from hpbuild.plan.planner import make_plan

BLOCK, FUNCTION = "?fin$0@0@guarded@@", "guarded"


@pytest.fixture(scope="module")
def comparison(binaries: Path) -> Comparison:
    paths = (binaries / "scenes" / side / "stage.dll" for side in ("baseline", "fixed"))
    images = ((read_image(path), path) for path in paths)
    return compare(*(load_program(image, load_symbols(image, path, "auto")) for image, path in images))


@pytest.fixture(scope="module")
def plan(comparison: Comparison) -> Plan:
    return make_plan(comparison)


def test_the_block_is_carried_without_a_redirection(plan: Plan) -> None:
    redirected = {plan.functions[site.function].name for site in plan.redirections}
    reasons = {function.name: function.reason for function in plan.functions}
    assert reasons[BLOCK] is Reason.HANDLER
    assert reasons[FUNCTION] is Reason.REFERRER
    assert FUNCTION in redirected
    assert BLOCK not in redirected


def test_what_a_function_calls_without_a_handler_is_redirected(plan: Plan) -> None:
    redirected = {plan.functions[site.function].name for site in plan.redirections}
    assert {"quotient", "passes", "thrown_out"} <= redirected


@pytest.mark.parametrize("carried", [(BLOCK,), (BLOCK, FUNCTION)])
def test_only_when_its_function_is_carried_too(comparison: Comparison, carried: tuple[str, ...]) -> None:
    """A function that stays is the same in both images, and so is its frame."""
    side = comparison.fixed
    names = {side.program.name_of(fact.root): fact.root for fact in comparison.functions}
    functions = {names[name]: Reason.CHANGED for name in carried}
    found = finally_blocks(comparison, functions, Handlers(side, records(side)))
    assert found == ({names[BLOCK]} if FUNCTION in carried else set())
