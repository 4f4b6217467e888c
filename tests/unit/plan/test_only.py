"""Packages of chosen functions: what is carried, what is refused, what is left out."""

from collections.abc import Callable
from typing import Any

import iced_x86
import pytest

from hpbuild.code.decode import instructions
from hpbuild.code.model import Program
from hpbuild.codes import plan as codes
from hpbuild.errors import Finding, Severity
from hpbuild.match.comparison import Comparison, compare
from hpbuild.match.lookup import find
from hpbuild.plan.listing import limit
from hpbuild.plan.model import LeftOut, Plan
from hpbuild.plan.objects import users
from hpbuild.plan.planner import make_plan
from tests.comparing import compared, example, mutant, patched, program

CHANGED = {"base64_decode", "codec_status_text", "runlength_decode", "codec_transform"}


def only(comparison: Comparison, *names: str) -> Plan:
    return make_plan(comparison, limit(comparison, {name: find(comparison, name) for name in names}))


def carried(plan: Plan) -> dict[str, str]:
    return {function.name: function.reason.value for function in plan.functions}


def refusals(plan: Plan) -> list[Finding]:
    return [finding for finding in plan.findings if finding.code.severity is Severity.REFUSE]


def left_out(plan: Plan) -> dict[str, LeftOut]:
    return {item.place: item for item in plan.left_out}


@pytest.fixture(scope="module")
def codec() -> Comparison:
    return compared("codec", "auto")


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_one_changed_function_and_what_it_needs(codec: Comparison, name: str) -> None:
    plan = only(codec, name)
    assert refusals(plan) == []
    assert plan.only == (name,)
    added = {"tail_status": "added"} if name == "base64_decode" else {}
    assert carried(plan) == {name: "changed", **added}
    assert len(plan.redirections) == 1
    assert {place for place in left_out(plan) if place in CHANGED} == CHANGED - {name}
    (told,) = [finding for finding in plan.findings if finding.code is codes.LEFT_OUT]
    functions = 3 + (name != "base64_decode")
    data = len(left_out(plan)) - functions
    assert told.cause.startswith(f"{functions} functions and {data} data stay as they are in the baseline")


def test_all_changed_functions_are_the_whole_package(codec: Comparison) -> None:
    whole, listed = make_plan(codec), only(codec, *CHANGED)
    assert refusals(listed) == []
    assert left_out(listed) == {}
    assert listed.functions == whole.functions
    assert listed.data == whole.data
    assert listed.chunks == whole.chunks


def test_parts_that_are_left_out_are_declared_with_both_places(codec: Comparison) -> None:
    items = left_out(only(codec, "codec_status_text"))
    fact = {codec.fixed.program.name_of(f.root): f for f in codec.functions}["runlength_decode"]
    item = items["runlength_decode"]
    assert item.fixed[0].start == int(codec.fixed.program.fragments.start[fact.root])
    assert item.baseline[0].start == int(codec.baseline.program.fragments.start[fact.partner])
    assert items["tail_status"].baseline == ()
    assert items["operands"].fixed
    whole = make_plan(codec)
    assert left_out(whole) == {}
    assert {datum.fixed for datum in whole.data} - {
        datum.fixed for datum in only(codec, "codec_status_text").data
    }


def test_names_lists_and_addresses_give_one_plan(codec: Comparison) -> None:
    plan = only(codec, "codec_status_text")
    start = plan.functions[0].fixed[0].start
    old = plan.functions[0].baseline[0].start
    assert only(codec, f"{start:#x}") == plan
    assert only(codec, f"baseline:{old:#x}", "codec_status_text") == plan


def idle(plan: Plan) -> Finding:
    (finding,) = refusals(plan)
    assert finding.code is codes.NOTHING_SELECTED
    return finding


def test_an_identical_function_has_nothing_to_deliver(codec: Comparison) -> None:
    finding = idle(only(codec, "codec_status_text", "codec_find"))
    assert finding.place == "codec_find"
    assert "same in both images" in finding.cause


