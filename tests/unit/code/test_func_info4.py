"""The compressed tables of __CxxFrameHandler4, made by hand."""

import struct
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.exceptions import read_record
from hpbuild.code.exceptions_msvc import Language, func_info4
from hpbuild.code.model import FieldForm
from hpbuild.pe.image import Image

CONST, CODE = 0x3000, 0x1000
INFO, UNWIND, TRIES, HANDLERS, STATES, PIECES, TYPE = (CONST + 0x100 * n for n in range(1, 8))
END = 0x4000
"""End of the image of ``with_constants``."""
CATCH, SEPARATED, BBT, HAS_UNWIND, HAS_TRY, HAS_STATES, NOEXCEPT, RESERVED = (1 << bit for bit in range(8))
Make = Callable[[bytes], Image]


def number(value: int, size: int = 0) -> bytes:
    """A compressed number in ``size`` bytes (0: as few as it needs)."""
    size = size or next((n for n in range(1, 5) if value < 1 << 7 * n), 5)
    if size == 5:
        return b"\x0f" + struct.pack("<I", value)
    return (value << size | (1 << size - 1) - 1).to_bytes(size, "little")


def address(rva: int) -> bytes:
    return struct.pack("<I", rva)


def page(tables: dict[int, bytes], start: int = INFO) -> bytes:
    """Constants: the language data (an RVA) at the start, the tables where they belong."""
    content = bytearray(0x1000)
    content[:4] = address(start)
    for rva, table in tables.items():
        content[rva - CONST : rva - CONST + len(table)] = table[: END - rva]
    return bytes(content)


def found(make: Make, tables: dict[int, bytes], start: int = INFO) -> Language | None:
    return func_info4(make(page(tables, start)), CONST)


def pairs(language: Language | None) -> set[tuple[int, int]]:
    """(site, target) of all fields; each of them is an RVA and is there once."""
    assert language is not None
    assert language.size == 4
    assert {(form, origin) for _, _, form, origin in language.fields} == {(FieldForm.ADDR32NB, 0)}
    rows = [(site, target) for site, target, _, _ in language.fields]
    assert len(rows) == len(set(rows))
    return set(rows)


def refused(make: Make, tables: dict[int, bytes], start: int = INFO) -> bool:
    """As the record reader sees it: no known data, and never a field that is not the handler's."""
    record_head = struct.pack("<BBBBI", 1 | 1 << 3, 0, 0, 0, CODE)
    content = page(tables, start)
    record = read_record(make(record_head + content[:4] + content[12:]), CONST)
    return record is None or (not record.known and [row[0] for row in record.fields] == [CONST + 4])


def head(flags: int, *parts: bytes) -> bytes:
    return bytes([flags]) + b"".join(parts)


def unwind_only(rows: Iterable[bytes], count: bytes | None = None) -> dict[int, bytes]:
    rows = list(rows)
    return {
        INFO: head(HAS_UNWIND | HAS_STATES, address(UNWIND), address(STATES)),
        UNWIND: (count or number(len(rows))) + b"".join(rows),
    }


def tries_only(*handlers: bytes, count: bytes | None = None) -> dict[int, bytes]:
    return {
        INFO: head(HAS_TRY | HAS_STATES, address(TRIES), address(STATES)),
        TRIES: number(1) + number(0) + number(0) + number(1) + address(HANDLERS),
        HANDLERS: (count or number(len(handlers))) + b"".join(handlers),
    }


TRY_FIELDS = {(CONST, INFO), (INFO + 1, TRIES), (INFO + 5, STATES), (TRIES + 4, HANDLERS)}


@pytest.mark.parametrize("flags", [0, CATCH, HAS_STATES, NOEXCEPT, CATCH | HAS_STATES | NOEXCEPT])
def test_states_alone(with_constants: Make, flags: int) -> None:
    """The bits for a catch funclet (a frame offset follows), states and noexcept lead to no further table."""
    language = found(with_constants, {INFO: head(flags, address(STATES), number(0x20))})
    assert pairs(language) == {(CONST, INFO), (INFO + 1, STATES)}
    assert language is not None
    assert language.funclets == ()


