"""Which atoms of data are one object, and who uses them."""

from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.match.sides import Side, prepare
from hpbuild.plan.objects import Objects, extent, users
from hpbuild.values import Interval

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
