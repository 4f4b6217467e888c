"""MSVC's type information and throw descriptions, made by hand."""

import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.model import FieldForm, Program
from hpbuild.code.rtti import (
    locator_sites,
    old_locator,
    old_locators,
    throw_sites,
    thrown_functions,
    throws_in_runs,
    throws_within,
)
from hpbuild.pe.image import IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE, Image

CONST, CODE, END = 0x3000, 0x1000, 0x4000
LOCATOR, HIERARCHY, ARRAY, BASE, TYPE = (
    CONST + 0x20,
    CONST + 0x100,
    CONST + 0x200,
    CONST + 0x300,
    CONST + 0x400,
)
THROW, TYPES, ENTRY = CONST + 0x500, CONST + 0x600, CONST + 0x700
Make = Callable[[bytes], Image]
Tables = dict[int, bytes]


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *(value & 0xFFFFFFFF for value in values))


def page(tables: Tables) -> bytes:
    content = bytearray(0x1000)
    for rva, table in tables.items():
        content[rva - CONST : rva - CONST + len(table)] = table[: END - rva]
    return bytes(content)


def locator(
    place: int = LOCATOR, hierarchy: int = HIERARCHY, *, signature: int = 1, itself: int = 0
) -> bytes:
    """signature, offset in the object, offset of the constructor's, type, hierarchy, itself"""
    return words(signature, 8, 4, TYPE, hierarchy, itself or place)


def hierarchy(count: int, array: int) -> bytes:
    """signature, attributes, number of bases, their array"""
    return words(0, 1, count, array)


def base(onward: int, *, attributes: int = 0x40, kind: int = TYPE) -> bytes:
    """type, contained bases, three displacements, attributes, hierarchy"""
    return words(kind, 0, 0, -1, 0, attributes, onward)


ONE: Tables = {
    LOCATOR: locator(),
    HIERARCHY: hierarchy(1, ARRAY),
    ARRAY: words(BASE),
    BASE: base(HIERARCHY),
}
ONE_FIELDS = {
    (LOCATOR + 12, TYPE),
    (LOCATOR + 16, HIERARCHY),
    (LOCATOR + 20, LOCATOR),
    (HIERARCHY + 12, ARRAY),
    (ARRAY, BASE),
    (BASE, TYPE),
    (BASE + 24, HIERARCHY),
}
LOCATOR_FIELDS = {row for row in ONE_FIELDS if LOCATOR <= row[0] < LOCATOR + 24}


def located(make: Make, tables: Tables) -> set[tuple[int, int]]:
    """The sites, each of them told once and with what it holds."""
    image = make(page(tables))
    rows = list(locator_sites(image))
    assert len(rows) == len({site for site, _ in rows})
    assert all(image.u32(site) == target for site, target in rows)
    return set(rows)


def test_class_without_other_bases(with_constants: Make) -> None:
    """The first base of every class is the class itself: its hierarchy leads back."""
    assert located(with_constants, ONE) == ONE_FIELDS


@pytest.mark.parametrize("place", [CONST, CONST + 4, END - 24])
def test_locator_anywhere_in_constants(with_constants: Make, place: int) -> None:
    tables = {row: content for row, content in ONE.items() if row != LOCATOR}
    fields = located(with_constants, tables | {place: locator(place)})
    moved = {(site - LOCATOR + place, target) for site, target in LOCATOR_FIELDS if target != LOCATOR}
    assert fields == ONE_FIELDS - LOCATOR_FIELDS | moved | {(place + 20, place)}


@pytest.mark.parametrize("attributes", [0, 1, 0x3F, 0xFFFFFFBF])
def test_base_without_hierarchy(with_constants: Make, attributes: int) -> None:
    """Without the attribute the descriptor is four bytes shorter: what follows is something else."""
    fields = located(with_constants, ONE | {BASE: base(HIERARCHY, attributes=attributes)})
    assert fields == ONE_FIELDS - {(BASE + 24, HIERARCHY)}


