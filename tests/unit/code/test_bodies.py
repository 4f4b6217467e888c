"""Whole functions decoded in one go: how they begin, and which of them surely end."""

import random

import numpy as np
import pytest

from hpbuild.code.bodies import HEAD, Bodies, Head, bodies, heads, may_never_end
from hpbuild.code.columns import distinct
from hpbuild.code.decode import instructions
from hpbuild.code.flow import Loops, final_callees
from hpbuild.code.model import FieldForm, Program
from hpbuild.match.functions import groups
from tests.assembled import RET, Dll, Part, datum, function
from tests.comparing import example, program

STEPS = (
    "8bc1", "90", "c3", "cc", "0f0b", "cd29", "ffe0", "ff24c500200000", "f390", "0f05", "ffd0", "6690",
)  # fmt: skip
"""Instructions, with and without a rule of their own."""
JUMPS = ("eb", "74", "e2", "e3", "0f85", "e9", "e8")


def made_by_chance(seed: int) -> Program:
    """Functions of instructions and jumps that lead anywhere near."""
    chance = random.Random(seed)
    items = []
    for number in range(60):
        body = b""
        for _ in range(chance.randrange(1, 9)):
            body += bytes.fromhex(chance.choice(STEPS) if chance.randrange(4) == 0 else "83c001")
            opcode = bytes.fromhex(chance.choice(JUMPS))
            size = 4 if opcode[0] in (0x0F, 0xE9, 0xE8) else 1
            distance = chance.randrange(-len(body) - 8, 8)
            body += (opcode + distance.to_bytes(size, "little", signed=True)) * chance.randrange(2)
        items.append(function(f"f{number}", body, RET if chance.randrange(2) else b"\x8b\xc1"))
    table: list[Part] = [("pointer", f"f{number}+{chance.randrange(1, 9)}") for number in range(0, 60, 3)]
    return Dll(code=tuple(items), constants=(datum("table", *table),), unwound=("f0",)).program()


def every_function(made: Program) -> list[tuple[int, ...]]:
    return list(groups(made).values())


def test_loops_are_those_that_are_found_one_function_at_a_time() -> None:
    count = 0
    for seed in range(10, 22):
        made = made_by_chance(seed)
        functions = every_function(made)
        loops = Loops(made, final_callees(made))
        found: dict[int, int] = {}
        for batch in bodies(made, functions):
            found |= loops.never_ending(batch, functions)
        expected = {number: loops.endless(parts) for number, parts in enumerate(functions)}
        assert found == {number: at for number, at in expected.items() if at >= 0}
        count += len(found)
    assert count >= 5


@pytest.mark.parametrize("pair", ["codec", "throwing", "variants/data_init"])
def test_nearly_all_functions_surely_end(pair: str) -> None:
    made = program(example(pair, "baseline"), "none")
    functions = every_function(made)
    fields = made.fields
    cases = distinct(fields.target[fields.form != FieldForm.END32NB])
    final = np.array(sorted(final_callees(made)), dtype=np.int64)
    (found,) = bodies(made, functions)
    assert len(may_never_end(found, cases, final)) < len(functions) // 10


def by_one(made: Program, root: int) -> Head:
    start, end = int(made.fragments.start[root]), int(made.fragments.end[root])
    insns = instructions(made.image.read(start, end - start), start)
    jumps = [insn for insn in insns if insn.is_jmp_short_or_near or insn.is_jcc_short_or_near]
    inner = {insn.near_branch_target for insn in jumps}
    calls = [insn for insn in insns[:5] if insn.is_call_near or insn.is_call_near_indirect]
    return Head(
        insns[0].len if insns else 0,
        tuple(sorted(target for target in inner if start <= target < start + HEAD)),
        tuple(insn.next_ip for insn in calls),
    )


@pytest.mark.parametrize("seed", range(4))
def test_heads_are_what_the_decoder_says(seed: int) -> None:
    made = made_by_chance(seed)
    functions = every_function(made)
    found = [
        head
        for batch in bodies(made, functions)
        for head in heads(batch, np.array([parts[0] for parts in functions])[batch.functions])
    ]
    assert found == [by_one(made, parts[0]) for parts in functions]
    assert any(head.inner for head in found)
    assert any(head.returns for head in found)


def test_no_function_is_twice_in_a_batch() -> None:
    made = program(example("codec", "baseline"), "none")
    functions = every_function(made)[:3]
    found: list[Bodies] = list(bodies(made, [*functions, functions[1]]))
    assert [batch.functions for batch in found] == [range(3), range(3, 4)]


def test_bytes_that_are_no_instruction_end_a_run() -> None:
    made = Dll(code=(function("f", b"\x8b\xc1", b"\x06", RET),)).program()
    root = int(made.fragments.root[0])
    (found,) = bodies(made, [(root,)])
    assert found.address.tolist() == [0x1000]
    assert heads(found, np.array([root])) == [Head(2)]
