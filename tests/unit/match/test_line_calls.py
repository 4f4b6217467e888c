"""Who is called, through which doors, and whether all calls are known."""

import pytest

from hpbuild.match.funnel import pair_fragments
from hpbuild.match.line_calls import Calls, by_file, doors, groups, imported
from hpbuild.match.line_sites import Site, Walks, equal_sites
from tests.assembled import RET, Dll, Part, datum, function

LINE = b"\x41\xb8\x4d\0\0\0"
"""mov r8d, 77"""


def dll(*parts: Part, more: tuple[Part, ...] = ()) -> Dll:
    return Dll(
        code=(
            function("f", b"\x31\xc0", *parts, RET),
            function("g", b"\x31\xc9", *more, RET),
            function("thunk", ("jump slot", "import report")),
            function("own", b"\xb8\x01\0\0\0", RET),
        ),
        constants=(datum("name", b"file.c\0"), datum("name2", b"file.h\0"), datum("text", b"text\0")),
        imports=("report", "other"),
    )


def test_doors_of_a_function() -> None:
    made = dll()
    side, places = made.side(), made.labels()
    slot, thunk = places["import report"], places["thunk"]
    assert imported(side, slot) == imported(side, thunk) == "library.dll!report"
    assert doors(side, slot) == doors(side, thunk) == {slot, thunk}
    assert doors(side, places["import other"]) == {places["import other"]}
    assert imported(side, places["own"]) == ""
    assert doors(side, places["own"]) == {places["own"]}


@pytest.mark.parametrize("rva", [-1, 0xFFFFFFF, 0x7FFFFFFF])
def test_callee_outside_of_the_image(rva: int) -> None:
    side = dll().side()
    assert imported(side, rva) == ""
    assert doors(side, rva) == {rva}


def test_end_of_the_image() -> None:
    side = dll().side()
    assert imported(side, side.program.image.size_of_image - 1) == ""


def site(fragment: int, callee: int, *addresses: tuple[int, int], old: int = 77, new: int = 80) -> Site:
    return Site(
        fragment=fragment, fixed=16, baseline=16, new=new, old=old, position=2, call=20, callee=callee,
        addresses=addresses,
    )  # fmt: skip


def test_sites_by_file() -> None:
    made = dll()
    side, places = made.side(), made.labels()
    name, other, text = places["name"], places["name2"], places["text"]
    rows = [
        site(0, 1, (1, name)),
        site(1, 1, (1, other)),
        site(2, 1, (1, name), (1, other)),  # one of two
        site(3, 1, (0, name)),
        site(4, 1, (1, text)),
        site(5, 1),
    ]
    found = by_file(side, rows, 1)
    assert {name: [each.fragment for each in some] for name, some in found.items()} == {
        "file.c": [0],
        "file.h": [1],
        "": [2, 3, 4, 5],
    }


def test_changed_calls_are_of_known_functions() -> None:
    side = dll().side()
    rows = [site(0, 0x1000), site(0, -1), site(0, 0x2000, new=77), site(0, 0x3000), site(1, 0x3000, new=77)]
    calls = Calls(side, side, pair_fragments(side, side), frozenset(), groups(rows))
    assert calls.changed() == [(0x3000, 2), (0x1000, 2)]


REPORT: Part = ("call slot", "import report")
HOLD: Part = ("hold", "import report")
"""mov rbx, [slot]; the calls are call rbx"""
HELD = b"\xff\xd3"


@pytest.mark.parametrize(
    ("more", "every", "held"),
    [
        ((LINE, REPORT), True, True),
        ((LINE, ("call", "thunk")), True, True),
        ((REPORT,), False, False),
        ((("call", "thunk"),), False, False),
        ((LINE, ("jump slot", "import report")), True, True),
        ((("jump slot", "import report"),), False, False),
        ((("lea rcx", "thunk"),), False, False),
        ((HOLD, LINE, HELD), False, True),
        ((HOLD, LINE, HELD, HELD), False, False),
        ((HOLD, LINE, HELD, ("call", "own")), False, True),  # the other call's field lies near
        ((HOLD, LINE, REPORT), False, False),  # where does it go?
        ((HOLD,), False, False),
        ((HOLD, b"\xff\xe0", LINE, HELD), False, True),  # jmp rax, and behind it nothing is known
        ((HOLD, b"\x48\x89\xd9", LINE, b"\xff\xd1"), False, True),  # mov rcx, rbx; call rcx
        ((("lea rcx", "import report"), LINE, REPORT), False, False),
        ((("lea rcx", "import report"), LINE, HELD), False, False),  # the slot itself, for somebody to change
    ],
)
def test_every_call(more: tuple[Part, ...], every: bool, held: bool) -> None:
    made = dll(LINE, REPORT, more=more)
    side, places = made.side(), made.labels()
    pairing = pair_fragments(side, side)
    through = doors(side, places["import report"])
    sites = equal_sites(Walks(side, side, pairing), through)
    assert sites is not None
    rows = [each for some in sites.values() for each in some]
    calls = Calls(side, side, pairing, frozenset(), groups(rows))
    assert calls.every_call(through, rows, held=False) is every
    assert calls.every_call(through, rows, held=True) is held


def test_functions_that_differ_count_when_they_are_candidates() -> None:
    """``g`` calls without a constant; it has no partner."""
    made = dll(LINE, REPORT, more=(REPORT,))
    side, places = made.side(), made.labels()
    pairing = pair_fragments(side, side)
    g = side.program.fragment_at(places["g"])
    pairing.fixed[g] = -1
    through = doors(side, places["import report"])
    rows = [
        each for some in (equal_sites(Walks(side, side, pairing), through) or {}).values() for each in some
    ]
    for candidates, every in ((frozenset[int](), True), (frozenset((g,)), False)):
        calls = Calls(side, side, pairing, candidates, groups(rows))
        assert calls.every_call(through, rows, held=True) is every