def test_class_with_bases_that_others_share(with_constants: Make) -> None:
    """Two classes with one common base; its descriptor and its hierarchy are told once."""
    second, hierarchy2, array2, base2 = (at + 0x40 for at in (LOCATOR, HIERARCHY, ARRAY, BASE))
    common, hierarchy3, array3 = BASE + 0x80, HIERARCHY + 0x80, ARRAY + 0x80
    tables = {
        LOCATOR: locator(),
        second: locator(second, hierarchy2),
        HIERARCHY: hierarchy(2, ARRAY),
        hierarchy2: hierarchy(2, array2),
        hierarchy3: hierarchy(1, array3),
        ARRAY: words(BASE, common),
        array2: words(base2, common),
        array3: words(common),
        BASE: base(HIERARCHY),
        base2: base(hierarchy2),
        common: base(hierarchy3, kind=TYPE + 0x40),
    }
    assert located(with_constants, tables) == ONE_FIELDS | {
        (second + 12, TYPE),
        (second + 16, hierarchy2),
        (second + 20, second),
        (hierarchy2 + 12, array2),
        (hierarchy3 + 12, array3),
        (ARRAY + 4, common),
        (array2, base2),
        (array2 + 4, common),
        (array3, common),
        (base2, TYPE),
        (base2 + 24, hierarchy2),
        (common, TYPE + 0x40),
        (common + 24, hierarchy3),
    }


def test_two_locators_of_one_class(with_constants: Make) -> None:
    """One for each virtual table; the hierarchy is the same."""
    other = LOCATOR + 0x18
    fields = located(with_constants, ONE | {other: locator(other)})
    assert fields == ONE_FIELDS | {(other + 12, TYPE), (other + 16, HIERARCHY), (other + 20, other)}


def test_hierarchies_that_lead_in_a_circle(with_constants: Make) -> None:
    """Only damage makes that; it ends."""
    other, base2 = HIERARCHY + 0x40, BASE + 0x40
    tables = ONE | {
        BASE: base(other),
        other: hierarchy(2, ARRAY + 0x40),
        ARRAY + 0x40: words(base2, BASE),
        base2: base(HIERARCHY),
    }
    fields = located(with_constants, tables)
    assert {(BASE + 24, other), (other + 12, ARRAY + 0x40), (base2 + 24, HIERARCHY)} <= fields
    assert {(ARRAY + 0x40, base2), (ARRAY + 0x44, BASE)} <= fields


@pytest.mark.parametrize(
    "fake",
    [
        locator(signature=0),  # the form for 32 bits, where these are pointers
        locator(signature=2),
        locator(signature=0x10001),
        locator(itself=LOCATOR + 4),
        locator(itself=LOCATOR - 4),
        locator(itself=0x10000 + LOCATOR),
        locator()[:20],
        locator()[4:] + words(1),
        words(1, 8, 4, TYPE, LOCATOR, HIERARCHY),
        words(LOCATOR) * 5,
    ],
)
def test_what_only_looks_like_a_locator(with_constants: Make, fake: bytes) -> None:
    assert located(with_constants, ONE | {LOCATOR: fake.ljust(24, b"\0")}) == set()


def test_locator_that_is_not_aligned(with_constants: Make) -> None:
    place = LOCATOR + 2
    assert located(with_constants, {HIERARCHY: ONE[HIERARCHY], place: locator(place)}) == set()


def test_first_words_of_the_section_are_no_end_of_a_locator(with_constants: Make) -> None:
    """A word that holds the place 20 bytes before it, with nothing of a locator in front."""
    for at in range(0, 20, 4):
        assert located(with_constants, {CONST + at: words(CONST + at - 20), END - 20 + at: words(1)}) == set()


