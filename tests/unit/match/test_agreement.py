"""Testimony: what two functions of one form refer to decides whether they are identical."""

from collections import Counter
from itertools import pairwise

import pytest

from hpbuild.code.model import FieldForm
from hpbuild.match.address_map import Evidence
from hpbuild.match.facts import describe
from hpbuild.match.model import Change
from hpbuild.values import Interval
from tests.assembled import RET, Dll, against, datum, diff, function
from tests.comparing import (
    assert_complete,
    assert_same,
    changed,
    example,
    facts,
    mutant,
    patched,
    program,
    referrers,
)

READS = function("reads", ("lea", "table"), RET)
OTHER = function("other", b"\x31\xc0", RET)


def constants(content: bytes, exported: bool = False) -> Dll:
    return Dll(code=(READS, OTHER), constants=(datum("table", content, exported=exported),))


def variables(content: bytes) -> Dll:
    return Dll(code=(READS, OTHER), variables=(datum("table", content),))


def test_changed_constant_changes_who_reads_it() -> None:
    found = diff(constants(b"weights."), constants(b"heights."))
    assert changed(found) == ["reads"]
    assert found.functions[0].reason.startswith("content of a constant differs: lea at 0x1003 names 0x2000")
    assert [(item.change, item.kind) for item in found.data] == [(Change.CHANGED, "rodata")]
    assert_complete(found)


def test_changed_constant_with_a_name_is_the_change_itself() -> None:
    found = diff(constants(b"weights.", exported=True), constants(b"heights.", exported=True))
    assert changed(found) == []
    assert [(item.change, item.kind, item.reason) for item in found.data] == [
        (Change.CHANGED, "rodata", "content differs (paired by name)")
    ]


def test_changed_start_value_of_a_variable_is_the_change_itself() -> None:
    found = diff(variables(b"\1\0\0\0"), variables(b"\2\0\0\0"))
    assert changed(found) == []
    assert [(item.change, item.kind, item.reason) for item in found.data] == [
        (Change.CHANGED, "data", "content differs (paired by testimony)")
    ]


def test_constant_that_became_a_variable_is_another_datum() -> None:
    found = diff(constants(b"weights."), variables(b"weights."))
    assert changed(found) == ["reads"]
    assert found.functions[0].reason.startswith("target differs: lea")
    assert sorted(item.change for item in found.data) == [Change.ADDED, Change.REMOVED]


def calls(first: str, second: str) -> Dll:
    return Dll(
        code=(
            function("one", ("call", first), RET),
            function("two", ("call", second), RET),
            function("left", b"\x31\xc0", RET),
            function("right", b"\x31\xc9", RET),
        )
    )


def test_call_of_another_function_is_a_change() -> None:
    found = diff(calls("left", "left"), calls("left", "right"))
    assert changed(found) == ["two"]
    assert found.functions[0].reason.startswith(
        "target differs: call at 0x1011 names 0x1030, in the baseline 0x1020"
    )


def test_order_of_functions_is_no_change() -> None:
    made = calls("left", "right")
    other = Dll(code=tuple(reversed(made.code)))
    assert made.labels() != other.labels()
    assert_same(diff(made, other))


def uses(first: str, second: str, third: str) -> Dll:
    return Dll(
        code=tuple(
            function(name, ("load", item), RET)
            for name, item in zip("abc", (first, second, third), strict=True)
        ),
        variables=(datum("x", b"\5\0\0\0"), datum("y", b"\5\0\0\0")),
    )


def test_variable_keeps_its_identity() -> None:
    """Two variables of equal content are two variables: reading the other one is a change."""
    found = diff(uses("x", "x", "y"), uses("x", "y", "y"))
    assert changed(found) == ["b"]
    assert found.functions[0].reason.startswith("target differs: memory at 0x1012")
    assert found.data == ()


def test_majority_says_which_variable_corresponds() -> None:
    """Two functions say x is x, one says x is y: the one has changed. Neither data has."""
    comparison = against(uses("x", "x", "x"), uses("x", "x", "y"))
    pairs = comparison.agreement.data
    start = comparison.fixed.atoms.start
    judged = {
        (int(start[left]), int(comparison.baseline.atoms.start[right])): bool(valid)
        for left, right, valid in zip(pairs.fixed, pairs.baseline, pairs.valid, strict=True)
    }
    assert judged == {(0x3000, 0x3000): True, (0x3008, 0x3000): False}
    assert changed(describe(comparison)) == ["c"]


def test_constants_of_equal_content_are_one() -> None:
    """Linkers merge equal constants: which copy is read makes no difference."""

    def reads(second: str) -> Dll:
        return Dll(
            code=tuple(
                function(name, ("lea", item), RET) for name, item in (("a", "s"), ("b", second), ("c", "t"))
            ),
            constants=(datum("s", b"text\0"), datum("t", b"text\0")),
        )

    assert changed(diff(reads("s"), reads("t"))) == []
    assert changed(diff(reads("t"), reads("s"))) == []


