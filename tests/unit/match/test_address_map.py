"""Data: mapped by name, testimony, neighbours or the code of changed functions; and what outgrew its room."""

import dataclasses

import pytest

from hpbuild.match.address_map import Evidence
from hpbuild.match.comparison import Comparison, compare
from hpbuild.match.content import MAX_PADDING
from hpbuild.match.facts import describe
from hpbuild.match.model import Change
from hpbuild.pe.symbols import SymbolKind
from hpbuild.pe.tls import tls
from tests.assembled import RET, Dll, Item, Part, against, datum, diff, function, symbol
from tests.comparing import assert_same, changed, compared


def mapped(comparison: Comparison, fixed: Dll, baseline: Dll) -> dict[str, tuple[str, Evidence]]:
    """Label of each fixed datum -> (label of its counterpart or '', evidence)."""
    theirs = {rva: label for label, rva in baseline.labels().items() if not label.startswith("end")}
    result = {}
    for item in (*fixed.constants, *fixed.variables):
        atom = comparison.fixed.atoms.one(fixed.labels()[item.label])
        place = int(comparison.data.baseline[atom])
        result[item.label] = (theirs.get(place, ""), Evidence(int(comparison.data.evidence[atom])))
    return result


def three(middle: bytes, items: tuple[Item, ...], *, constant: bool = False) -> Dll:
    """``first`` and ``last`` are read by functions that stay, ``middle`` by one that changes completely."""
    code = (
        function("a", ("lea", "first"), RET),
        function("b", middle, ("lea", "middle"), RET),
        function("c", ("lea", "last"), RET),
    )
    return Dll(code=code, constants=items) if constant else Dll(code=code, variables=items)


OLD, NEW = b"\x31\xc0", b"\x0f\xa2\x0f\xa2"
PLAIN = (datum("first", b"\1" * 8), datum("middle", b"\2" * 8), datum("last", b"\3" * 8))
SHIFTED = (
    datum("first", b"\1" * 8),
    datum("added", bytes(8)),
    datum("middle", b"\2" * 8),
    datum("last", b"\3" * 8),
)


def test_variable_between_neighbours_of_one_distance() -> None:
    baseline, fixed = three(OLD, PLAIN), three(NEW, PLAIN)
    found = mapped(against(baseline, fixed), fixed, baseline)
    assert found == {
        "first": ("first", Evidence.TESTIMONY),
        "middle": ("middle", Evidence.NEIGHBOUR),
        "last": ("last", Evidence.TESTIMONY),
    }


def test_variable_between_neighbours_that_disagree_is_not_guessed() -> None:
    """A variable is inserted: by its neighbours ``middle`` could be either. The code aligned says which."""
    zeros = tuple(dataclasses.replace(item, parts=(bytes(8),)) for item in SHIFTED)
    baseline = three(OLD, tuple(item for item in zeros if item.label != "added"))
    fixed = three(NEW, zeros)
    found = mapped(against(baseline, fixed), fixed, baseline)
    assert found["middle"] == ("middle", Evidence.ALIGNMENT)
    assert found["first"] == ("first", Evidence.TESTIMONY)
    assert found["last"] == ("last", Evidence.TESTIMONY)


def test_constant_may_follow_either_neighbour() -> None:
    baseline, fixed = three(OLD, PLAIN, constant=True), three(NEW, SHIFTED, constant=True)
    comparison = against(baseline, fixed)
    assert mapped(comparison, fixed, baseline)["middle"] == ("middle", Evidence.NEIGHBOUR)
    assert changed(describe(comparison)) == ["b"]


def test_name_maps_data_whose_content_differs() -> None:
    def made(content: bytes) -> Dll:
        return Dll(
            code=(function("a", ("lea", "first"), RET),),
            variables=(datum("first", b"\1" * 8), datum("state", content, exported=True)),
        )

    baseline, fixed = made(b"\5" * 8), made(b"\6" * 8)
    comparison = against(baseline, fixed)
    assert mapped(comparison, fixed, baseline)["state"] == ("state", Evidence.NAME)
    found = describe(comparison)
    assert [(item.change, item.name) for item in found.data] == [(Change.CHANGED, "state")]