@pytest.mark.parametrize("value", [0, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1FFFFF, 0x200000, 0xFFFFFFF, 0xFFFFFFFF])
def test_basic_block_flags_are_passed_over(with_constants: Make, value: int) -> None:
    """A number of one to five bytes in front of the addresses."""
    coded = number(value)
    language = found(with_constants, {INFO: head(BBT, coded, address(STATES))})
    assert pairs(language) == {(CONST, INFO), (INFO + 1 + len(coded), STATES)}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_count_in_any_number_of_bytes(with_constants: Make, size: int) -> None:
    """The same two rows whatever the length of their count."""
    rows = [number(3) + address(CODE + 1), number(3) + address(CODE + 2)]
    beyond = number(3) + address(0)  # a third row would be refused
    language = found(with_constants, unwind_only([*rows, beyond], number(2, size)))
    assert pairs(language) == {
        (CONST, INFO),
        (INFO + 1, UNWIND),
        (INFO + 5, STATES),
        (UNWIND + size + 1, CODE + 1),
        (UNWIND + size + 6, CODE + 2),
    }


@pytest.mark.parametrize("count", [130, 300])
def test_count_of_more_than_seven_bits(with_constants: Make, count: int) -> None:
    language = found(with_constants, unwind_only([number(8)] * count))
    assert pairs(language) == {(CONST, INFO), (INFO + 1, UNWIND), (INFO + 5, STATES)}
    rows = [number(8)] * (count - 1) + [number(3) + address(CODE)]
    assert (UNWIND + 2 + count, CODE) in pairs(found(with_constants, unwind_only(rows)))


def test_unwind_map_of_every_kind(with_constants: Make) -> None:
    """Nothing to do, a destructor with the object, one with a pointer to it, a funclet; the distance to the
    row before lies above the kind."""
    rows = [
        number(1 << 2 | 0),
        number(1 << 2 | 1) + address(CODE + 0x10) + number(0x40),
        number(300 << 2 | 2) + address(CODE + 0x20) + number(0x4000),
        number(7 << 2 | 3) + address(CODE + 0x30),
        number(1 << 2 | 3) + address(CODE + 0x40),
    ]
    assert [len(row) for row in rows] == [1, 6, 9, 5, 5]
    language = found(with_constants, unwind_only(rows))
    assert pairs(language) == {
        (CONST, INFO),
        (INFO + 1, UNWIND),
        (INFO + 5, STATES),
        (UNWIND + 3, CODE + 0x10),
        (UNWIND + 10, CODE + 0x20),
        (UNWIND + 18, CODE + 0x30),
        (UNWIND + 23, CODE + 0x40),
    }
    assert language is not None
    assert language.funclets == (UNWIND + 18, UNWIND + 23), (
        "a destructor does not run on the function's frame"
    )


ADJECTIVES, HAS_TYPE, OBJECT, RVA = 1, 2, 4, 8
ONE, TWO = 0x10, 0x20


