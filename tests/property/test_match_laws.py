"""Laws of comparing two images, over the committed binaries and copies of them with a byte changed."""

import os
import subprocess
import sys
from functools import cache

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from iced_x86 import Decoder, FlowControl, Instruction

from hpbuild.code.decode import instructions
from hpbuild.code.model import Program
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import compare
from hpbuild.match.facts import describe
from hpbuild.match.functions import groups
from hpbuild.match.model import Change, Difference
from hpbuild.match.sides import Side, prepare
from hpbuild.values import Interval
from tests.comparing import (
    PAIRS,
    Fact,
    assert_complete,
    assert_same,
    changed,
    compared,
    difference,
    example,
    facts,
    flipped,
    names,
    own_tables,
    patched,
    program,
    referrers,
    restamped,
    sites,
)

SETTINGS = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
SWAPPED = {Change.ADDED: Change.REMOVED, Change.REMOVED: Change.ADDED}


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("side", ["baseline", "fixed"])
@pytest.mark.parametrize("pair", PAIRS)
def test_nothing_differs_from_itself(pair: str, side: str, symbols: str) -> None:
    one = program(example(pair, side), symbols)
    assert_same(describe(compare(one, one)))


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("pair", PAIRS)
def test_time_stamp_and_checksum_are_no_change(pair: str, symbols: str) -> None:
    original = program(example(pair, "fixed"), symbols)
    copy = restamped(original.image.data.whole())
    assert copy != original.image.data.whole()
    assert_same(facts(original, copy))


def function_facts(found: Difference, *, swap: bool = False) -> set[Fact]:
    if swap:
        return {
            (SWAPPED.get(item.change, item.change), item.fixed, item.baseline) for item in found.functions
        }
    return {(item.change, item.baseline, item.fixed) for item in found.functions}


def data_facts(found: Difference, *, swap: bool = False) -> set[tuple[Change, str, object, object]]:
    if swap:
        return {(SWAPPED.get(i.change, i.change), i.kind, i.fixed, i.baseline) for i in found.data}
    return {(item.change, item.kind, item.baseline, item.fixed) for item in found.data}


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("pair", PAIRS)
def test_comparing_backwards_swaps_added_and_removed(pair: str, symbols: str) -> None:
    there = difference(pair, symbols)
    both = compared(pair, symbols)
    back = describe(compare(both.fixed.program, both.baseline.program))
    assert function_facts(there) == function_facts(back, swap=True)
    assert data_facts(there) == data_facts(back, swap=True)
    assert there.summary.identical == back.summary.identical
    assert_complete(back)


@cache
def plain_instructions(pair: str, side: str) -> tuple[tuple[str, Instruction], ...]:
    """(function, instruction) of all instructions that neither branch nor return."""
    analysed = program(example(pair, side), "none")
    table = analysed.fragments
    found = []
    for root, members in groups(analysed).items():
        for member in members:
            start, end = int(table.start[member]), int(table.end[member])
            for insn in instructions(analysed.image.read(start, end - start), start):
                if insn.flow_control == FlowControl.NEXT:
                    found.append((analysed.name_of(root), insn))
    return tuple(found)


@cache
def reference_bytes(pair: str, side: str) -> frozenset[int]:
    return frozenset(sites(program(example(pair, side), "none")))


def decodes_alike(code: bytes, old: Instruction) -> bool:
    """True when ``code`` is one instruction of the same length that refers to no address and does not branch
    either: another kind would give the function other references, or other ends."""
    new = Decoder(64, code, ip=old.ip).decode()
    return (
        new.code != 0
        and new.len == len(code)
        and new.flow_control == FlowControl.NEXT
        and new.is_ip_rel_memory_operand == old.is_ip_rel_memory_operand
    )


def changed_instruction(pair: str, choice: st.DataObject) -> tuple[Program, str, int, Difference]:
    """(original, function, RVA of the instruction, facts) after one bit of one instruction changed."""
    side = choice.draw(st.sampled_from(["baseline", "fixed"]), label="side")
    original = program(example(pair, side), "none")
    function, insn = choice.draw(st.sampled_from(plain_instructions(pair, side)), label="instruction")
    free = [rva for rva in range(insn.ip, insn.next_ip) if rva not in reference_bytes(pair, side)]
    rva = choice.draw(st.sampled_from(free), label="RVA")
    data = flipped(original.image, rva, 1 << choice.draw(st.integers(0, 7), label="bit"))
    section = original.image.section_at(insn.ip)
    assert section is not None
    at = section.raw_offset + insn.ip - section.rva
    assume(decodes_alike(data[at : at + insn.len], insn))
    return original, function, insn.ip, facts(original, data)


@SETTINGS
@given(choice=st.data())
def test_one_byte_of_code_changes_one_function(choice: st.DataObject) -> None:
    """Without symbols. No function of codec.dll is folded and filler is not among the instructions, so there
    is no exception but one: tables that lead into the middle of the function (jump tables) are reported with
    it, because the places that they name are in changed code."""
    original, function, rva, found = changed_instruction("codec", choice)
    assert changed(found) == [function]
    assert found.functions[0].reason.startswith(f"code differs, first at {rva:#x}")
    assert own_tables(original, function, found.data)
    assert_complete(found)