def test_name_on_two_data_says_nothing() -> None:
    """Static variables of one name in two files, in the other order: their readers tell them apart."""

    def made(first: str, second: str) -> Dll:
        return Dll(
            code=(function("a", ("load", "x"), RET), function("b", ("load", "y"), RET)),
            variables=(datum(first, bytes(8)), datum(second, bytes(8))),
        )

    programs = []
    for dll in (made("x", "y"), made("y", "x")):
        places = dll.labels()
        programs.append(dll.program(*(symbol("counter", places[name], SymbolKind.DATA) for name in "xy")))
    comparison = compare(*programs)
    assert_same(describe(comparison))
    assert [int(item) for item in comparison.data.baseline] == [0x2008 + 0x1000, 0x3000]


def buffers(size: int, *, tail: int = 64, zeroed: int = 0, limit: int = 1) -> Dll:
    """A buffer of ``size`` zero bytes with another variable behind it; ``b`` knows the size."""
    return Dll(
        code=(
            function("a", ("lea", "buffer"), RET),
            function("b", b"\xb8", limit.to_bytes(4, "little"), ("lea", "buffer"), RET),
            function("c", ("lea", "flag"), RET),
        ),
        variables=(datum("buffer", bytes(size), align=1), datum("flag", bytes(tail), align=1)),
        zeroed=zeroed,
    )


def test_larger_buffer_is_changed_data() -> None:
    """The zeros behind the old buffer are another variable, not room for the new one."""
    found = diff(buffers(8, tail=512), buffers(256, tail=512, limit=2))
    assert changed(found) == ["b"]
    assert [(item.change, item.kind, len(item.fixed or ())) for item in found.data] == [
        (Change.CHANGED, "data", 256)
    ]


def test_smaller_buffer_is_none() -> None:
    assert diff(buffers(256, tail=512), buffers(8, tail=512)).data == ()


@pytest.mark.parametrize(("more", "grown"), [(MAX_PADDING, False), (MAX_PADDING + 1, True)])
def test_filler_between_variables_is_no_growth(more: int, grown: bool) -> None:
    found = diff(buffers(8), buffers(8 + more))
    assert bool(found.data) is grown


@pytest.mark.parametrize(("more", "grown"), [(MAX_PADDING, False), (MAX_PADDING + 1, True), (0x3000, True)])
def test_last_zeroed_variable_outgrows_its_section(more: int, grown: bool) -> None:
    def made(size: int) -> Dll:
        return Dll(
            code=(function("a", ("lea", "end of .data"), RET),),
            variables=(datum("first", b"\1" * 8),),
            zeroed=size,
        )

    found = diff(made(16), made(16 + more))
    assert [(item.change, item.kind) for item in found.data] == [(Change.CHANGED, "data")] * grown


def test_variable_that_the_file_holds_in_part_outgrows_its_section() -> None:
    """The linker rounds the initialised part up, so the end of it may lie in the middle of a variable."""

    def made(size: int) -> Dll:
        return Dll(
            code=(function("a", ("lea", "end of .data"), RET),),
            variables=(datum("first", b"\1" * 8),),
            zeroed=size,
        )

    assert_same(diff(made(0x900), made(0x900)))
    assert {item.change for item in diff(made(0x900), made(0xA00)).data} == {Change.CHANGED}


def test_unused_member_of_a_structure_is_no_growth() -> None:
    """The baseline names the middle of ``state``; the fixed image no longer does."""

    def made(*second: Part) -> Dll:
        return Dll(
            code=(
                function("a", ("lea", "state"), RET),
                function("b", *second, RET),
                function("c", ("lea", "flag"), RET),
            ),
            variables=(datum("state", bytes(200)), datum("flag", b"\1" * 8)),
        )

    found = diff(made(("load", "state+100")), made(NEW))
    assert changed(found) == ["b"]
    assert [item.change for item in found.data] == []


def test_what_the_loader_names_in_one_place_corresponds() -> None:
    """Nothing but the TLS directory names the index of a module without references to it."""
    both = compared("variants/tls", "none")
    ours, theirs = tls(both.fixed.program.image), tls(both.baseline.program.image)
    assert ours is not None
    assert theirs is not None
    atom = both.fixed.atoms.one(int(ours.index))
    assert int(both.data.baseline[atom]) == int(theirs.index)
    assert both.data.evidence[atom] == Evidence.NAME


def test_data_where_the_baseline_has_none_is_new() -> None:
    code = (function("a", RET), function("b", b"\x31\xc0", ("call", "a"), RET))
    baseline = Dll(code=code)
    assert len(baseline.side().atoms) == 0
    found = diff(baseline, Dll(code=code, constants=(datum("fresh", b"something new"),)))
    assert [item.change for item in found.data] == [Change.ADDED]