@pytest.mark.parametrize("flag", [IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE])
def test_locators_lie_in_constants_only(with_constants: Make, flag: int) -> None:
    image = with_constants(page(ONE))
    sections = tuple(
        replace(section, characteristics=section.characteristics | flag) for section in image.sections
    )
    assert list(locator_sites(image)) != []
    assert list(locator_sites(replace(image, sections=sections))) == []


def test_constants_too_small_for_a_locator(build: Callable[..., Image]) -> None:
    image = build(text=b"\xc3", const=locator(CONST)[:16])
    sections = tuple(replace(section, raw_size=min(section.raw_size, 20)) for section in image.sections)
    assert list(locator_sites(replace(image, sections=sections))) == []


@pytest.mark.parametrize("count", [4097, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 0x381])
def test_more_bases_than_there_is_room_for(with_constants: Make, count: int) -> None:
    """The locator is one all the same; its hierarchy is left alone."""
    assert located(with_constants, ONE | {HIERARCHY: hierarchy(count, ARRAY)}) == LOCATOR_FIELDS


@pytest.mark.parametrize(("count", "accepted"), [(4096, True), (4097, False)])
def test_more_bases_than_any_class_has(build: Callable[..., Image], count: int, accepted: bool) -> None:
    """Though there is room."""
    content = locator(CONST, CONST + 24) + hierarchy(count, CONST + 40) + words(0) * count
    rows = list(locator_sites(build(text=b"\xc3", const=content)))
    assert len(rows) == (3 + 1 + count if accepted else 3)


@pytest.mark.parametrize("wrong", [0, 0x100, CODE, CODE - 1, END - 3, END, 0x7FFFFFFF, 0xFFFFFFFF])
def test_addresses_that_lead_out_of_constants(with_constants: Make, wrong: int) -> None:
    assert located(with_constants, ONE | {LOCATOR: locator(hierarchy=wrong)}) == {
        (LOCATOR + 12, TYPE),
        (LOCATOR + 16, wrong),
        (LOCATOR + 20, LOCATOR),
    }
    assert located(with_constants, ONE | {HIERARCHY: hierarchy(1, wrong)}) == LOCATOR_FIELDS
    fields = located(with_constants, ONE | {BASE: base(wrong)})
    assert fields == ONE_FIELDS - {(BASE + 24, HIERARCHY)} | {(BASE + 24, wrong)}
    fields = located(with_constants, ONE | {ARRAY: words(wrong)})
    assert not {site for site, _ in fields} & set(range(BASE, BASE + 28))


def test_no_base_at_all(with_constants: Make) -> None:
    fields = located(with_constants, ONE | {HIERARCHY: hierarchy(0, ARRAY)})
    assert fields == LOCATOR_FIELDS | {(HIERARCHY + 12, ARRAY)}


def test_hierarchies_that_share_one_long_array(build: Callable[..., Image]) -> None:
    """Thousands of hierarchies with the same thousands of rows must not multiply."""
    content = bytearray(0x2000 * 4)
    array, many = CONST + 0x4000, 400
    for n in range(many):
        at = CONST + 40 * n
        content[40 * n : 40 * n + 40] = locator(at, at + 24) + hierarchy(0x1000 - n, array + 4 * (n % 2))
    rows = list(locator_sites(build(text=b"\xc3", const=bytes(content))))
    assert len(rows) == len({site for site, _ in rows}), "each site is told once"
    assert len(rows) <= 4 * many + 0x1001


@given(st.dictionaries(st.sampled_from([HIERARCHY, ARRAY, BASE, BASE + 20]), st.binary(max_size=32)))
def test_any_bytes_behind_a_locator(with_constants: Make, changes: Tables) -> None:
    image = with_constants(page(ONE | changes))
    for site, target in locator_sites(image):
        assert image.u32(site) == target


