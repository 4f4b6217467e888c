"""Which functions run only while an image is loaded, and where the lists of initialisers are."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from hpbuild.match.sides import prepare
from hpbuild.pe.symbols import SymbolKind
from hpbuild.plan.startup import Startup, startup
from tests.assembled import RET, Dll, Item, Part, datum, function, symbol

EMPTY = bytes(8)
MINUS_ONE = struct.pack("<q", -1)
TAIL: tuple[Item, ...] = (
    function("api", ("call", "shared"), b"\x8b\xc1", RET),
    function("shared", b"\x8b\xc1\x8b\xd1", RET, exported=False),
    function("first", b"\x33\xc0", RET, exported=False),
    function("second", b"\x33\xc9", RET, exported=False),
)


def program(walk: tuple[Part, ...], table: tuple[Part, ...], dll: bool = True) -> Dll:
    """A DLL whose entry point runs ``walk`` and calls ``walker``, with ``table`` among its constants."""
    return Dll(
        code=(
            function("start", ("call", "walker"), ("call", "shared"), RET, exported=False),
            function("walker", *walk, RET, exported=False),
            *TAIL,
        ),
        constants=(
            datum("text", b"abcdefg\0"),
            datum("list", *table),
            datum("end", EMPTY),
            datum("more", b"12345678"),
        ),
        entry="start",
        dll=dll,
    )


BOTH: tuple[Part, ...] = (("lea", "list"), ("lea", "end"))
LIST: tuple[Part, ...] = (EMPTY, ("pointer", "first"), ("pointer", "second"))


def asked(made: Dll) -> Startup:
    return startup(prepare(made.program()))


def lists(made: Dll) -> list[tuple[int, list[str]]]:
    side = prepare(made.program())
    names = {address: name for name, address in made.labels().items()}
    start = side.program.fragments.start
    return [
        (int(item.range.start) - made.labels()["list"], [names[int(start[root])] for root in item.entries])
        for item in startup(side).lists
    ]


def only(made: Dll) -> set[str]:
    """Labels of the functions that run only at the start."""
    side = prepare(made.program())
    answers = startup(side)
    return {
        item.label for item in made.code if answers.only(side.program.fragment_at(made.labels()[item.label]))
    }


def test_what_the_entry_point_alone_calls() -> None:
    assert only(program((b"\x8b\xc1",), (b"12345678",))) == {"start", "walker"}


def test_the_entry_point_of_a_program_runs_all_of_it() -> None:
    assert only(program((b"\x8b\xc1",), (b"12345678",), dll=False)) == set()


def test_a_list_between_two_names() -> None:
    made = program(BOTH, LIST)
    assert lists(made) == [(0, ["first", "second"])]
    assert only(made) == {"start", "walker", "first", "second"}


def test_a_list_in_a_program_is_one_too() -> None:
    made = program(BOTH, LIST, dll=False)
    assert lists(made) == [(0, ["first", "second"])]
    assert only(made) == {"first", "second"}


def test_a_list_behind_minus_one() -> None:
    """GNU's: the count or -1, the functions, an empty slot."""
    made = program((("lea", "list"),), (MINUS_ONE, ("pointer", "first"), ("pointer", "second")))
    assert lists(made) == [(0, ["first", "second"])]


@pytest.mark.parametrize(
    ("walk", "table"),
    [
        ((("lea", "list"),), LIST),  # nobody names its end
        ((("lea", "end"),), LIST),  # nor its start
        (BOTH, (b"12345678", ("pointer", "first"), ("pointer", "second"))),  # something before it
        (BOTH, (("pointer", "first"), ("pointer", "second"))),  # a table of functions: a class has one
        ((b"\x8b\xc1",), (MINUS_ONE, ("pointer", "first"), ("pointer", "second"))),  # nobody uses it
    ],
)
def test_tables_that_are_no_lists(walk: tuple[Part, ...], table: tuple[Part, ...]) -> None:
    made = program(walk, table)
    assert lists(made) == []
    assert not only(made) & {"first", "second"}


def test_a_table_that_other_code_uses_is_no_list() -> None:
    """An exported function walks it."""
    made = program((b"\x8b\xc1",), LIST)
    api = function("api", *BOTH, ("call", "shared"), RET)
    used = Dll(code=(*made.code[:2], api, *TAIL[1:]), constants=made.constants, entry="start", dll=True)
    assert lists(used) == []


