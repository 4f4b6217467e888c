"""Carried data that a runtime looks up by the module that holds it."""

import struct

import pytest

from hpbuild.codes import traps
from hpbuild.errors import Finding
from hpbuild.plan.model import FieldKind, Plan
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, Item, Part, against, datum, function

NONE = struct.pack("<I", 0)
CALL = "call through", "import _CxxThrowException"
RISE = bytes.fromhex("b963736de0")  # mov ecx, 0xE06D7363


def thrown(name: str) -> tuple[Item, ...]:
    """All that describes a thrown object of one type, but for the type."""
    displacements = struct.pack("<iiii", 0, -1, 0, 8)
    return (
        datum(f"throw {name}", NONE, NONE, NONE, ("rva", f"types {name}")),
        datum(f"types {name}", struct.pack("<I", 1), ("rva", f"kind {name}")),
        datum(f"kind {name}", struct.pack("<I", 1), ("rva", f"type {name}"), displacements, NONE),
    )


def described(name: str) -> Item:
    return datum(f"type {name}", ("pointer", "table"), bytes(8), f".?AV{name}@@\0".encode(), exported=True)


TABLE = datum("table", ("pointer", "other"), exported=True)
OTHER = function("other", b"\x31\xc0" + RET)
THROW = function("thrower", bytes.fromhex("4883ec28"), ("lea rdx", "throw Old"), CALL)
IMPORTS = ("_CxxThrowException", "RaiseException")


def planned(
    old: tuple[Part, ...], new: tuple[Part, ...], more: tuple[Item, ...] = (), **others: object
) -> Plan:
    """The plan for two bodies of ``f``; ``more`` are constants of the fixed image alone."""
    sides = []
    for body, extra, variables in ((old, (), ()), (new, more, others.get("variables", ()))):
        code = (function("f", *body), OTHER, THROW, *others.get("code", ()))  # type: ignore[misc]
        constants = (TABLE, *thrown("Old"), *extra)
        data = (described("Old"), described("New"), *variables)  # type: ignore[misc]
        sides.append(Dll(code=code, constants=constants, variables=data, imports=IMPORTS))
    return make_plan(against(*sides))


def lost(plan: Plan) -> list[Finding]:
    found = [finding for finding in plan.findings if finding.code is traps.FOUND_BY_MODULE]
    assert not found or plan.refused
    return found


@pytest.mark.parametrize("how", ["lea", "lea rdx", "lea r8"])
def test_fail_a_new_type_is_thrown(how: str) -> None:
    """However the code comes by the description: exception_ptr takes it too."""
    calm, wild = (b"\x31\xd2", RET), ((how, "throw New"), CALL)
    (finding,) = lost(planned(calm, wild, thrown("New")))
    assert "ThrowInfo" in finding.cause


def test_fail_a_description_behind_other_words_of_its_object() -> None:
    table = (datum("all", ("pointer", "throw New"), ("pointer", "table"), b"number 1"), *thrown("New"))
    assert lost(planned((b"\x31\xd2", RET), (("lea", "all"), RET), table))


def test_a_type_that_the_baseline_throws_already() -> None:
    calm, wild = (b"\x31\xd2", RET), (("lea rdx", "throw Old"), ("call", "thrower"), b"\x31\xc9", RET)
    for old, new in ((calm, wild), (wild, (b"\x31\xc9", *wild))):
        plan = planned(old, new)
        assert [item.name for item in plan.functions] == ["f"]
        assert lost(plan) == []


def test_words_that_only_look_like_a_description() -> None:
    plain = (datum("throw New", NONE, NONE, NONE, ("rva", "types New")), datum("types New", b"\1\0\0\0" * 2))
    assert lost(planned((b"\x31\xd2", RET), (("lea rdx", "throw New"), RET), plain)) == []


FILLED = datum("filled", bytes(15) + b"\1")
"""A description that is filled before it is thrown, as Rust's runtime does."""
RAISER = function("raiser", RISE, ("call through", "import RaiseException"), RET, exported=False)
THUNK = function("thunk", ("jump slot", "import _CxxThrowException"))


@pytest.mark.parametrize(
    ("throws", "refused"),
    [
        (CALL, True),
        (("call", "thunk"), True),
        (("call", "raiser"), True),
        (("call", "other"), False),
        (("call through", "import RaiseException"), False),  # another status: not a C++ exception
    ],
)
@pytest.mark.parametrize("how", ["lea rdx", "lea rcx"])
def test_fail_a_new_variable_is_thrown(throws: Part, refused: bool, how: str) -> None:
    calm, wild = (b"\x31\xd2", RET), ((how, "filled"), throws, RET)
    code = (RAISER, THUNK, function("user", ("call", "raiser"), RET))
    found = lost(planned(calm, wild, code=code, variables=(FILLED,)))
    assert bool(found) is (refused and how == "lea rdx")
    assert all("f throws" in finding.cause for finding in found)


def locator(signature: int) -> tuple[Item, ...]:
    """A virtual table with its locator in front, a hierarchy of one class."""
    head = struct.pack("<III", signature, 0, 0)
    return (
        datum("locator", head, ("rva", "type New"), ("rva", "hierarchy"), ("rva", "locator")),
        datum("hierarchy", struct.pack("<III", 0, 0, 1), ("rva", "bases")),
        datum("bases", ("rva", "base"), NONE),
        datum("base", ("rva", "type New"), bytes(20), ("rva", "hierarchy")),
        datum("virtual", ("pointer", "locator"), ("pointer", "other")),
    )


@pytest.mark.parametrize("signature", [0, 1])
def test_fail_a_new_class_of_an_old_compiler(signature: int) -> None:
    """With signature 1 the locator says where it is."""
    body = (("lea", "virtual+8"), RET)
    plan = planned((b"\x31\xd2", RET), body, locator(signature))
    assert [finding.cause.split(" at ")[0] for finding in lost(plan)] == ["the locator"] * (signature == 0)
    assert any(item.fixed.start >= 0x2000 for item in plan.data)
    own = [
        field.offset - field.target.offset
        for number, chunk in enumerate(plan.chunks)
        for field in chunk.fields
        if field.kind is FieldKind.ADDR32NB and field.target.chunk == number
    ]
    assert (20 in own) is (signature == 1), "the distance from the base to itself goes with the locator"