@given(
    st.lists(
        st.sampled_from([0, 1, 2, 0x40, HIERARCHY, ARRAY, ARRAY + 8, BASE, BASE + 4]),
        min_size=1,
        max_size=200,
    )
)
def test_any_net_of_classes(with_constants: Make, values: list[int]) -> None:
    image = with_constants(page(ONE | {HIERARCHY: hierarchy(200, ARRAY), ARRAY: words(*values)}))
    rows = list(locator_sites(image))
    assert {row for row in rows if row[0] < LOCATOR + 24} == LOCATOR_FIELDS
    assert len(rows) < 0x1000


def type_descriptor(name: bytes = b".?AVError@@") -> bytes:
    """virtual table, spare, decorated name"""
    return bytes(16) + name + b"\0"


def throw(array: int, *, attributes: int = 0, destructor: int = 0, spare: int = 0) -> bytes:
    return words(attributes, destructor, spare, array)


def catchable(copy: int = 0, *, kind: int = TYPE) -> bytes:
    """properties, type, three displacements, size, copy constructor"""
    return words(0, kind, 0, -1, 0, 24, copy)


THROWN: Tables = {
    THROW: throw(TYPES),
    TYPES: words(1, ENTRY),
    ENTRY: catchable(),
    TYPE: type_descriptor(),
}
THROWN_FIELDS = {(THROW + 12, TYPES), (TYPES + 4, ENTRY), (ENTRY + 4, TYPE)}


def thrown(make: Make, tables: Tables, *candidates: int) -> set[tuple[int, int]]:
    image = make(page(tables))
    rows = list(throw_sites(image, np.array(candidates or (THROW,), dtype=np.int64)))
    assert all(image.u32(site) == target for site, target in rows)
    return set(rows)


@pytest.mark.parametrize("attributes", range(8))
def test_throw_of_one_type(with_constants: Make, attributes: int) -> None:
    """const, volatile, unaligned"""
    assert thrown(with_constants, THROWN | {THROW: throw(TYPES, attributes=attributes)}) == THROWN_FIELDS


def test_throw_with_destructor_and_copy_constructor(with_constants: Make) -> None:
    tables = THROWN | {THROW: throw(TYPES, destructor=CODE + 1), ENTRY: catchable(CODE + 2)}
    expected = THROWN_FIELDS | {(THROW + 4, CODE + 1), (ENTRY + 24, CODE + 2)}
    assert thrown(with_constants, tables) == expected


def test_throw_of_several_types(with_constants: Make) -> None:
    """The thrown type and its bases; each has its own description."""
    second, kind = ENTRY + 0x40, TYPE + 0x40
    tables = THROWN | {
        TYPES: words(2, ENTRY, second),
        second: catchable(CODE, kind=kind),
        kind: type_descriptor(b".?AVexception@std@@"),
    }
    assert thrown(with_constants, tables) == THROWN_FIELDS | {
        (TYPES + 8, second),
        (second + 4, kind),
        (second + 24, CODE),
    }


def test_throw_among_other_candidates(with_constants: Make) -> None:
    others = (0, 4, CODE, TYPES, ENTRY, TYPE, THROW, THROW + 1, THROW + 4, END - 4, END, 1 << 31, -1)
    assert thrown(with_constants, THROWN, *others) == THROWN_FIELDS
    assert thrown(with_constants, THROWN, *(at for at in others if at != THROW)) == set()


