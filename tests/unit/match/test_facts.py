"""Facts: reasons in words, classes of bytes, what is filler; and what they are made of: atoms, alignment."""

import numpy as np
import pytest

from hpbuild.code.model import FieldForm
from hpbuild.match.alignment import aligned_references, first_difference, steps
from hpbuild.match.atoms import Memory
from hpbuild.match.facts import describe, is_filler, reason, referenced
from hpbuild.match.functions import groups
from hpbuild.match.model import Change
from hpbuild.match.places import label
from hpbuild.match.sides import prepare
from hpbuild.pe.symbols import SymbolKind
from hpbuild.values import Interval
from tests.assembled import RET, Dll, against, datum, diff, function, symbol
from tests.comparing import PAIRS, assert_complete, compared, difference, example, program

BODY = b"\x48\x89\xc8\x48\x01\xc0\x48\x01\xc8\x48\x29\xc8\x48\xf7\xd8"
A, B = function("a", BODY, RET), function("b", ("call", "a"), RET)


def reasons(baseline: Dll, fixed: Dll) -> dict[str, tuple[Change, str]]:
    return {item.name: (item.change, item.reason) for item in diff(baseline, fixed).functions}


def test_reason_names_the_first_instruction_that_differs() -> None:
    changed = function("a", BODY[:3], b"\x48\x31\xc0", BODY[6:], RET)
    assert reasons(Dll(code=(A, B)), Dll(code=(changed, B))) == {
        "a": (Change.CHANGED, "code differs, first at 0x1003 (baseline 0x1003)")
    }


def test_reason_when_one_ends_first() -> None:
    """One ``a`` runs into ``b``, the other goes on."""
    after = function("b", b"\x0f\xa2", RET)
    shorter = Dll(code=(function("a", BODY, b"\x90"), after))
    longer = Dll(code=(function("a", BODY, b"\x90", b"\x0f\xa2", RET), after))
    assert reasons(shorter, longer)["a"][1] == "code differs, first at 0x1010 (baseline the end)"
    assert reasons(longer, shorter)["a"][1] == "code differs, first at the end (baseline 0x1010)"


def test_added_and_removed_functions() -> None:
    both, one = Dll(code=(A, function("n", b"\x0f\xa2" * 3, RET))), Dll(code=(A,))
    assert reasons(one, both) == {"n": (Change.ADDED, "no counterpart in the baseline")}
    assert reasons(both, one) == {"n": (Change.REMOVED, "no counterpart in the fixed image")}
    added, removed = diff(one, both), diff(both, one)
    assert (added.functions[0].baseline, removed.functions[0].fixed) == ((), ())
    assert added.functions[0].fixed == removed.functions[0].baseline
    assert (added.summary.added, removed.summary.removed) == (1, 1)


@pytest.mark.parametrize("pair", ["codec", "throwing"])
def test_reasons_found_together_are_those_found_one_by_one(pair: str) -> None:
    both = compared(pair, "none")
    known = both.facts.reasons
    known.clear()
    describe(both)
    together = dict(known)
    known.clear()
    assert together.keys() == {fact.root for fact in both.facts.differing if fact.partner >= 0}
    assert together == {root: reason(both, both.facts[root]) for root in together}


def test_the_first_of_several_differences_is_the_reason() -> None:
    """One function names another constant first, one has other code first, in one a part comes first."""

    def dll(number: int) -> Dll:
        value = bytes([number])
        return Dll(
            code=(
                function("names", ("lea", "text"), b"\xb8" + value * 4, RET),
                function("plain", ("lea", "text"), BODY, RET),
                function("calls", ("call", "plain"), BODY, ("lea", "text"), RET),
            ),
            constants=(datum("text", value * 16),),
        )

    found = reasons(dll(1), dll(2))
    assert found["names"][1].startswith("code differs")
    assert found["plain"][1].startswith("content of a constant differs: lea at ")
    assert found["calls"][1].startswith("content of a constant differs: lea at ")


@pytest.mark.parametrize("pair", PAIRS)
def test_functions_are_groups_of_fragments(pair: str) -> None:
    both = compared(pair, "none")
    fragments = both.fixed.program.fragments
    members = [m for group in groups(both.fixed.program).values() for m in group]
    assert sorted(members) == np.flatnonzero(~fragments.opaque).tolist()
    for fact in both.functions:
        assert fact.fragments[0] == fact.root
        assert all(int(fragments.root[member]) == fact.root for member in fact.fragments)