@pytest.mark.parametrize(
    ("handler", "fields", "funclet"),
    [
        (head(0, address(CODE + 1)), {1: CODE + 1}, 1),
        (head(ADJECTIVES, number(9), address(CODE)), {2: CODE}, 2),
        (head(ADJECTIVES, number(0x40, 2), address(CODE)), {3: CODE}, 3),
        (head(HAS_TYPE, address(TYPE), address(CODE)), {1: TYPE, 5: CODE}, 5),
        (head(HAS_TYPE, address(0), address(CODE)), {5: CODE}, 5),
        (head(OBJECT, number(0x4000), address(CODE)), {4: CODE}, 4),
        (
            head(ADJECTIVES | HAS_TYPE | OBJECT, number(8), address(TYPE), number(0x20), address(CODE)),
            {2: TYPE, 7: CODE},
            7,
        ),
        (head(ONE, address(CODE), number(0x90)), {1: CODE}, 1),
        (head(TWO, address(CODE), number(0x90), number(0x20)), {1: CODE}, 1),
        (head(RVA | ONE, address(CODE), address(CODE + 7)), {1: CODE, 5: CODE + 7}, 1),
        (
            head(RVA | TWO, address(CODE), address(CODE + 7), address(CODE + 9)),
            {1: CODE, 5: CODE + 7, 9: CODE + 9},
            1,
        ),
        (head(RVA, address(CODE)), {1: CODE}, 1),
        (
            head(
                ADJECTIVES | HAS_TYPE | OBJECT | RVA | TWO,
                *(number(1), address(TYPE), number(200), address(CODE), address(CODE + 1), address(CODE + 2)),
            ),
            {2: TYPE, 8: CODE, 12: CODE + 1, 16: CODE + 2},
            8,
        ),
    ],
)
def test_every_form_of_a_handler(
    with_constants: Make, handler: bytes, fields: dict[int, int], funclet: int
) -> None:
    """A second handler behind it shows that its length is right, too."""
    last = head(0, address(CODE + 0x50))
    language = found(with_constants, tries_only(handler, last))
    at = HANDLERS + 1
    expected = {(at + offset, target) for offset, target in fields.items()}
    assert pairs(language) == TRY_FIELDS | expected | {(at + len(handler) + 1, CODE + 0x50)}
    assert language is not None
    assert language.funclets == (at + funclet, at + len(handler) + 1)


def test_several_try_blocks_and_an_unwind_map(with_constants: Make) -> None:
    """The rows of a try map are three numbers of any length and the address of the handlers."""
    other = HANDLERS + 0x40
    tables = {
        INFO: head(BBT | HAS_UNWIND | HAS_TRY, number(300), address(UNWIND), address(TRIES), address(STATES)),
        UNWIND: number(1) + number(3) + address(CODE + 1),
        TRIES: number(2)
        + b"".join((number(0), number(200), number(70000), address(HANDLERS)))
        + b"".join((number(1), number(2), number(3), address(other))),
        HANDLERS: number(1) + head(0, address(CODE + 2)),
        other: number(1) + head(HAS_TYPE, address(TYPE), address(CODE + 3)),
    }
    language = found(with_constants, tables)
    assert pairs(language) == {
        (CONST, INFO),
        (INFO + 3, UNWIND),
        (INFO + 7, TRIES),
        (INFO + 11, STATES),
        (UNWIND + 2, CODE + 1),
        (TRIES + 1 + 6, HANDLERS),
        (TRIES + 11 + 3, other),
        (HANDLERS + 2, CODE + 2),
        (other + 2, TYPE),
        (other + 6, CODE + 3),
    }
    assert language is not None
    assert set(language.funclets) == {UNWIND + 2, HANDLERS + 2, other + 6}


def test_maps_of_a_function_in_pieces(with_constants: Make) -> None:
    pieces = address(CODE) + address(STATES) + address(CODE + 0x80) + address(STATES + 8)
    tables = {INFO: head(SEPARATED, address(PIECES)), PIECES: number(2) + pieces}
    at = PIECES + 1
    assert pairs(found(with_constants, tables)) == {
        (CONST, INFO),
        (INFO + 1, PIECES),
        (at, CODE),
        (at + 4, STATES),
        (at + 8, CODE + 0x80),
        (at + 12, STATES + 8),
    }
    together = {INFO: head(0, address(PIECES)), PIECES: tables[PIECES]}
    assert pairs(found(with_constants, together)) == {(CONST, INFO), (INFO + 1, PIECES)}