@SETTINGS
@given(choice=st.data())
def test_one_byte_of_code_changes_its_handlers_at_most(choice: st.DataObject) -> None:
    """A function and its exception handlers share unwind data that leads into its code, and handlers return
    the address to go on at: when the code changes, they are changed too, for these reasons alone."""
    _, function, rva, found = changed_instruction("throwing", choice)
    reasons = {item.name: item.reason for item in found.functions}
    assert changed(found) == sorted(reasons)
    assert reasons.pop(function).startswith(f"code differs, first at {rva:#x}")
    assert all(
        text.startswith(("unwind information differs", "target differs: lea")) for text in reasons.values()
    )
    assert all(item.kind == "rodata" for item in found.data)
    assert_complete(found)


@cache
def prepared(pair: str, symbols: str) -> Side:
    return prepare(program(example(pair, "baseline"), symbols))


def constant_bytes(side: Side) -> list[tuple[int, int]]:
    """(atom, RVA) of every byte of constants that code names, apart from fields and unwind records."""
    analysed = side.program
    rows = zip(analysed.fields.site.tolist(), analysed.fields.form.tolist(), strict=True)
    fields = {site + n for site, form in rows for n in range(4 if form else 8)}
    named = {int(atom) for atom in side.targets.atom if atom >= 0}
    return [
        (atom, rva)
        for atom in sorted(named)
        if side.atoms.memory[atom] == Memory.RODATA
        for rva in range(int(side.atoms.start[atom]), int(side.atoms.end[atom]))
        if rva not in fields
    ]


@SETTINGS
@given(choice=st.data())
def test_one_byte_of_a_constant_is_never_lost(choice: st.DataObject) -> None:
    """Without symbols its readers have changed; with them either the named datum has, or its readers."""
    symbols = choice.draw(st.sampled_from(["auto", "none"]), label="symbols")
    side = prepared("codec", symbols)
    original: Program = side.program
    atom, rva = choice.draw(st.sampled_from(constant_bytes(side)), label="byte")
    run = Interval(int(side.atoms.start[atom]), int(side.atoms.end[atom]))
    found = facts(original, flipped(original.image, rva, 1 << choice.draw(st.integers(0, 7), label="bit")))
    holders = [item for item in found.data if item.fixed and item.fixed.start <= rva < item.fixed.end]
    assert len(holders) == 1
    if atom in side.atoms.names:
        assert changed(found) == []
        assert (holders[0].change, holders[0].name) == (Change.CHANGED, side.atoms.names[atom])
    else:
        assert set(changed(found)) == referrers(original, run)
        assert changed(found)
    assert_complete(found)


@pytest.mark.parametrize(
    ("text", "readers"),
    [
        (b"codec: symbol outside", ["sub_1150"]),
        (b"codec: transform", ["codec_transform"]),
        (b"success", ["codec_status_text"]),
        (b"base64\0", ["codec_find"]),
    ],
    ids=lambda value: value.decode().strip("\0") if isinstance(value, bytes) else "",
)
def test_string_changes_its_readers(text: bytes, readers: list[str]) -> None:
    """The last one is read through a table of pointers."""
    original = program(example("codec", "baseline"), "none")
    rva = original.image.memory.tobytes().index(text)
    found = facts(original, patched(original.image, {rva: text[:2].upper()}))
    assert names(found, Change.CHANGED) == readers
    assert any(item.fixed and rva in range(item.fixed.start, item.fixed.end) for item in found.data)


@SETTINGS
@given(rva=st.integers(0x3000, 0x3003), bit=st.integers(0, 7))
def test_start_value_of_a_variable_is_changed_data(rva: int, bit: int) -> None:
    original = program(example("variants/data_init", "baseline"), "none")
    found = facts(original, flipped(original.image, rva, 1 << bit))
    assert changed(found) == []
    assert [(item.change, item.kind) for item in found.data] == [(Change.CHANGED, "data")]
    assert_complete(found)


def test_same_result_twice() -> None:
    for pair in ("codec", "throwing"):
        first, second = (
            compare(program(example(pair, "baseline"), "none"), program(example(pair, "fixed"), "none"))
            for _ in range(2)
        )
        assert first is not second
        assert first.pairing.fixed.tolist() == second.pairing.fixed.tolist()
        assert first.pairing.level.tolist() == second.pairing.level.tolist()
        assert first.data.baseline.tolist() == second.data.baseline.tolist()
        assert first.data.evidence.tolist() == second.data.evidence.tolist()
        assert describe(first) == describe(second)


SCRIPT = """
from tests.comparing import compared, difference
for pair in ("codec", "throwing"):
    for symbols in ("auto", "none"):
        print(difference(pair, symbols))
        both = compared(pair, symbols)
        print(both.pairing.fixed.tolist(), both.pairing.level.tolist(), both.data.baseline.tolist())
"""


def test_result_does_not_depend_on_the_hash_seed() -> None:
    root = example("codec", "baseline").parents[3]
    results = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            cwd=root,
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "4242")
    }
    assert len(results) == 1
    assert b"base64_decode" in results.pop()