def everything() -> tuple[Dll, Dll]:
    def made(number: int, text: bytes, *more: object) -> Dll:
        return Dll(
            code=(
                function("same", ("lea", "table"), RET),
                function("work", BODY, b"\xb8", number.to_bytes(4, "little"), ("lea", "text"), RET),
                *more,  # type: ignore[arg-type]
            ),
            constants=(datum("table", ("pointer", "same"), b"\7" * 8), datum("text", text)),
            variables=(datum("state", bytes([number]) * 8, exported=True),),
        )

    return made(1, b"old text"), made(2, b"new text", function("more", b"\x0f\xa2" * 3, RET))


def test_account_has_every_class_with_its_size() -> None:
    baseline, fixed = everything()
    found = diff(baseline, fixed)
    assert_complete(found)
    account = dict(found.account)
    assert account["identical-code"] == 8
    assert account["changed-code"] == len(BODY) + 5 + 8
    assert account["added-code"] == 7
    assert account["identical-data"] == 16
    assert account["changed-data"] == 16, "the text by its place in the code, the variable by its name"
    assert account["headers"] == 0x400
    assert account["relocations"] == 12
    assert account["padding"] == 8 + (-(len(BODY) + 13)) % 16
    assert "added-data" not in account
    assert sorted(item.kind for item in found.data) == ["data", "rodata"]


def test_data_that_a_longer_one_takes_in_is_not_removed() -> None:
    """Without ``b`` nothing begins at its text: what ``a`` names goes on to its end."""

    def made(text: bytes, *more: object) -> Dll:
        code = (function("a", ("lea", "first"), RET), *more)
        return Dll(code=code, constants=(datum("first", b"one text"), datum("second", text)))  # type: ignore[arg-type]

    baseline = made(b"two text", function("b", b"\x0f\xa2" * 3, ("lea", "second"), RET))
    assert diff(baseline, made(b"two text")).data == ()
    other = diff(baseline, made(b"TWO text")).data
    assert [item.change for item in other] == [Change.CHANGED, Change.REMOVED]
    assert [item.baseline for item in other] == [Interval(0x2000, 0x2008), Interval(0x2008, 0x2010)]
    assert [item.fixed for item in other] == [Interval(0x2000, 0x2010), None]
    new = diff(made(b"two text"), baseline)
    assert [(item.change, item.baseline, item.fixed) for item in new.data] == [
        (Change.ADDED, None, Interval(0x2008, 0x2010))
    ]
    assert dict(new.account)["added-data"] == 8


def test_zeros_that_nothing_names_are_neither_added_nor_removed() -> None:
    def made(*content: bytes) -> Dll:
        return Dll(code=(A,), variables=tuple(datum("state", item) for item in content))

    zeros, other = diff(made(), made(bytes(8))), diff(made(), made(b"\0\0\0\1"))
    assert (zeros.data, diff(made(bytes(8)), made()).data) == ((), ())
    assert "added-data" not in dict(zeros.account)
    assert dict(zeros.account)["padding"] == dict(diff(made(), made()).account).get("padding", 0) + 8
    assert [item.change for item in other.data] == [Change.ADDED]
    assert dict(other.account)["added-data"] == 4
    assert [item.change for item in diff(made(b"\0\0\0\1"), made()).data] == [Change.REMOVED]
    assert_complete(zeros)
    assert_complete(other)


def test_zeros_are_filler_only_where_nothing_names_them() -> None:
    made = Dll(
        code=(function("a", ("lea", "zeros"), RET), function("b", ("lea", "text"), RET)),
        constants=(
            datum("zeros", bytes(8)),
            datum("text", b"text", align=64),
            datum("rest", bytes(8), align=64),
        ),
    )
    side = made.side()
    atom = side.atoms.one(made.labels()["zeros"])
    named = referenced(side)
    assert named[atom]
    assert not is_filler(side, atom, named)
    assert is_filler(side, atom, np.zeros(len(side.atoms), dtype=np.bool_))
    text = side.atoms.one(made.labels()["text"])
    assert not is_filler(side, text, np.zeros(len(side.atoms), dtype=np.bool_))