def test_through_the_record_reader(with_constants: Make) -> None:
    """The whole record: its size is that of the handler's address and of the one behind it."""
    record_head = struct.pack("<BBBBI", 1 | 3 << 3, 0, 0, 0, CODE)
    tables = tries_only(head(0, address(CODE + 1)))
    record = read_record(with_constants(record_head + address(INFO) + page(tables)[12:]), CONST)
    assert record is not None
    assert (record.known, record.size, record.funclets) == (True, 12, (HANDLERS + 2,))
    assert {row[0] for row in record.fields} >= {CONST + 4, CONST + 8, HANDLERS + 2, TRIES + 4}


MANY = number(0x10001)


@pytest.mark.parametrize(
    "tables",
    [
        {INFO: head(RESERVED, address(STATES))},
        {INFO: head(RESERVED | HAS_UNWIND, address(UNWIND), address(STATES)), UNWIND: number(0)},
        unwind_only([], MANY),
        unwind_only([], number(0xFFFFFFFF)),
        tries_only(count=MANY),
        tries_only(count=number(0xFFFFFFFF)),
        tries_only() | {TRIES: MANY},
        {INFO: head(SEPARATED, address(PIECES)), PIECES: MANY},
        {INFO: head(SEPARATED, address(PIECES)), PIECES: number(0xFFFFFFFF)},
    ],
)
def test_more_rows_than_any_function_has(with_constants: Make, tables: dict[int, bytes]) -> None:
    assert found(with_constants, tables) is None
    assert refused(with_constants, tables)


