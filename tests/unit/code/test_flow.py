"""Loops that nothing leaves, calls that do not return, and what an instruction does to memory."""

from dataclasses import replace

import numpy as np
import pytest

from hpbuild.code.bodies import bodies
from hpbuild.code.decode import RefKind
from hpbuild.code.flow import Loops, final_callees, writes_or_hands_out
from hpbuild.code.model import Program
from tests.assembled import RET, Dll, Part, datum, function
from tests.comparing import example, program


def endless(*parts: Part, others: tuple[tuple[str, tuple[Part, ...]], ...] = ()) -> int:
    """What ``Loops`` says of a function at 0x1000 with the code ``parts``."""
    code = (function("f", *parts), function("die", RET), *(function(name, *body) for name, body in others))
    made = Dll(code=code, variables=(datum("count", b"\1\2\3\4\5\6\7\x08"),)).program()
    loops = Loops(made, final_callees(made))
    at = loops.endless((0,))
    (found,) = bodies(made, [(0,)])
    assert loops.never_ending(found, [(0,)]) == ({} if at < 0 else {0: at})
    return at


WORK = bytes.fromhex("83c001")  # add eax,1


@pytest.mark.parametrize(
    ("code", "at"),
    [
        ("83c001 ebfb", 0x1000),  # one loop
        ("85c0 7401 c3 83c001 ebfb", 0x1005),  # a way out before it
        ("85c9 7405 83c001 ebfb 83c002 ebfb", 0x1004),  # two loops
        ("83c001 75fb ebf9", 0x1000),  # two jumps back
    ],
)
def test_fail_a_loop_that_nothing_leaves(code: str, at: int) -> None:
    assert endless(bytes.fromhex(code)) == at


@pytest.mark.parametrize(
    "code",
    [
        "83c001 75fb c3",  # runs out
        "83c001 7402 ebf9 c3",  # leaves in the middle
        "c3",
        "ebfe",  # a path that cannot happen: nothing is done
        "83c001 eb00 ebfe",  # the same behind other code
        "83c001 0f0b ebf9",  # a trap
        "83c001 7402 ebf9 cc",
        "83c001 ffe0",  # a call through a register as the last thing
    ],
)
def test_whatever_may_end_is_none(code: str) -> None:
    assert endless(bytes.fromhex(code)) == -1


def test_a_jump_to_another_function_leaves() -> None:
    assert endless(WORK, bytes.fromhex("7405"), ("jump", "die"), bytes.fromhex("ebf6")) == -1
    assert endless(WORK, bytes.fromhex("7400"), bytes.fromhex("ebf9")) == 0x1000


class TestCallsThatDoNotReturn:
    BODY: tuple[Part, ...] = (WORK, bytes.fromhex("7505"), ("call", "die"), bytes.fromhex("ebf4"))
    """add; jnz over the call; call die; jump back: the call is the only way out, if it is one."""

    def test_fail_a_call_that_may_return_leads_back(self) -> None:
        body = (WORK, ("call", "die"), bytes.fromhex("ebf6"))
        assert endless(*body) == 0x1000

    def test_one_that_is_the_last_thing_elsewhere_ends_it(self) -> None:
        body = (WORK, ("call", "die"), bytes.fromhex("ebf6"))
        assert endless(*body, others=(("user", (b"\x8b\xc1", ("call", "die"))),)) == -1

    @pytest.mark.parametrize("trap", [b"\x0f\x0b", b"\xcc"])
    def test_one_before_a_trap_ends_it_too(self, trap: bytes) -> None:
        body = (WORK, ("call", "die"), bytes.fromhex("ebf6"))
        others = (
            ("user", (bytes.fromhex("85c07406"), ("call", "die"), trap, b"\x90" * (2 - len(trap)), RET)),
        )
        assert endless(*body, others=others) == -1

    @pytest.mark.parametrize(
        ("name", "at"), [("ExitThread", -1), ("_CxxThrowException", -1), ("Sleep", 0x1000), ("", 0x1000)]
    )
    def test_imports_are_known_by_name(self, name: str, at: int) -> None:
        body = (WORK, ("call through", "slot"), bytes.fromhex("ebf5"))
        library = Dll(code=(function("f", *body),), variables=(datum("slot", b"12345678"),))
        made = library.program()
        made = replace(made, slots={library.labels()["slot"]: f"kernel32.dll!{name}"} if name else {})
        assert Loops(made, final_callees(made)).endless((0,)) == at

    def test_a_call_before_the_next_part_of_the_same_function_returns(self) -> None:
        code = (
            function("f", ("call", "die"), b"\x8b\xc1\x8b\xc1\x8b\xc1\x8b\xc1\x8b\xc1\xc3"),
            function("die", RET),
        )
        made = Dll(code=code, unwound=("f",)).program()
        die = int(made.fragments.start[1])
        assert final_callees(made) == frozenset()
        start, end = made.fragments.start, made.fragments.end
        parts = replace(
            made.fragments,
            start=np.insert(start, 1, 0x1005),
            end=np.insert(end, 0, 0x1005),
            root=np.array([0, 0, 2]),
        )
        references = replace(made.references, fragment=np.zeros_like(made.references.fragment))
        assert final_callees(replace(made, fragments=parts, references=references)) == frozenset()
        apart = replace(parts, root=np.array([0, 1, 2]))
        assert final_callees(replace(made, fragments=apart, references=references)) == {die}


@pytest.mark.parametrize(
    ("targets", "at"), [(("f", "f"), -1), (("f+7", "f+12"), 0x1000), (("f+7", "f+17"), -1)]
)
def test_an_indirect_jump_goes_where_its_table_says(targets: tuple[str, str], at: int) -> None:
    """jmp [rax*8+table]; one; jmp back; two; jmp back; ret. The entry itself is no case."""
    loops = bytes.fromhex("83c001 ebf4 83c002 ebef")
    made = Dll(
        code=(function("f", bytes.fromhex("ff24c500200000"), loops, RET),),
        constants=(datum("table", *(("pointer", target) for target in targets)),),
        unwound=("f",),
    ).program()
    assert Loops(made, frozenset()).endless((0,)) == at


def jump_table(symbols: str) -> tuple[Program, tuple[int, ...]]:
    found = program(example("codec", "baseline"), symbols)
    (index,) = [number for number, name in found.exported if name == "codec_transform"]
    return found, (index,)


def test_the_cases_of_a_switch_are_followed() -> None:
    made, fragments = jump_table("none")
    assert Loops(made, frozenset()).endless(fragments) == -1


def test_no_function_of_the_examples_is_endless_but_the_worker() -> None:
    for pair in ("codec", "throwing", "variants/data_init"):
        made = program(example(pair, "baseline"), "none")
        loops = Loops(made, final_callees(made))
        code = np.flatnonzero(
            ~made.fragments.opaque & (made.fragments.root == np.arange(len(made.fragments)))
        )
        assert [at for at in code.tolist() if loops.endless((at,)) >= 0] == []


@pytest.mark.parametrize(("how", "writes"), [("store", True), ("lea", True), ("load", False)])
def test_what_an_instruction_does_to_memory(how: str, writes: bool) -> None:
    made = Dll(
        code=(function("f", (how, "v"), RET),), variables=(datum("v", b"\1\2\3\4\5\6\7\x08"),)
    ).program()
    (row,) = np.flatnonzero(made.references.kind != RefKind.BRANCH).tolist()
    assert writes_or_hands_out(made, row) is writes
