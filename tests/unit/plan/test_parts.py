"""Which data may be an element of the constant before it."""

import struct

import pytest

from hpbuild.match.sides import Side, prepare
from hpbuild.pe.symbols import SymbolKind
from hpbuild.plan.objects import Objects, users
from hpbuild.plan.parts import Parts
from tests.assembled import RET, Dll, Part, datum, function, symbol

NUMBERS = struct.pack("<4I", 1, 2, 3, 4)
WIDE = b"\x48\x8b\x05"
"""mov rax,[rip+...]: eight bytes."""


def parts_of(side: Side) -> Parts:
    return Objects(side, users(side)).parts


def fronts(dll: Dll, *labels: str) -> list[int]:
    """How far before each place the first constant begins of which it may be a part."""
    side = dll.side()
    found = parts_of(side)
    starts = []
    for label in labels:
        name, _, distance = label.partition("+")
        rva = dll.labels()[name] + int(distance or 0)
        atom = side.atoms.one(rva)
        assert int(side.atoms.start[atom]) == rva
        starts.append(rva - int(side.atoms.start[found.front(atom)]))
    return starts


def read(*first: Part, second: str = "load", offset: int = 8) -> Dll:
    """A function that takes the address of data, and one that names a place in it."""
    return Dll(
        code=(
            function("takes", ("lea", "data"), RET),
            function("reads", (second, f"data+{offset}"), RET),
            function("body", b"\x31\xc0", RET),
        ),
        constants=(datum("data", *first),),
    )


def test_what_is_only_read_may_be_an_element() -> None:
    assert fronts(read(NUMBERS), "data", "data+8") == [0, 8]


def test_what_is_taken_is_a_constant_of_its_own() -> None:
    assert fronts(read(NUMBERS, second="lea"), "data+8") == [0]


def test_elements_behind_elements() -> None:
    code = (
        function("takes", ("lea", "data"), RET),
        *(function(f"reads{at}", ("load", f"data+{at}"), RET) for at in (4, 8, 12)),
    )
    dll = Dll(code=code, constants=(datum("data", NUMBERS),))
    assert fronts(dll, "data+4", "data+8", "data+12") == [4, 8, 12]


def test_without_a_taken_address_each_is_alone() -> None:
    code = tuple(function(f"reads{at}", ("load", f"data+{at}"), RET) for at in (0, 4, 8))
    assert fronts(Dll(code=code, constants=(datum("data", NUMBERS),)), "data+4", "data+8") == [0, 0]


def test_a_wider_read_reaches_as_far_as_it_reads() -> None:
    """Eight bytes hold the next four, and not those behind."""
    code = (
        function("wide", ("hold", "data"), RET),
        function("reads", ("load", "data+4"), RET),
        function("more", ("load", "data+8"), RET),
    )
    assert fronts(Dll(code=code, constants=(datum("data", NUMBERS),)), "data+4", "data+8") == [4, 0]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (b"letters\0", True),
        (b"A\0\0\0B\0\0\0", False),
        (b"\x9a\x99\x99\x99\x99\xb9?\0", False),
    ],
)
def test_a_text_ends_at_its_end_mark(text: bytes, known: bool) -> None:
    """A small number may look like a letter, and a fraction like some."""
    assert fronts(read(text + NUMBERS), "data+8") == [0 if known else 8]


def test_a_table_of_offsets_ends_where_they_end() -> None:
    switch = b"\x48\x63\x0c\x88\x48\x01\xc1\xff\xe1"
    table = struct.pack("<2i", *(0x1000 - 0x2000 for _ in range(2)))
    code = (function("jumps", ("lea", "data"), switch, RET), function("reads", ("load", "data+8"), RET))
    dll = Dll(code=code, constants=(datum("data", table, struct.pack("<2I", 1 << 30, 1 << 30)),))
    assert fronts(dll, "data+8") == [0]


def test_a_row_of_pointers_may_have_numbers_between() -> None:
    """A table of names and numbers, one of which is read directly."""
    assert fronts(read(("pointer", "body"), NUMBERS), "data+8") == [8]


def test_pointers_are_no_part_of_what_is_not_aligned() -> None:
    code = (function("takes", ("lea", "text"), RET), function("reads", ("hold", "pointer"), RET))
    for front, expected in ((b"\1\0\0", 0), (b"", 5)):
        text = datum("text", b"r\0\0\0\0", align=1)
        items = (datum("front", front, align=1), text, datum("pointer", ("pointer", "text"), align=1))
        dll = Dll(code=code, constants=items)
        assert dll.labels()["pointer"] % 8 == (0 if front else 5)
        assert fronts(dll, "pointer") == [expected]


def test_a_symbol_begins_something_of_its_own() -> None:
    dll = read(NUMBERS)
    at = dll.labels()["data"] + 8
    side = prepare(dll.program(symbol("other", at, SymbolKind.DATA)))
    atom = side.atoms.one(at)
    assert parts_of(side).front(atom) == atom


def test_pairs_are_all_fronts() -> None:
    code = (
        function("takes", ("lea", "data"), RET),
        *(function(f"reads{at}", ("load", f"data+{at}"), RET) for at in (4, 12)),
        function("wide", ("hold", "data+8"), RET),
    )
    side = Dll(code=code, constants=(datum("data", NUMBERS), datum("more", NUMBERS))).side()
    found = parts_of(side)
    expected = [(found.front(one), one) for one in range(len(side.atoms)) if found.front(one) != one]
    assert list(found.pairs()) == expected
    assert len(expected) == 3