def test_a_new_function_alone_has_nothing_to_deliver(codec: Comparison) -> None:
    assert "no listed function uses it" in idle(only(codec, "tail_status")).cause
    assert refusals(only(codec, "base64_decode", "tail_status")) == []


def test_a_removed_function_has_nothing_to_deliver() -> None:
    removed = compared("variants/removed", "none")
    gone = set(removed.baseline_functions) - {fact.partner for fact in removed.functions}
    start = int(removed.baseline.program.fragments.start[gone.pop()])
    assert "gone in the fixed image" in idle(only(removed, f"baseline:{start:#x}")).cause


def test_a_function_without_a_change_of_its_own_brings_its_changed_constant() -> None:
    weigh = compared("variants/constant_table", "auto")
    plan = only(weigh, "gadget_weigh")
    assert refusals(plan) == []
    assert carried(plan) == {"gadget_weigh": "referrer"}
    assert [datum.name for datum in plan.data] == ["weights"]


def test_a_changed_variable_does_not_matter_to_others() -> None:
    """The initialiser refuses the whole, but not a function that does not use the variable."""
    original = program(example("codec", "baseline"), "auto")
    status, registry = _both_changed(original)
    assert codes.CHANGED_INITIALISER in {finding.code for finding in make_plan(registry).findings}
    plan = only(registry, status)
    assert refusals(plan) == []
    assert carried(plan) == {status: "changed"}
    variables = [item for item in left_out(plan).values() if " data at " in item.cause]
    assert len(variables) == 1
    assert variables[0].baseline


def _both_changed(original: Program) -> tuple[str, Comparison]:
    """A pair with one changed function and one changed initialiser of a variable that it does not use."""
    image = original.image
    names = {name: int(original.fragments.start[index]) for index, name in original.names.items()}
    at = names["codec_status_text"]
    code = image.read(at, 48)
    change = {at + code.index(b"\x83\xf9\xfd") + 2: b"\xfa"}
    section = next(s for s in image.sections if s.writable and s.raw_size)
    variable = next(
        int(symbol.rva)
        for symbol in original.symbols.items
        if symbol.kind.value == "data" and section.rva <= symbol.rva < section.rva + section.raw_size
    )
    relocated = {int(site) for site in original.fields.site}
    byte = next(rva for rva in range(variable, section.rva + section.raw_size) if not _in(relocated, rva))
    change[byte] = bytes([image.read(byte, 1)[0] ^ 1])
    return "codec_status_text", compare(original, mutant(original, patched(image, change)))


def _in(sites: set[int], rva: int) -> bool:
    return any(rva - 8 < site <= rva for site in sites)


@pytest.fixture(scope="module")
def coupled() -> Comparison:
    """codec_encode, codec_decode and codec_find, which both call, are changed: one byte in each."""
    original = program(example("codec", "baseline"), "auto")
    return compare(original, mutant(original, patched(original.image, _touched(original, *COUPLED))))


COUPLED = ("codec_encode", "codec_decode", "codec_find")


def _touched(original: Program, *functions: str) -> dict[int, bytes]:
    """Another immediate byte in each function: the code stays decodable."""
    changes = {}
    for index, name in original.names.items():
        if name in functions:
            start, end = int(original.fragments.start[index]), int(original.fragments.end[index])
            last = next(
                insn.next_ip - 1
                for insn in instructions(original.image.read(start, end - start), start)
                if iced_x86.OpKind.IMMEDIATE8 <= insn.op1_kind <= iced_x86.OpKind.IMMEDIATE8TO64
                and insn.op_count == 2
            )
            changes[last] = bytes([original.image.read(last, 1)[0] ^ 8])
    assert len(changes) == len(functions)
    return changes


