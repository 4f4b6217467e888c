"""Virtual tables of classes with virtual bases: what lies in front of them comes along, or is refused."""

import struct

import numpy as np
import pytest

from hpbuild.codes import traps
from hpbuild.dataclass import replace
from hpbuild.match.vtables import table_heads
from hpbuild.plan.model import Plan, Reason
from hpbuild.plan.planner import make_plan
from hpbuild.plan.selection import select
from hpbuild.plan.virtual_tables import torn_tables
from tests.assembled import RET, Dll, Item, Part, against, datum, function


def word(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def typed(name: str, *bases: tuple[str, int]) -> tuple[Item, ...]:
    """Type information: without bases, or with bases and the flags of each (1: virtual)."""
    rest: tuple[Part, ...] = (struct.pack("<II", 0, len(bases)),) if bases else ()
    for base, flags in bases:
        rest = (*rest, ("pointer", f"type {base}"), word(flags))
    return (
        datum(f"name {name}", f"{len(name)}{name}\0".encode().ljust(8, b"\0")),
        datum(f"type {name}", ("pointer", "kinds+16"), ("pointer", f"name {name}"), *rest),
    )


KINDS = datum("kinds", word(0, 0), ("pointer", "other"))
BASES = (KINDS, *typed("Base"))
BODY = function("other", b"\x31\xc0" + RET)
OLD = (function("f", b"\x31\xd2", RET), BODY)
NEW = (function("f", ("lea", "table+24"), RET), BODY)


def table(*front: Part, name: str = "table") -> Item:
    return datum(name, *front, word(0), ("pointer", "type New"), ("pointer", "other"))


def planned(*items: Item, flags: int = 1, text: Item | None = None) -> Plan:
    """The plan for a function that takes the address of a new class's table; ``items`` hold that."""
    new = typed("New", ("Base", flags))
    before = (text,) if text else ()
    return make_plan(
        against(
            Dll(code=OLD, constants=BASES),
            Dll(code=NEW, constants=(*BASES, *before, *new, *items)),
        )
    )


def torn(plan: Plan) -> list[str]:
    return [finding.cause for finding in plan.findings if finding.code is traps.TORN_TABLE]


def content(plan: Plan, label: str) -> list[bytes]:
    return [chunk.content for chunk in plan.chunks if chunk.name == label]


@pytest.mark.parametrize(("flags", "size"), [(0, 16), (1, 24), (3, 24)])
def test_offsets_of_virtual_bases_come_along(flags: int, size: int) -> None:
    plan = planned(table(word(40)), flags=flags)
    (found,) = [item for item in plan.data if len(item.fixed) == size + 8]
    assert found.fixed.end == max(item.fixed.end for item in plan.data)
    assert torn(plan) == []


def test_zeros_in_front_may_be_offsets() -> None:
    """They come along too, though nobody can tell them from filler."""
    plan = planned(table(word(0)))
    assert any(len(item.fixed) == 32 for item in plan.data)
    assert torn(plan) == []


def test_tables_of_one_class_stay_together() -> None:
    second: tuple[Part, ...] = (word(0, -16, -16), ("pointer", "type New"), ("pointer", "other"))
    made = datum("table", word(16, 0), ("pointer", "type New"), ("pointer", "other"), *second)
    plan = planned(made)
    assert any(len(item.fixed) == 32 + 40 for item in plan.data)
    assert torn(plan) == []


def test_a_table_of_nothing_but_offsets() -> None:
    made = datum("table", word(40, 0), ("pointer", "type New"))
    more = datum("behind", word(7))
    plan = planned(made, more)
    assert any(len(item.fixed) == 24 + 8 for item in plan.data)


def test_unknown_bases_may_be_virtual() -> None:
    """One that another module describes; those of the library's exceptions are known."""
    for name, long in (("_ZTI5Other", True), ("_ZTISt13runtime_error", False)):
        info = datum(
            "type New", ("pointer", "kinds+16"), ("pointer", "name New"), ("pointer", f"import {name}")
        )
        label = datum("name New", b"3New\0\0\0\0")
        dll = Dll(code=NEW, constants=(*BASES, label, info, table(word(40))), imports=(name,))
        start, end, zeros = table_heads(dll.program())
        assert (end - start).tolist() == [24 if long else 16]
        assert len(zeros) == 0


def test_fail_carried_numbers_touch_the_offsets() -> None:
    numbers = datum("numbers", word(1 << 40, 5))
    user = function("f", ("lea", "table+24"), ("lea rcx", "numbers"), RET)
    new = (*BASES, *typed("New", ("Base", 1)), numbers, table(word(40)))
    plan = make_plan(against(Dll(code=OLD, constants=BASES), Dll(code=(user, BODY), constants=new)))
    assert "may reach" in torn(plan)[0]
    assert plan.refused


@pytest.mark.parametrize("offset", [40, 48])
def test_an_offset_that_differs_changes_the_table(offset: int) -> None:
    """Whoever names the table takes the new one."""
    sides = [
        Dll(code=NEW, constants=(*BASES, *typed("New", ("Base", 1)), table(word(size))))
        for size in (40, offset)
    ]
    plan = make_plan(against(*sides))
    assert bool(plan.functions) is (offset != 40)
    assert any(len(item.fixed) == 32 for item in plan.data) is (offset != 40)


def test_filler_in_front_is_no_difference() -> None:
    """A text before the table that grows moves it; zeros between the two come and go."""
    sides = []
    for text in (b"\xf0\xf1\xf2 one\0", b"\xf0\xf1\xf2 three words\0"):
        user = function("g", ("lea", "text"), RET)
        constants = (*BASES, *typed("New", ("Base", 1)), datum("text", text), table(word(40)))
        sides.append(Dll(code=(*NEW, user), constants=constants))
    plan = make_plan(against(*sides))
    assert [item.name for item in plan.functions] == ["g"]


@pytest.mark.parametrize(
    ("front", "label", "offset", "cause"),
    [(40, "table", 24, "the words from"), (0, "numbers", 0, "may reach")],
)
def test_fail_other_ways_to_tear_a_table_apart(front: int, label: str, offset: int, cause: str) -> None:
    """A table without the words in front of it, and data that may reach into zeros in front of them."""
    numbers = datum("numbers", word(5, 1 << 40))
    user = function("f", ("lea", "table+24"), ("lea rcx", "numbers"), RET)
    constants = (*BASES, *typed("New", ("Base", 1)), numbers, table(word(front)))
    made = Dll(code=(user, BODY), constants=constants)
    comparison = against(Dll(code=OLD, constants=BASES), made)
    atom = comparison.fixed.atoms.one(made.labels()[label] + offset)
    column = np.array([atom])
    alone = replace(select(comparison), objects={atom: ((atom,), Reason.ADDED)}, first=column, last=column)
    (finding,) = torn_tables(comparison, alone)
    assert cause in finding.cause