@pytest.mark.parametrize("wrong", [0, 1, CONST, TYPE, CODE - 1, CODE + 0x100, END, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize(
    "make_tables",
    [
        lambda rva: unwind_only([number(1) + address(rva) + number(0)]),
        lambda rva: unwind_only([number(2) + address(rva) + number(0)]),
        lambda rva: unwind_only([number(3) + address(rva)]),
        lambda rva: unwind_only([number(3) + address(CODE), number(3) + address(rva)]),
        lambda rva: tries_only(head(0, address(rva))),
        lambda rva: tries_only(head(HAS_TYPE, address(TYPE), address(rva))),
    ],
)
def test_handler_that_is_not_in_code(
    with_constants: Make, make_tables: Callable[[int], dict[int, bytes]], wrong: int
) -> None:
    assert found(with_constants, make_tables(CODE + 0xFF)) is not None
    assert found(with_constants, make_tables(wrong)) is None
    assert refused(with_constants, make_tables(wrong))


@pytest.mark.parametrize("wrong", [1, CODE - 1, END, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize(
    "make_tables",
    [
        lambda rva: {INFO: head(0, address(rva))},
        lambda rva: {INFO: head(HAS_UNWIND, address(UNWIND), address(rva)), UNWIND: number(0)},
        lambda rva: tries_only(head(HAS_TYPE, address(rva), address(CODE))),
        lambda rva: tries_only(head(RVA | ONE, address(CODE), address(rva))),
        lambda rva: {INFO: head(SEPARATED, address(PIECES)), PIECES: number(1) + address(rva) * 2},
    ],
)
def test_address_outside_of_every_section(
    with_constants: Make, make_tables: Callable[[int], dict[int, bytes]], wrong: int
) -> None:
    """What names nothing of this image is no table of the handler: it must not become a field."""
    assert found(with_constants, make_tables(TYPE)) is not None
    assert found(with_constants, make_tables(wrong)) is None
    assert refused(with_constants, make_tables(wrong))


@pytest.mark.parametrize("rva", [END - 1, END, 0x7FFFFFF0, 0xFFFFFFFF])
@pytest.mark.parametrize("flags", [HAS_UNWIND, HAS_TRY, SEPARATED])
def test_table_that_leaves_the_image(with_constants: Make, flags: int, rva: int) -> None:
    """A count in the image's last byte, or none at all."""
    content = {INFO: head(flags, address(rva), address(STATES)), END - 1: number(3)}
    assert refused(with_constants, content)


@pytest.mark.parametrize("start", [0, 1, 0x3FF, CODE, CODE + 0x80, END, 0xFFFFFFFF])
def test_address_that_leads_to_none(with_constants: Make, start: int) -> None:
    """The headers, code, nothing: FuncInfo4 lies in constants."""
    assert found(with_constants, {INFO: head(0, address(STATES))}, start) is None


def test_function_information_in_code(build: Callable[..., Image]) -> None:
    """Bytes that would do; but instructions are none."""
    info = head(0, address(CONST))
    image = build(text=info, const=address(CODE) + address(CONST + 8) + info)
    assert func_info4(image, CONST) is None
    assert func_info4(image, CONST + 4) is not None


def test_function_information_cut_off_by_the_end(with_constants: Make) -> None:
    last = END - 5
    language = found(with_constants, {last: head(0, address(STATES))}, last)
    assert pairs(language) == {(CONST, last), (last + 1, STATES)}
    assert refused(with_constants, {END - 4: head(0, address(STATES))}, END - 4)
    assert refused(with_constants, {END - 1: head(BBT)}, END - 1)


@pytest.mark.parametrize("bits", [0x30, 0x40, 0x80])
def test_handler_with_bits_without_meaning(with_constants: Make, bits: int) -> None:
    """Three continuations, and the two bits above: reserved."""
    tables = tries_only(head(bits, address(CODE), bytes(8)))
    assert found(with_constants, tables) is None


@pytest.mark.parametrize(("blocks", "accepted"), [(65, True), (66, False)])
def test_blocks_that_share_very_many_handlers(
    build: Callable[..., Image], blocks: int, accepted: bool
) -> None:
    """Try blocks that name the same thousand handlers must not multiply into endless work."""
    tries, handlers = CONST + 0x100, CONST + 0x800
    content = bytearray(0x2000)
    content[:4] = address(CONST + 0x10)
    content[0x10:0x19] = head(HAS_TRY, address(tries), address(CONST))
    rows = number(blocks) + (bytes(3) + address(handlers)) * blocks
    content[0x100 : 0x100 + len(rows)] = rows
    shared = number(1000) + head(0, address(CODE)) * 1000
    content[0x800 : 0x800 + len(shared)] = shared
    language = func_info4(build(text=b"\xc3", const=bytes(content)), CONST)
    assert (language is not None) is accepted
    assert language is None or len(language.funclets) == 1000 * blocks


@given(st.binary(min_size=1, max_size=60), st.sampled_from([INFO, END - 9, CONST + 4]))
def test_any_bytes(with_constants: Make, content: bytes, start: int) -> None:
    """Nothing but IndexError, which the record reader knows; what is found names code and constants."""
    image = with_constants(page({start: content}, start))
    try:
        language = func_info4(image, CONST)
    except IndexError:
        return
    if language is not None:
        assert all(image.section_at(target) is not None for _, target, _, _ in language.fields)
        assert all(image.u32(site) in range(CODE, CODE + 0x100) for site in language.funclets)


@given(
    st.integers(0, 0x7F),
    st.lists(
        st.one_of(
            st.sampled_from([CODE, UNWIND, TRIES, HANDLERS, STATES]).map(address), st.binary(max_size=6)
        ),
        max_size=12,
    ),
    st.binary(max_size=40),
    st.binary(max_size=40),
)
def test_any_tables(
    with_constants: Make, flags: int, parts: list[bytes], rows: bytes, handlers: bytes
) -> None:
    """Through the record reader, which turns a table outside of the image into None."""
    tables = {INFO: head(flags, *parts)[:0x100], UNWIND: rows, TRIES: rows, HANDLERS: handlers}
    record_head = struct.pack("<BBBBI", 1 | 1 << 3, 0, 0, 0, CODE)
    image = with_constants(record_head + address(INFO) + page(tables)[12:])
    record = read_record(image, CONST)
    assert record is None or record.size in (8, 12)