def test_a_changed_callee_must_be_listed(coupled: Comparison) -> None:
    plan = only(coupled, "codec_encode")
    (finding,) = refusals(plan)
    assert finding.code is codes.NOT_CLOSED
    assert finding.place == "codec_find"
    assert "codec_encode calls it at" in finding.cause
    assert refusals(only(coupled, "codec_encode", "codec_find")) == []


def test_a_caller_of_a_listed_function_need_not_be(coupled: Comparison) -> None:
    plan = only(coupled, "codec_find")
    assert refusals(plan) == []
    assert {"codec_encode", "codec_decode"} <= left_out(plan).keys()


def test_all_that_the_list_lacks_is_named_at_once(coupled: Comparison) -> None:
    plan = only(coupled, "codec_encode", "codec_decode")
    assert [finding.place for finding in refusals(plan)] == ["codec_find"]


def test_a_changed_constant_wants_all_who_refer_to_it() -> None:
    """Two functions share a constant that changed; one of them alone would split it."""
    shared = _shared_constant()
    names = sorted(name for name, reason in carried(make_plan(shared)).items() if reason != "added")
    assert len(names) > 1
    plan = only(shared, names[0])
    missing = {finding.place for finding in refusals(plan) if finding.code is codes.NOT_CLOSED}
    assert missing == set(names[1:])
    assert all("whose new content is carried" in finding.cause for finding in refusals(plan))
    assert refusals(only(shared, *names)) == []


def _shared_constant() -> Comparison:
    """codec with another byte in a named table that several functions read."""
    original = program(example("codec", "baseline"), "auto")
    base = compared("codec", "auto").baseline
    who = users(base)
    atom = next(
        atom
        for atom, name in sorted(base.atoms.names.items())
        if len(who.functions.get(atom, ())) > 1
        and base.atoms.memory[atom] == 0
        and not base.program.image.sections[int(base.atoms.section[atom])].executable
        and base.atoms.first_field[atom] == base.atoms.last_field[atom]
    )
    rva = int(base.atoms.start[atom])
    change = {rva: bytes([original.image.read(rva, 1)[0] ^ 1])}
    return compare(original, mutant(original, patched(original.image, change)))


def test_a_handler_wants_its_functions(pair: Callable[..., Any]) -> None:
    """A handler that is carried serves its functions: all of them are needed."""
    whole = pair(".", "throwing", "auto")
    comparison = whole.comparison
    owners = {f.name: f.reason.value for f in whole.plan.functions}
    handlers = [name for name, reason in owners.items() if reason == "handler"]
    assert handlers
    plan = only(comparison, handlers[0])
    assert {finding.code for finding in refusals(plan)} <= {codes.NOT_CLOSED, codes.NOTHING_SELECTED}
    assert plan.refused
    listed = [name for name, reason in owners.items() if reason in ("changed", "referrer")]
    assert refusals(only(comparison, *listed)) == []


def test_what_leads_into_the_middle_stays_with_it() -> None:
    """Jump tables of a function that is left out are left out with it, also when they did not change."""
    plan = only(compared("codec", "none"), "0x1150")
    transform = left_out(plan)["codec_transform"]
    inside = [
        item
        for item in left_out(plan).values()
        if item is not transform and "data at" not in item.place and "rodata" in item.cause
    ]
    assert inside


def test_what_is_reached_through_unchanged_code_is_told(coupled: Comparison) -> None:
    """The list is closed, but a carried function calls an unchanged one that calls a changed one."""
    original = program(example("throwing", "baseline"), "auto")
    changes = _touched(original, "sum", "digit")
    through = compare(original, mutant(original, patched(original.image, changes)))
    (told,) = [finding for finding in only(through, "sum").findings if finding.code is codes.LEFT_OUT]
    assert "reaches 1 of the functions through unchanged ones, as digit" in told.cause
    (told,) = [finding for finding in only(coupled, "codec_find").findings if finding.code is codes.LEFT_OUT]
    assert "through unchanged ones" not in told.cause
