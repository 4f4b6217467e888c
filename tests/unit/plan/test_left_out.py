"""What a list of functions leaves out, and how far carried code is from it."""

from hpbuild.codes import plan as codes
from hpbuild.match.comparison import Comparison
from hpbuild.match.lookup import find
from hpbuild.plan.listing import limit
from hpbuild.plan.model import Plan
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, Part, against, datum, function

NO_PROLOG = bytes.fromhex("01000000")
"""UNWIND_INFO of a function that needs nothing to be undone: it is one, wherever others lead into it."""
BODIES = {"main": b"\x8b\xc1", "plain": b"\x8b\xd1", "first": b"\x8b\xd9", "second": b"\x8b\xe9"}


def dll(text: bytes, **more: tuple[Part, ...]) -> Dll:
    """``main`` and ``second`` hold ``text``; ``first`` takes the address of a constant with it."""
    parts: dict[str, tuple[Part, ...]] = {
        "main": (("call", "plain"), b"\x05" + text),
        "plain": (("call", "first"),),
        "first": (("lea", "constant"), b"\x90" * 4, ("call", "second")),
        "second": (b"\x05" + text,),
        **more,
    }
    code = (function(name, BODIES.get(name, b"\x8b\xf1"), *made, RET) for name, made in parts.items())
    return Dll(
        code=tuple(code),
        constants=(datum("constant", text + b"\0\0\0\0"),),
        records={"first": (NO_PROLOG,), "inner": (NO_PROLOG,)} if "inner" in parts else {},
    )


def only(comparison: Comparison, name: str) -> Plan:
    return make_plan(comparison, limit(comparison, {name: find(comparison, name)}))


def told(plan: Plan) -> str:
    (finding,) = [finding for finding in plan.findings if finding.code is codes.LEFT_OUT]
    return finding.cause


def test_what_is_left_out_is_not_looked_behind() -> None:
    """It stays as it is in the baseline, and so does whatever it leads to."""
    plan = only(against(dll(b"1234"), dll(b"5678")), "main")
    assert [item.name for item in plan.functions] == ["main"]
    assert {item.place for item in plan.left_out if item.what == "function"} == {"first", "second"}
    assert "reaches 1 of the functions through unchanged ones, as first" in told(plan)


def test_only_who_leads_into_the_middle_is_left_out_too() -> None:
    more: dict[str, tuple[Part, ...]] = {
        "caller": (("call", "first"),),
        "inner": (b"\x90", ("lea", "first+9"), b"\x90"),
        "behind": (b"\x90\x90", ("lea", "inner+3"), b"\x90\x90"),
    }
    plan = only(against(dll(b"1234", **more), dll(b"5678", **more)), "main")
    changes = {item.place: item.change for item in plan.left_out if item.what == "function"}
    assert changes == {"first": "changed", "second": "changed", "inner": "same", "behind": "same"}


def test_fail_a_carried_function_leads_there() -> None:
    inner: tuple[Part, ...] = (b"\x90", ("lea", "first+9"), b"\x90")
    old, new = (
        dll(text, main=(("call", "inner"), b"\x05" + text), inner=inner) for text in (b"1234", b"5678")
    )
    plan = only(against(old, new), "main")
    causes = [finding.cause for finding in plan.findings if finding.code is codes.NOT_CLOSED]
    assert any("leads into the middle of what is left out" in cause for cause in causes)