def test_no_candidates(with_constants: Make) -> None:
    assert list(throw_sites(with_constants(page(THROWN)), np.zeros(0, dtype=np.int64))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {THROW: throw(TYPES, attributes=8)},
        {THROW: throw(TYPES, attributes=0xFFFFFFFF)},
        {THROW: throw(TYPES, spare=CODE)},
        {THROW: throw(TYPES + 1)},
        {THROW: throw(0)},
        {THROW: throw(CODE)},
        {THROW: throw(END - 4)},
        {THROW: throw(END)},
        {THROW: throw(0xFFFFFFFC)},
        {TYPES: words(0, ENTRY)},
        {TYPES: words(257, ENTRY)},
        {TYPES: words(0xFFFFFFFF, ENTRY)},
        {TYPES: words(1, ENTRY + 2)},
        {TYPES: words(1, 0)},
        {TYPES: words(1, CODE)},
        {TYPES: words(1, END - 24)},
        {TYPES: words(1, 0xFFFFFFFC)},
        {TYPES: words(2, ENTRY, 0)},
        {ENTRY: catchable(kind=0)},
        {ENTRY: catchable(kind=TYPE + 1)},
        {ENTRY: catchable(kind=END - 17)},
        {ENTRY: catchable(kind=0xFFFFFFF0)},
        {TYPE: type_descriptor(b"?AVError@@")},
        {TYPE: type_descriptor(b"")},
    ],
)
def test_what_only_looks_like_a_throw(with_constants: Make, changes: Tables) -> None:
    assert thrown(with_constants, THROWN) == THROWN_FIELDS
    assert thrown(with_constants, THROWN | changes) == set()


def test_structures_of_a_throw_are_aligned(with_constants: Make) -> None:
    for step in (1, 2, 3):
        assert (
            thrown(with_constants, THROWN | {THROW: b"", THROW + step: throw(TYPES)}, THROW + step) == set()
        )
        moved = {ENTRY: b"", ENTRY + step: catchable(), TYPES: words(1, ENTRY + step)}
        assert thrown(with_constants, THROWN | moved) == set()
        moved = {TYPES: b"", TYPES + step: words(1, ENTRY), THROW: throw(TYPES + step)}
        assert thrown(with_constants, THROWN | moved) == set()


def test_name_of_a_type_at_the_end_of_the_image(with_constants: Make) -> None:
    """It has at least the dot and its end."""
    for kind, fields in ((END - 18, 3), (END - 17, 0)):
        tables = THROWN | {ENTRY: catchable(kind=kind), kind + 16: b"."}
        assert len(thrown(with_constants, tables)) == fields


@pytest.mark.parametrize("wrong", [1, CONST, CODE - 1, CODE + 0x100, END, 0xFFFFFFFF])
def test_destructor_and_copy_constructor_are_code(with_constants: Make, wrong: int) -> None:
    assert thrown(with_constants, THROWN | {THROW: throw(TYPES, destructor=wrong)}) == set()
    assert thrown(with_constants, THROWN | {ENTRY: catchable(wrong)}) == set()


@pytest.mark.parametrize("count", [255, 256])
def test_as_many_types_as_fit(with_constants: Make, count: int) -> None:
    tables = {**THROWN, CONST + 0x800: words(count, *[ENTRY] * count), THROW: throw(CONST + 0x800)}
    assert len(thrown(with_constants, tables)) == count + 2


def test_types_in_writable_or_executable_sections(with_constants: Make) -> None:
    image = with_constants(page(THROWN))
    for flag in (IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE):
        sections = tuple(
            replace(section, characteristics=section.characteristics | flag) for section in image.sections
        )
        found = throw_sites(replace(image, sections=sections), np.array([THROW], dtype=np.int64))
        assert list(found) == []


@given(
    st.dictionaries(st.sampled_from([THROW, TYPES, ENTRY, TYPE, THROW + 12]), st.binary(max_size=32)),
    st.lists(st.integers(-(1 << 33), 1 << 33), max_size=4),
)
def test_any_bytes_of_a_throw(with_constants: Make, changes: Tables, candidates: list[int]) -> None:
    thrown(with_constants, THROWN | changes, THROW, *candidates)


def rva_fields(program: Program) -> set[tuple[int, int]]:
    f = program.fields
    chosen = f.form == FieldForm.ADDR32NB
    return set(zip(f.site[chosen].tolist(), f.target[chosen].tolist(), strict=True))


