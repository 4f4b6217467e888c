"""Which atoms of data are one object, and who uses them."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.match.sides import Side, prepare
from hpbuild.plan.objects import Objects, extent, users
from hpbuild.values import Interval
from tests.assembled import RET, Dll, datum, function

CODEC = "fixed/codec.dll"
Dlls = Callable[[str], Any]


@pytest.fixture(scope="session")
def named(pair: Callable[..., Any]) -> Side:
    return pair(".", "codec", "auto").comparison.fixed


@pytest.fixture(scope="session")
def bare(dll: Dlls) -> Side:
    return prepare(dll(CODEC).program())


def _object(side: Side, rva: int) -> Interval:
    return extent(side, Objects(side, users(side)).of(side.atoms.one(rva)))


def _symbol(side: Side, name: str) -> int:
    (rva,) = [symbol.rva for symbol in side.program.symbols.items if symbol.name == name]
    return int(rva)


def test_users_are_those_that_name_it(named: Side) -> None:
    found = users(named)
    atom = named.atoms.one(_symbol(named, "crc_table"))
    names = {named.program.name_of(root) for root in found.functions[atom]}
    assert names == {"crc32_of", "codec_checksum"}
    assert atom not in found.atoms


def test_users_are_data_too(named: Side) -> None:
    found = users(named)
    text = named.program.image.memory.tobytes().index(b"input ends too early\0")
    holders = found.atoms[named.atoms.one(text)]
    assert [int(named.atoms.start[holder]) for holder in holders] == [_symbol(named, "status_texts")]


@pytest.mark.parametrize(("name", "size"), [("crc_table", 64), ("status_texts", 40), ("operands", 11)])
def test_a_symbol_says_how_long_its_object_is(named: Side, name: str, size: int) -> None:
    start = _symbol(named, name)
    assert _object(named, start) == Interval(start, start + size)


def test_without_symbols_an_object_reaches_at_least_as_far(named: Side, bare: Side) -> None:
    for name in ("crc_table", "status_texts", "operands"):
        start = _symbol(named, name)
        assert _object(bare, start).covers(_object(named, start))


def test_a_text_ends_at_its_end_mark(bare: Side) -> None:
    memory = bare.program.image.memory.tobytes()
    text = b"codec: run does not fit into the output buffer\0"
    start = memory.index(text)
    assert _object(bare, start) == Interval(start, start + len(text))


@pytest.mark.parametrize("name", [CODEC, "fixed/throwing.dll", "baseline/throwing.dll"])
def test_an_object_ends_where_another_function_names_data(dll: Dlls, name: str) -> None:
    side = prepare(dll(name).program())
    found = users(side)
    for atom in range(len(side.atoms)):
        if side.program.image.section_at(int(side.atoms.start[atom])).executable:
            continue
        members = Objects(side, found).of(atom)
        own = found.functions.get(atom, frozenset())
        for member in members[1:]:
            assert found.functions.get(member, frozenset()) <= own
            assert member not in found.atoms


def _drawn(dll: Dll, label: str) -> Interval:
    return _object(dll.side(), dll.labels()[label.partition("+")[0]] + int(label.partition("+")[2] or 0))


def test_a_letter_with_its_end_mark_is_a_text() -> None:
    """Not half of a text of two bytes a letter: those behind it are texts of their own."""
    texts = (
        datum("comma", b",\0", align=1),
        datum("colon", b":\0", align=1),
        datum("more", b"%d\0", align=1),
    )
    code = tuple(function(f"f{item.label}", ("lea", item.label), RET) for item in texts)
    dll = Dll(code=code, constants=texts)
    for item in texts:
        start = dll.labels()[item.label]
        assert _drawn(dll, item.label) == Interval(start, start + len(item.parts[0]))


def test_a_text_of_two_bytes_a_letter_is_one_object() -> None:
    dll = Dll(
        code=(function("one", ("lea", "text"), RET), function("two", ("lea", "text+2"), RET)),
        constants=(datum("text", "xyz".encode("utf-16-le") + b"\0\0", align=1),),
    )
    start = dll.labels()["text"]
    assert _drawn(dll, "text") == _drawn(dll, "text+2") == Interval(start, start + 8)


def test_numbers_that_look_like_letters_are_no_text() -> None:
    """Each is read as a whole: nobody reads on from one into the next."""
    dll = Dll(
        code=(function("one", ("load", "pool"), RET), function("two", ("load", "pool+4"), RET)),
        constants=(datum("pool", b"\x99\x99\x99\x3f\x55\x55\x55\x3f", align=1),),
    )
    start = dll.labels()["pool"]
    assert _drawn(dll, "pool") == Interval(start, start + 4)


_SWITCH = (("lea", "NAME"), b"\x48\x63\x0c\x88\x48\x01\xc1\xff\xe1")
"""Code behind which a table lies: lea rax,[table]; movsxd rcx,[rax+rcx*4]; add rcx,rax; jmp rcx."""


def _switches(first: bytes) -> Dll:
    """Two functions with jump tables, one table behind the other, of offsets whose bytes could be letters;
    ``first`` stands for the movsxd of the first."""

    def code(name: str, load: bytes) -> tuple[bytes | tuple[str, str], ...]:
        (how, _), rest = _SWITCH
        return ((how, f"{name} table"), rest.replace(b"\x48\x63\x0c\x88", load), b"\x90" * 32 + RET)

    cases = (0x1020, 0x1024, 0x1028), (0x1070, 0x1074, 0x1078)
    return Dll(
        code=(function("one", *code("one", first)), function("two", *code("two", b"\x48\x63\x0c\x88"))),
        constants=(
            datum("one table", struct.pack("<3i", *(case - 0x2000 for case in cases[0])), align=4),
            datum("two table", struct.pack("<3i", *(case - 0x200C for case in cases[1])), align=4),
        ),
    )


@pytest.mark.parametrize("first", [b"\x48\x63\x0c\x88", b"\x48\x67\x0c\x88"])
def test_a_table_is_no_text_that_goes_on_into_the_next_table(first: bytes) -> None:
    """Even where the code does not show any more that it is a table, and its offsets look like letters."""
    dll = _switches(first)
    start = dll.labels()["one table"]
    assert all(byte >= 0x20 for byte in dll.program().image.read(start, 12))
    assert start + 12 in dll.program().fields.site
    assert (start in dll.program().fields.site) == (first[1] == 0x63)
    assert _drawn(dll, "one table") == Interval(start, start + 12)


def test_an_unreadable_table_does_not_take_the_next_tables_reader_along(planned: Callable[..., Any]) -> None:
    found = planned(_switches(b"\x48\x63\x0c\x88").program(), _switches(b"\x48\x67\x0c\x88").program())
    assert found.names() == {"one": "changed"}


def test_a_constant_goes_on_where_a_user_of_its_address_reads_it() -> None:
    """Two take its address; one of them reads the second part directly: the other reads it too, for all that
    anybody can tell."""
    dll = Dll(
        code=(
            function("one", ("lea", "pair"), RET),
            function("two", ("lea", "pair"), ("load", "pair+4"), RET),
        ),
        constants=(datum("pair", b"\x00\x7a\x00\x00\x98\x3a\x00\x00", align=1),),
    )
    start = dll.labels()["pair"]
    assert _drawn(dll, "pair") == _drawn(dll, "pair+4") == Interval(start, start + 8)


def test_a_constant_goes_on_where_others_only_read() -> None:
    """What is read directly may be an element of the array before it, which another function indexes."""
    dll = Dll(
        code=(function("one", ("lea", "pair"), RET), function("two", ("load", "pair+4"), RET)),
        constants=(datum("pair", b"\x00\x7a\x00\x00\x98\x3a\x00\x00", align=1),),
    )
    start = dll.labels()["pair"]
    assert _drawn(dll, "pair") == _drawn(dll, "pair+4") == Interval(start, start + 8)


def test_a_constant_ends_where_the_next_address_is_taken() -> None:
    dll = Dll(
        code=(function("one", ("lea", "pair"), RET), function("two", ("lea", "pair+4"), RET)),
        constants=(datum("pair", b"\x00\x7a\x00\x00\x98\x3a\x00\x00", align=1),),
    )
    start = dll.labels()["pair"]
    assert _drawn(dll, "pair") == Interval(start, start + 4)
    assert _drawn(dll, "pair+4") == Interval(start + 4, start + 8)


def _classes(family: str) -> Side:
    """Two virtual tables, one behind the other, with what their objects' type is found by in front."""
    tables = []
    for name in ("one", "two"):
        front = (
            (("pointer", f"locator {name}"),) if family == "msvc" else (bytes(8), ("pointer", f"type {name}"))
        )
        tables.append(datum(f"head {name}", *front, ("pointer", "method")))
    types = [
        datum(f"type {name}", ("pointer", "head one"), ("pointer", f"name {name}")) for name in ("one", "two")
    ]
    names = [datum(f"name {name}", b"3One\0") for name in ("one", "two")]
    zeros = bytes(4)
    locators = [
        datum(f"locator {name}", b"\1" + zeros * 2 + zeros[1:] + zeros * 2, ("rva", f"locator {name}"))
        for name in ("one", "two")
    ]
    rest = locators if family == "msvc" else [*types, *names]
    size = 8 if family == "msvc" else 16
    made = Dll(
        code=(
            function("method", b"\x31\xc0", RET),
            function("maker", ("lea", f"head one+{size}"), ("lea rcx", f"head two+{size}"), RET),
        ),
        constants=(*rest, *tables),
    )
    return made.side()


@pytest.mark.parametrize(("family", "size"), [("msvc", 8), ("itanium", 16)])
def test_a_virtual_table_comes_with_what_lies_in_front(family: str, size: int) -> None:
    side = _classes(family)
    tables = sorted(int(rva) for rva in side.atoms.start[side.atoms.heads])
    assert len(tables) == 2
    for start in tables:
        assert _object(side, start + size) == Interval(start, start + size + 8)
        assert _object(side, start) == Interval(start, start + size + 8)
