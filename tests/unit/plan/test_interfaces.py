"""Exports and loader flags: what other modules and the loader took when the image was loaded."""

from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.errors import Severity
from hpbuild.match.comparison import compare
from hpbuild.pe.exports import same_names
from hpbuild.plan.interfaces import Interfaces, export_exclusions
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, against, datum, function, symbol
from tests.comparing import example, program

Pair = Callable[..., Any]
ONE, OTHER = bytes.fromhex("8bc1 83c001"), bytes.fromhex("8bc1 83e802")


def test_another_forwarder_is_a_warning(pair: Pair) -> None:
    found = pair("traps/exports", "snare")
    finding = found.finding(codes.EXPORTS_DIFFER)
    assert (finding.place, finding.code.severity) == ("snare_thread", Severity.WARN)
    assert finding.cause == "forwarded to kernel32.GetCurrentThreadId, now to kernel32.GetCurrentProcessId"
    assert not found.plan.refused


def test_other_ordinals_are_one_note_and_declared_one_by_one(pair: Pair) -> None:
    found = pair("traps/exports", "snare")
    finding = found.finding(traps.EXPORT_ORDINALS)
    assert (finding.cause, finding.code.severity) == ("15 exports; ordinal 51 became 52", Severity.NOTE)
    declared = {item.place: item.cause for item in found.plan.exclusions if item.klass == "export"}
    assert declared["snare_numbered"] == "ordinal 50 became 51"
    assert len(declared) == 16


def test_fail_an_export_that_leads_to_another_function(pair: Pair) -> None:
    found = pair("traps/export_moved", "snare")
    finding = found.finding(traps.EXPORT_MOVED)
    assert (finding.place, finding.cause) == ("snare_alias", "the function at 0x1210 stays what it was")
    assert found.plan.refused


def test_fail_two_functions_that_the_fix_makes_equal(pair: Pair) -> None:
    """The linker of the fixed image folds them: only one of the old bodies has a counterpart."""
    found = pair("traps/folded_new", "snare")
    finding = found.finding(traps.FOLDED_IN_FIXED)
    assert (finding.place, finding.cause) == ("snare_outer", "in the baseline at 0x11f0")
    assert found.plan.refused


def folding(one: bytes, two: bytes, fixed: bytes) -> Any:
    """Two exported functions that the fixed image has at one place."""
    tail = (function("last", bytes.fromhex("33c0"), RET),)
    baseline = Dll(code=(function("a", one, RET), function("b", two, RET), *tail))
    together = Dll(code=(function("a", fixed, RET), *tail), aliases={"b": "a"})
    return make_plan(against(baseline, together))


def test_fail_both_were_fixed_alike() -> None:
    plan = folding(ONE, OTHER, bytes.fromhex("8bc1 83f003"))
    assert {finding.code for finding in plan.findings} >= {traps.FOLDED_IN_FIXED}
    assert plan.refused


def test_fail_equal_functions_were_both_fixed() -> None:
    plan = folding(ONE, ONE, OTHER)
    assert traps.FOLDED_IN_FIXED in {finding.code for finding in plan.findings}
    assert plan.refused


def test_fail_equal_functions_were_both_fixed_and_symbols_pair_one() -> None:
    """``a`` is redirected; the old body of ``b`` is as it was."""
    tail = function("last", bytes.fromhex("33c0"), RET)
    baseline = Dll(code=(function("a", ONE, RET), function("b", ONE, RET), tail))
    together = Dll(code=(function("a", OTHER, RET), tail), aliases={"b": "a"})
    sides = [made.program(symbol("inner", made.labels()["a"])) for made in (baseline, together)]
    plan = make_plan(compare(*sides))
    assert [function.reason.value for function in plan.functions] == ["changed"]
    (finding,) = [item for item in plan.findings if item.code is traps.FOLDED_IN_FIXED]
    assert finding.place == "b"


def test_fail_functions_of_one_form_that_use_different_variables() -> None:
    """The fix lets both use the same one."""

    def made(*names: str) -> Dll:
        return Dll(
            code=(
                function("a", ("load", names[0]), RET),
                *(function("b", ("load", name), RET) for name in names[1:]),
                function("keep", ("lea", "one"), ("lea rcx", "two"), RET),
            ),
            variables=(datum("one", b"12345678"), datum("two", b"abcdefgh")),
            aliases={} if len(names) > 1 else {"b": "a"},
        )

    plan = make_plan(against(made("one", "two"), made("one")))
    assert traps.FOLDED_IN_FIXED in {finding.code for finding in plan.findings}
    assert plan.refused


def test_functions_that_were_equal_all_along_may_be_folded() -> None:
    """The other old body does the same."""
    plan = folding(ONE, ONE, ONE)
    assert traps.FOLDED_IN_FIXED not in {finding.code for finding in plan.findings}
    assert not plan.refused


