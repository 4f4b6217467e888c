"""Where functions that are equal but for constant arguments differ."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.match import line_sites as module
from hpbuild.match.funnel import pair_fragments
from hpbuild.match.line_only import line_sites, without_lines
from hpbuild.match.line_sites import Site, Walks, differing_constants, differing_sites, equal_sites
from hpbuild.match.sides import prepare
from tests.assembled import RET, Dll, Part, datum, function
from tests.comparing import PAIRS, example, program

CHECK = function("check", b"\xb8\x01\0\0\0", RET)
"""mov eax, 1; ret"""


def dll(*parts: Part, check: str = "check", more: tuple[Part, ...] = (b"\xba\x05\0\0\0",)) -> Dll:
    """``f`` as given; ``g``, which passes 5 to ``check``."""
    return Dll(
        code=(
            CHECK,
            function("f", *parts, RET),
            function("g", *more, ("call", check), RET),
            function("other", b"\x31\xc0", RET),
        ),
        constants=(datum("name", b"file.c\0"), datum("name2", b"file.h\0")),
    )


def line(value: int) -> bytes:
    """mov r8d, value"""
    return b"\x41\xb8" + struct.pack("<I", value)


def sites(baseline: Dll, fixed: Dll) -> list[Site]:
    left, right = fixed.side(), baseline.side()
    pairing = pair_fragments(left, right)
    return [
        each
        for found in differing_sites(left, right, pairing, differing_constants(left, right, pairing)).values()
        for each in found
    ]


def test_a_constant_that_differs() -> None:
    baseline = dll(("lea rdx", "name"), line(77), ("call", "check"))
    fixed = dll(("lea rdx", "name"), line(80), ("call", "check"))
    (found,) = sites(baseline, fixed)
    places = fixed.labels()
    start = places["f"]
    assert (found.old, found.new, found.position) == (77, 80, 2)
    assert (found.fixed, found.baseline, found.call) == (start + 9, start + 9, start + 13)
    assert (found.callee, found.addresses) == (places["check"], ((1, places["name"]),))


def test_equal_programs_have_none() -> None:
    made = dll(line(77), ("call", "check"))
    assert sites(made, made) == []


@pytest.mark.parametrize(
    "parts",
    [
        (b"\xb9\x02\0\0\0", line(80), ("call", "check"), b"\x90"),  # another size
        (b"\xb9\x02\0\0\0", line(80), ("call", "check"), b"\x31\xc9"),  # another instruction
        (b"\xb0\x02\x90\x90\x90", line(80), ("call", "check"), b"\x31\xc0"),  # another one before
        (b"\xb9\x02\0\0\0", line(80), ("jump", "check"), b"\x31\xc0"),  # no call any more
        (b"\xb9\x02\0\0\0", b"\x41\xb9\x50\0\0\0", ("call", "check"), b"\x31\xc0"),  # another argument
    ],
)
def test_any_other_difference(parts: tuple[Part, ...]) -> None:
    baseline = dll(b"\xb9\x02\0\0\0", line(77), ("call", "check"), b"\x31\xc0")
    assert sites(baseline, dll(*parts)) == []
    assert len(sites(baseline, dll(b"\xb9\x02\0\0\0", line(80), ("call", "check"), b"\x31\xc0"))) == 2


def test_references_of_another_kind() -> None:
    """lea and mov differ in a byte that no argument covers; so do the fields of a call and a jump."""
    baseline = dll(line(77), ("call", "check"), ("load", "name"))
    assert sites(baseline, dll(line(80), ("call", "check"), ("store", "name"))) == []


def test_address_and_number_of_the_same_bytes() -> None:
    """mov rax, address; and mov rax, 0: the field of an address counts as zeros."""

    def made(value: int, what: Part) -> Dll:
        return dll(line(value), ("call", "check"), b"\x48\xb8", what)

    number, address = bytes(8), ("pointer", "name")
    assert len(sites(made(77, address), made(80, address))) == 1
    assert sites(made(77, address), made(80, number)) == []
    assert sites(made(77, number), made(80, address)) == []


def test_function_that_is_shorter_and_equal_that_far() -> None:
    def made(value: int, *more: Part) -> Dll:
        one = dll(line(value), ("call", "check"), RET, *more)
        return Dll(code=one.code, constants=one.constants, unwound=("f",))

    longer, shorter = (b"\x31\xc0",), (b"",)
    assert len(sites(made(77, *longer), made(80, *longer))) == 1
    assert sites(made(77, *longer), made(80, *shorter)) == []
    assert sites(made(77, *shorter), made(80, *longer)) == []


def test_constant_that_is_no_argument() -> None:
    """mov esi, 77; mov [rdi], esi; and mov eax, 77; ret."""
    for code in (b"\xbe%b\x89\x37", b"\xb8%b"):
        made = [dll(code % struct.pack("<I", value), ("call", "check")) for value in (77, 80)]
        made = made if code[0] == 0xBE else [dll(code % struct.pack("<I", value)) for value in (77, 80)]
        assert sites(*made) == []


def test_constant_that_is_passed_twice_is_told_twice() -> None:
    """mov ebx, 77; mov r8d, ebx; call check; mov ecx, ebx; mov edx, ebx; call other."""

    def made(value: int) -> Dll:
        first = b"\xbb" + struct.pack("<I", value) + b"\x41\x89\xd8"
        return dll(first, ("call", "check"), b"\x89\xd9\x89\xda", ("call", "other"), b"\xbb\0\0\0\0")

    found = sites(made(77), made(80))
    assert [each.position for each in found if each.old == 77] == [2, 0, 1]
    assert len({each.fixed for each in found if each.old == 77}) == 1


def test_equal_callers_of_a_callee() -> None:
    made = dll(line(77), ("call", "check"), line(78), ("call", "other"))
    left, places = made.side(), made.labels()
    pairing = pair_fragments(left, left)
    found = equal_sites(Walks(left, left, pairing), [places["check"]])
    assert found is not None
    assert sorted((each.position, each.new) for each in sum(found.values(), ())) == [(1, 5), (2, 77)]
    assert equal_sites(Walks(left, left, pairing), [places["f"]]) == {}


def test_equal_users_of_a_text() -> None:
    made = dll(("lea rdx", "name"), line(77), ("call", "check"), line(78), ("call", "other"))
    left, places = made.side(), made.labels()
    pairing = pair_fragments(left, left)
    found = equal_sites(Walks(left, left, pairing), texts=[places["name"]])
    assert found is not None
    assert [(each.position, each.new) for each in sum(found.values(), ())] == [(2, 77)]
    assert equal_sites(Walks(left, left, pairing), texts=[places["name2"]]) == {}
    assert equal_sites(Walks(left, left, pairing)) == {}


def test_too_many_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = dll(line(77), ("call", "check"))
    left = made.side()
    pairing = pair_fragments(left, left)
    monkeypatch.setattr(module, "MAX_CALLERS", 1)
    assert equal_sites(Walks(left, left, pairing), [made.labels()["check"]]) is None


@pytest.mark.parametrize("pair", PAIRS[:3])
def test_a_program_with_itself(pair: str) -> None:
    side = prepare(program(example(pair, "fixed"), "none"))
    found = line_sites(side, side, pair_fragments(side, side))
    assert (found.fixed, found.baseline, found.fragments) == ((), (), frozenset())
    assert without_lines(side, found.fixed) is side


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 0xFFFFFFFF), min_size=1, max_size=4), st.data())
def test_masks_make_forms_equal(old: list[int], data: st.DataObject) -> None:
    """Whatever the values, and only in the functions that hold them."""
    new = data.draw(st.lists(st.integers(1, 0xFFFFFFFF), min_size=len(old), max_size=len(old)))

    def made(values: list[int]) -> Dll:
        parts: list[Part] = []
        for value in values:
            parts += [line(value), ("call", "check")]
        return dll(*parts)

    left, right = made(new).side(), made(old).side()
    pairing = pair_fragments(left, right)
    found = [
        each
        for some in differing_sites(left, right, pairing, differing_constants(left, right, pairing)).values()
        for each in some
    ]
    assert bool(found) is (old != new)
    ours = without_lines(left, [each.fixed for each in found])
    theirs = without_lines(right, [each.baseline for each in found])
    assert ours.forms[pairing.fixed >= 0].tolist() == theirs.forms[pairing.fixed[pairing.fixed >= 0]].tolist()
    assert int((ours.forms != left.forms).sum()) == int(bool(found))
