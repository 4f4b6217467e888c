"""What a package does not deliver is declared, and what that forbids is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.codes import plan as codes
from hpbuild.errors import Severity

Pair = Callable[..., Any]


def declared(found: Any) -> list[tuple[str, str]]:
    return [(item.klass, item.place) for item in found.plan.exclusions]


def test_a_new_export_is_declared(pair: Pair) -> None:
    found = pair("variants/new_export", "gadget")
    finding = found.finding(codes.EXPORTS_DIFFER)
    assert (finding.place, finding.cause) == ("gadget_budget", "added in the fixed image")
    assert ("export", "gadget_budget") in declared(found)
    assert not found.plan.refused


def test_a_removed_export_is_declared(dll: Callable[[str], Any], planned: Callable[..., Any]) -> None:
    sides = [dll(f"variants/new_export/{side}/gadget.dll").program() for side in ("fixed", "baseline")]
    found = planned(*sides)
    assert found.finding(codes.EXPORTS_DIFFER).cause == "removed in the fixed image"
    assert ("export", "gadget_budget") in declared(found)


def test_new_code_that_nothing_uses_is_declared(pair: Pair) -> None:
    found = pair("variants/new_export", "gadget")
    assert "2 runs" in found.finding(codes.UNUSED_ADDITIONS).cause
    program = found.comparison.fixed.program
    (start,) = [place for klass, place in declared(found) if klass == "unreferenced-function"]
    assert program.name_of(program.fragment_at(int(start, 16))) == "gadget_budget"


def test_a_new_import_is_declared(pair: Pair) -> None:
    assert ("import", "kernel32.dll!GetCurrentProcessId") in declared(pair("variants/new_import", "gadget"))


def test_a_removed_import_is_declared(dll: Callable[[str], Any], planned: Callable[..., Any]) -> None:
    sides = [dll(f"variants/new_import/{side}/gadget.dll").program() for side in ("fixed", "baseline")]
    rows = [item for item in planned(*sides).plan.exclusions if item.klass == "import"]
    assert [item.cause for item in rows] == ["removed in the fixed image"]


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_other_resources_are_declared(pair: Pair, symbols: str) -> None:
    found = pair(".", "codec", symbols)
    assert found.finding(codes.RESOURCES_DIFFER).code.severity is Severity.NOTE
    assert declared(found) == [("resource", ".rsrc")]


def test_a_changed_entry_point_is_a_warning(pair: Pair) -> None:
    found = pair("variants/initialiser", "gadget")
    assert found.finding(codes.INITIALISER).code.severity is Severity.WARN
    assert [function.reason.value for function in found.plan.functions] == ["changed"]
    assert not found.plan.refused


def test_fail_thread_local_layout(pair: Pair) -> None:
    found = pair("variants/tls", "gadget")
    assert found.finding(codes.THREAD_LOCAL).place == "gadget_enter"
    assert found.plan.refused


def test_thread_local_data_of_the_same_layout_is_used(
    dll: Callable[[str], Any], planned: Callable[..., Any]
) -> None:
    """gadget_enter adds another number; the template is the same."""
    name = "variants/data_init/baseline/gadget.dll"
    fixed = dll(name).write(0x10C7, bytes.fromhex("83820400000002"), old=bytes.fromhex("83820400000001"))
    found = planned(dll(name).program(), fixed.program())
    assert found.names() == {"gadget_enter": "changed"}
    assert found.plan.findings == ()


@pytest.mark.parametrize("variant", ["identical", "rebased"])
def test_another_order_or_base_excludes_nothing(pair: Pair, variant: str) -> None:
    plan = pair(f"variants/{variant}", "gadget").plan
    assert (plan.exclusions, plan.findings, plan.functions) == ((), (), ())