def test_both_become_fields_of_the_program(analyse: Callable[..., Program]) -> None:
    """`lea rdx, [THROW]` makes it a candidate; a locator needs nobody to name it."""
    code = bytes.fromhex("488d15") + words(THROW - (CODE + 7)) + b"\xc3"
    program = analyse(text=code.ljust(0x40, b"\xcc"), const=page(ONE | THROWN))
    assert rva_fields(program) == ONE_FIELDS | THROWN_FIELDS
    program = analyse(text=b"\xc3".ljust(0x40, b"\xcc"), const=page(ONE | THROWN))
    assert rva_fields(program) == ONE_FIELDS


def test_throws_of_a_run(with_constants: Make) -> None:
    other = THROW + 0x800
    image = with_constants(page(THROWN | {other: throw(TYPES)}))
    assert list(throws_within(image, CONST, END)) == [THROW, other]
    assert list(throws_within(image, THROW, THROW + 16)) == [THROW]
    assert list(throws_within(image, THROW - 3, THROW + 16)) == [THROW]
    for start, end in ((THROW + 1, other + 15), (THROW, THROW + 15), (THROW, THROW), (END, END)):
        assert list(throws_within(image, start, end)) == []


def test_throws_of_many_runs(with_constants: Make) -> None:
    other = THROW + 0x800
    image = with_constants(page(THROWN | {other: throw(TYPES)}))
    runs = [(CONST, END), (THROW, THROW + 16), (THROW - 3, THROW + 16), (THROW + 1, other + 15), (END, END)]
    starts, ends = (np.array(column, dtype=np.int64) for column in zip(*runs, strict=True))
    expected = [(number, rva) for number, run in enumerate(runs) for rva in throws_within(image, *run)]
    assert sorted(throws_in_runs(image, starts, ends)) == expected
    assert len(expected) == 4


def test_functions_that_only_a_throw_names(with_constants: Make, analyse: Callable[..., Program]) -> None:
    tables = THROWN | {THROW: throw(TYPES, destructor=CODE + 3), ENTRY: catchable(CODE + 6)}
    assert thrown_functions(with_constants(page(tables))) == {CODE + 3, CODE + 6}
    assert thrown_functions(with_constants(page(THROWN))) == set()
    code = bytes.fromhex("31c0c3 31c9c3 31d2c3")  # three functions with nothing between them
    for content, starts in ((tables, [CODE, CODE + 3, CODE + 6]), (THROWN, [CODE])):
        assert analyse(text=code, const=page(content)).fragments.start.tolist() == starts


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({LOCATOR: locator()}, False),
        ({LOCATOR: words(0, 8, 4, TYPE + 4, HIERARCHY)}, False),
        ({LOCATOR: words(0, 8, 4, TYPE, CODE)}, False),
        ({LOCATOR: words(0, 8, 4, TYPE, 0xFFFFFFFC)}, False),
        ({HIERARCHY: hierarchy(0, ARRAY)}, False),
        ({HIERARCHY: hierarchy(0xFFFF, ARRAY)}, False),
        ({HIERARCHY: hierarchy(1, CODE)}, False),
    ],
)
def test_locator_that_does_not_say_where_it_is(with_constants: Make, changes: Tables, expected: bool) -> None:
    tables = {**ONE, TYPE: bytes(16) + b".?AVNew@@\0", LOCATOR: words(0, 8, 4, TYPE, HIERARCHY)} | changes
    image = with_constants(page(tables))
    assert old_locator(image, LOCATOR) is expected
    places = (LOCATOR + 1, CODE, 0, END - 4, 0xFFFFFFFC)
    assert not any(old_locator(image, place) for place in places)
    assert old_locators(image, np.array((LOCATOR, *places))).tolist() == [expected] + [False] * len(places)


@given(st.binary(min_size=64, max_size=64))
def test_any_bytes_are_no_throw(with_constants: Make, content: bytes) -> None:
    image = with_constants(page({THROW: content}))
    assert list(throws_within(image, THROW, THROW + 64)) == []
    assert thrown_functions(image) == set()