def chain(text: bytes) -> Dll:
    return Dll(
        code=(READS, OTHER),
        constants=(
            datum("table", ("pointer", "inner")),
            datum("inner", ("pointer", "text"), ("pointer", "table")),
            datum("text", text),
        ),
    )


def test_constants_are_followed_through_tables_that_refer_to_each_other() -> None:
    assert_same(diff(chain(b"north"), chain(b"north")))
    found = diff(chain(b"north"), chain(b"south"))
    assert changed(found) == ["reads"]
    assert Counter(item.change for item in found.data) == {
        Change.CHANGED: 1,  # the one that code names
        Change.ADDED: 2,
        Change.REMOVED: 2,
    }


def long_chain(length: int, text: bytes) -> Dll:
    """Tables each of which names the next one, the last the first one and a text."""
    links = [
        datum(f"link{number}", ("pointer", f"link{number + 1}"), ("pointer", "table"))
        for number in range(length)
    ]
    last = datum(f"link{length}", ("pointer", "text"), ("pointer", "link0"))
    return Dll(
        code=(READS, OTHER),
        constants=(datum("table", ("pointer", "link0")), *links, last, datum("text", text)),
    )


@pytest.mark.parametrize("length", [13, 14, 15, 16, 40])
def test_chains_of_tables_are_followed_to_their_end(length: int) -> None:
    """Also those with more steps than are put in order at once."""
    baseline = long_chain(length, b"north")
    found = against(baseline, long_chain(length, b"north"))
    labels, atoms = baseline.labels(), found.fixed.atoms
    names = [atoms.one(labels[name]) for name in ("table", "text", *(f"link{n}" for n in range(length + 1)))]
    pairs = set(zip(found.agreement.data.fixed.tolist(), found.agreement.data.baseline.tolist(), strict=True))
    assert pairs == {(name, name) for name in names}
    assert len(found.agreement.data) == len(pairs), "each once"
    assert found.agreement.data.same.all()
    assert changed(diff(baseline, long_chain(length, b"south"))) == ["reads"]


def pointer_variable(target: str, exported: bool = False) -> Dll:
    return Dll(
        code=(READS, function("left", b"\x31\xc0", RET), function("right", b"\x31\xc9", RET)),
        variables=(datum("table", ("pointer", target), exported=exported),),
    )


def test_start_value_of_a_pointer_variable() -> None:
    found = diff(pointer_variable("left"), pointer_variable("right"))
    assert changed(found) == []
    assert [(item.change, item.kind) for item in found.data] == [(Change.CHANGED, "data")]


def test_base_address_is_no_difference() -> None:
    made = chain(b"north")
    moved = Dll(code=made.code, constants=made.constants, base=0x1C0000000)
    assert made.file() != moved.file()
    assert_same(diff(made, moved))


def test_import_is_known_by_its_name() -> None:
    """The function that jumps through the slot changes when the slot means something else."""
    original = program(example("codec", "baseline"), "none")
    at = original.image.data.whole().index(b"HeapFree\0")
    section = next(s for s in original.image.sections if s.raw_offset <= at < s.raw_offset + s.raw_size)
    copy = patched(original.image, {at - section.raw_offset + section.rva: b"HeapSize"})
    found = facts(original, copy)
    slot = next(rva for rva, name in original.slots.items() if name == "kernel32.dll!HeapFree")
    run = Interval(slot, slot + 8)
    assert set(changed(found)) == referrers(original, run) == referrers(mutant(original, copy), run)
    assert all(item.reason.startswith("target differs: memory at") for item in found.functions)


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_unwind_information_is_part_of_the_function(symbols: str) -> None:
    original = program(example("codec", "baseline"), symbols)
    entry = next(f for f in original.exported if f[1] == "codec_transform")[0]
    record = int(original.fragments.unwind[entry])
    assert record
    # The first unwind code's offset in the prologue.
    rva = record + 4
    found = facts(original, patched(original.image, {rva: bytes([original.image.read(rva, 1)[0] - 1])}))
    assert changed(found) == ["codec_transform"]
    assert found.functions[0].reason == "unwind information differs"


def test_order_of_a_jump_table_is_part_of_the_function() -> None:
    """Both entries lead into the same function, to other places."""
    original = program(example("codec", "baseline"), "none")
    tables = original.fields.site[original.fields.form == FieldForm.TABLE32].tolist()
    first, second = next(
        (a, b) for a, b in pairwise(tables) if original.image.read(a, 4) != original.image.read(b, 4)
    )
    assert second == first + 4
    swap = {first: original.image.read(second, 4), second: original.image.read(first, 4)}
    found = facts(original, patched(original.image, swap))
    assert changed(found) == ["sub_1510"], "digit_value, the first with a jump table"
    assert found.functions[0].reason.startswith("content of a constant differs: lea")


def test_evidence_of_testimony() -> None:
    comparison = against(variables(b"\1\0\0\0"), variables(b"\1\0\0\0"))
    assert [Evidence(int(item)).label for item in comparison.data.evidence] == ["testimony"]