def test_a_list_by_its_name() -> None:
    made = program((("lea", "list"),), LIST)
    named = made.program(
        symbol("__xc_a", made.labels()["list"], SymbolKind.DATA), symbol("x", made.labels()["api"])
    )
    assert [item.range.start for item in startup(prepare(named)).lists] == [made.labels()["list"]]
    other = made.program(
        symbol("handlers", made.labels()["list"], SymbolKind.DATA), symbol("x", made.labels()["api"])
    )
    assert startup(prepare(other)).lists == ()


def test_a_function_whose_address_is_taken_may_run_later() -> None:
    assert "first" in only(program((("call", "first"), ("call", "second")), (b"12345678",)))
    taken = only(program((("lea", "first"), ("call", "first"), ("call", "second")), (b"12345678",)))
    assert taken == {"start", "walker", "second"}


def test_an_address_that_a_filter_takes_is_only_compared() -> None:
    """Microsoft's start of a DLL has an exception filter that takes the address of what it calls."""
    plain = program((b"\x8b\xc1",), (b"12345678",))
    made = Dll(
        code=(*plain.code[:-1], function("second", ("lea", "walker"), RET, exported=False)),
        constants=plain.constants,
        entry="start",
    )
    analysed, labels = made.program(), made.labels()
    walker = analysed.fragment_at(labels["walker"])
    assert not startup(prepare(analysed)).only(walker)
    exceptions = replace(analysed.exceptions, funclets=frozenset({labels["second"]}))
    assert startup(prepare(replace(analysed, exceptions=exceptions))).only(walker)


def test_a_list_that_is_found_through_a_pointer() -> None:
    """GNU's compiler reads the address of the list from a constant of its own."""
    plain = program((("load", "pointer"),), (MINUS_ONE, ("pointer", "first"), ("pointer", "second")))
    made = replace(plain, constants=(*plain.constants, datum("pointer", ("pointer", "list"))))
    assert lists(made) == [(0, ["first", "second"])]


def test_a_copy_of_the_walker_that_nothing_calls_does_not_count() -> None:
    """The compiler inlined it and left the original behind."""
    plain = program(BOTH, LIST)
    made = replace(plain, code=(*plain.code, function("walker2", b"\x8b\xd8", *BOTH, RET, exported=False)))
    assert lists(made) == [(0, ["first", "second"])]


def test_functions_that_call_each_other_do_not_hang() -> None:
    made = Dll(
        code=(
            function("start", ("call", "one"), RET, exported=False),
            function("one", ("call", "two"), RET, exported=False),
            function("two", b"\x8b\xc1", ("call", "one"), RET, exported=False),
            function("api", b"\x8b\xd1", RET),
        ),
        entry="start",
    )
    assert only(made) == {"start", "one", "two"}


@pytest.mark.parametrize("length", [3, 200])
@pytest.mark.parametrize("later", [False, True])
def test_callers_behind_each_other(length: int, later: bool) -> None:
    """From a caller to its caller, however many there are."""
    chain = [
        function(
            f"f{number}",
            b"\x05" + number.to_bytes(4, "little"),
            ("call", f"f{number + 1}"),
            RET,
            exported=False,
        )
        for number in range(length)
    ]
    made = Dll(
        code=(
            function("start", ("call", "f0"), RET, exported=False),
            *chain,
            function(f"f{length}", b"\x8b\xc1", RET, exported=False),
            function("api", b"\x8b\xd1", *((("call", "f0"),) if later else ()), RET),
        ),
        entry="start",
    )
    side = prepare(made.program())
    last = side.program.fragment_at(made.labels()[f"f{length}"])
    assert startup(side).only(last) is not later
    assert only(made) == ({"start"} if later else {"start", *(f"f{number}" for number in range(length + 1))})


def test_many_are_asked_at_once() -> None:
    side = prepare(program(BOTH, LIST).program())
    answers = startup(side)
    roots = np.unique(side.program.fragments.root)
    assert answers.only_of(roots).tolist() == [startup(side).only(root) for root in roots.tolist()]


def test_an_image_without_an_entry_point_has_none() -> None:
    made = Dll(code=(function("api", RET),))
    assert asked(made).entry == -1
    assert asked(made).roots == frozenset()