def test_atoms_begin_where_something_points() -> None:
    made = Dll(
        code=(function("a", ("lea", "table"), ("load", "flag+4"), RET),),
        constants=(datum("table", ("pointer", "text"), b"\1" * 8), datum("text", b"text")),
        variables=(datum("flag", bytes(8)), datum("known", bytes(4))),
        zeroed=0x400,
    )
    places = made.labels()
    side = prepare(made.program(symbol("known", places["known"], SymbolKind.DATA, size=4)))
    runs = list(
        zip(side.atoms.start.tolist(), side.atoms.end.tolist(), side.atoms.memory.tolist(), strict=True)
    )
    assert runs == [
        (places["table"], places["text"], Memory.RODATA),
        (places["text"], places["text"] + 4, Memory.RODATA),
        (places["flag"], places["flag"] + 4, Memory.DATA),
        (places["flag"] + 4, places["known"], Memory.DATA),
        (places["known"], places["known"] + 4, Memory.DATA),
        (places["known"] + 4, places["flag"] + 0x200, Memory.DATA),
        (places["flag"] + 0x200, places["known"] + 4 + 0x400, Memory.BSS),
    ]
    assert side.atoms.names == {4: "known"}
    assert side.atoms.at(np.array([0, places["text"] + 3, places["text"] + 4])).tolist() == [-1, 1, -1]
    assert (side.atoms.last_field - side.atoms.first_field).tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_data_export_has_its_name() -> None:
    made = Dll(code=(A,), variables=(datum("first", bytes(8)), datum("state", bytes(8), exported=True)))
    side = made.side()
    assert side.atoms.names == {side.atoms.one(made.labels()["state"]): "state"}


@pytest.mark.parametrize("pair", PAIRS)
def test_atoms_code_filler_and_metadata_share_nothing(pair: str) -> None:
    side = prepare(program(example(pair, "fixed"), "none"))
    seen = np.zeros(side.program.image.size_of_image, dtype=np.uint8)
    code = side.program.fragments
    runs = list(zip(side.atoms.start.tolist(), side.atoms.end.tolist(), strict=True))
    runs += [(int(code.start[i]), int(code.end[i])) for i in np.flatnonzero(~code.opaque)]
    runs += [(start, end) for start, end in side.program.padding.tolist()]
    runs += [(start, end) for _, start, end in side.program.metadata]
    for start, end in runs:
        assert start < end
        seen[start:end] += 1
    assert seen.max() == 1
    assert all(seen[s.rva : s.rva + s.virtual_size].all() for s in side.program.image.sections)


def test_places_say_what_lies_where() -> None:
    side = prepare(program(example("codec", "baseline"), "none"))
    slots = set(side.program.slots)
    for row, target in enumerate(side.program.references.target.tolist()):
        kinds = (side.targets.code[row] >= 0, side.targets.atom[row] >= 0, side.targets.other[row] != 0)
        assert sum(kinds) == 1, hex(target)
        assert (target in slots) <= bool(kinds[2])
    assert (side.pointers.offset[side.program.fields.form == FieldForm.END32NB] >= 1).all()


def test_labels_are_stable_and_distinct() -> None:
    texts = [
        ("import", "kernel32.dll!HeapFree"),
        ("import", "kernel32.dll!HeapSize"),
        ("header", 60),
        ("header", 6, 0),
    ]
    assert len({label(*text) for text in texts}) == len(texts)
    assert all(0 < label(*text) < 1 << 63 for text in texts)


def test_masked_code_has_no_targets() -> None:
    side = prepare(program(example("codec", "baseline"), "none"))
    for site, width in zip(side.program.references.site, side.program.references.width, strict=True):
        assert not side.masked[site : site + width].any()
    assert side.masked[:].any()


def test_steps_cover_the_function_and_its_references() -> None:
    both = compared("codec", "auto")
    for fragment in np.flatnonzero(both.fixed.forms != 0).tolist():
        found = steps(both.fixed, fragment)
        assert sum(len(step.text) for step in found) == int(
            both.fixed.program.fragments.end[fragment] - both.fixed.program.fragments.start[fragment]
        )
        rows = [row for step in found for row in step.references]
        assert rows == list(range(int(both.fixed.first[fragment]), int(both.fixed.last[fragment])))


def test_references_are_aligned_around_what_was_put_in() -> None:
    def made(*more: bytes) -> Dll:
        return Dll(
            code=(function("a", ("lea", "x"), BODY, *more, ("lea", "y"), RET), function("b", RET)),
            constants=(datum("x", b"text x"), datum("y", b"text y")),
        )

    both = against(made(), made(b"\x0f\xa2"))
    rows = aligned_references(both.fixed, both.baseline, both.pairing, np.array([0]))
    assert [part.tolist() for part in rows] == [[0, 1], [0, 1]]
    assert first_difference(both.fixed, both.baseline, 0, 0) == (0x1007 + len(BODY), 0x1007 + len(BODY))
    assert first_difference(both.fixed, both.fixed, 0, 0) == (-1, -1)
    assert describe(both).data == ()


def test_values_of_the_report() -> None:
    assert [str(change) for change in Change] == ["identical", "changed", "added", "removed"]
    item = difference("variants/tls", "none").functions[0]
    with pytest.raises(AttributeError):
        item.name = "other"  # type: ignore[misc]
    assert not item.line_only