def test_flags_for_the_loader_are_a_warning_and_declared(pair: Pair) -> None:
    found = pair("traps/mitigations", "snare")
    finding = found.finding(traps.LOADER_FLAGS)
    assert (finding.place, finding.cause) == ("dll_characteristics", "0x160 became 0x4140")
    assert finding.code.severity is Severity.WARN
    declared = [(item.klass, item.place) for item in found.plan.exclusions]
    assert ("metadata", "dll_characteristics") in declared
    assert not found.plan.refused


def test_guard_flags_count_too(dll: Callable[[str], Any], planned: Callable[..., Any]) -> None:
    """throwing.dll with another bit in the guard flags of its load configuration."""
    sides = [dll("baseline/throwing.dll") for _ in range(2)]
    at = sides[0].program().image.directories[10].start + 0x90
    flags = sides[0].program().image.u32(at)
    sides[1].write(at, (flags ^ 0x10000).to_bytes(4, "little"))
    found = planned(*(side.program() for side in sides))
    finding = found.finding(traps.LOADER_FLAGS)
    assert (finding.place, finding.cause) == ("guard flags", f"{flags:#x} became {flags ^ 0x10000:#x}")


@pytest.mark.parametrize("variant", ["line_only", "removed"])
def test_equal_interfaces_need_no_word(pair: Pair, variant: str) -> None:
    found = pair(f"variants/{variant}", "gadget")
    unwanted = {traps.EXPORT_MOVED, traps.EXPORT_ORDINALS, traps.LOADER_FLAGS, traps.FOLDED_IN_FIXED}
    assert not unwanted & {finding.code for finding in found.plan.findings}


def test_fail_a_new_delay_loaded_import(pair: Pair) -> None:
    found = pair("traps/delayed", "snare")
    assert found.finding(codes.NEW_IMPORT).cause == "imports kernel32.dll!GetProcessHeap"
    assert ("import", "kernel32.dll!GetProcessHeap") in [
        (item.klass, item.place) for item in found.plan.exclusions
    ]
    assert found.plan.refused


def test_a_new_function_whose_address_is_taken_is_carried(pair: Pair) -> None:
    """Indirect calls of it are allowed by the patch image's own records."""
    found = pair("traps/taken", "snare")
    assert sorted(found.names().values()) == ["added", "changed"]
    assert not found.plan.refused


def test_a_delay_loaded_import_of_the_baseline_is_used(
    dll: Callable[[str], Any], planned: Callable[..., Any]
) -> None:
    """snare_who asks another register; it calls through the baseline's slots."""
    name = "traps/delayed/baseline/snare.dll"
    program = dll(name).program()
    (who,) = [index for index, text in program.exported if text == "snare_who"]
    start, end = int(program.fragments.start[who]), int(program.fragments.end[who])
    at = start + program.image.read(start, end - start).index(b"\x85\xc9")
    found = planned(program, dll(name).write(at, b"\x85\xd2").program())
    assert list(found.names().values()) == ["changed"]
    assert found.plan.findings == ()
    slots = {rva for rva, text in program.slots.items() if text.startswith("kernel32.dll!GetCurrent")}
    assert len(slots) == 2
    used = {use.range.start for use in found.plan.uses if not use.constant}
    assert slots <= used


def test_the_same_names_are_seen_at_once(dll: Callable[[str], Any]) -> None:
    images = [dll(f"{side}/codec.dll").program().image for side in ("baseline", "fixed")]
    assert same_names(*images)
    assert export_exclusions(*images) == []
    table = images[0].directories[0].start
    base = images[0].u32(table + 16)
    other = dll("baseline/codec.dll").write(table + 16, (base + 1).to_bytes(4, "little")).program().image
    assert not same_names(other, images[0])
    assert len(export_exclusions(other, images[0])) == images[0].u32(table + 24)


@pytest.mark.parametrize("pair", ["variants/new_import", "variants/new_export", "traps/mitigations"])
def test_the_other_way_round_what_was_added_is_removed(pair: str) -> None:
    name = "snare" if pair.startswith("traps") else "gadget"
    folder = example("variants/identical", "fixed").parents[3] / pair
    sides = [program(folder / side / f"{name}.dll", "none") for side in ("fixed", "baseline")]
    there, back = Interfaces.of(*sides), Interfaces.of(*reversed(sides))
    assert there.every()
    assert not Interfaces.of(sides[0], sides[0]).every()
    turn = {"added in the fixed image": "removed in the fixed image"}
    turn |= {after: before for before, after in turn.items()}
    for kind in ("exports", "imports"):
        ours, theirs = ({(row.place, row.cause) for row in getattr(found, kind)} for found in (there, back))
        assert {place for place, _ in ours} == {place for place, _ in theirs}
        turned = {(place, turn[cause]) for place, cause in theirs if cause in turn}
        assert {row for row in ours if row[1] in turn} == turned
    assert {row.place for row in there.flags} == {row.place for row in back.flags}
    assert {row.klass for row in there.every()} <= {"export", "import", "metadata", "resource"}
