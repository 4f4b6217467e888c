"""Records with common handlers, many at once: what is told of them is what is told of each alone."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.common_handlers import Handled, common_handlers
from hpbuild.code.exceptions import read_record
from hpbuild.code.stack_cookies import HandlerForms
from hpbuild.pe.image import Image

CODE, CONST, END = 0x1000, 0x3000, 0x4000
INFO, MAP = CONST + 0x200, CONST + 0x600
HANDLER, COOKIE = CODE + 0x40, CODE + 0x50
FORMS = HandlerForms(numbers=frozenset({COOKIE}), others=frozenset({HANDLER}))
BBT, UNWIND, TRIES, PIECES, RESERVED = 4, 8, 16, 2, 0x80
Make = Callable[[bytes], Image]


def number(value: int, size: int) -> bytes:
    """A compressed number in ``size`` bytes."""
    if size == 5:
        return b"\x0f" + struct.pack("<I", value)
    return (value << size | (1 << size - 1) - 1).to_bytes(size, "little")


def page(*parts: tuple[int, bytes]) -> bytes:
    content = bytearray(b"\x0f" * 0x1000)
    for rva, octets in parts:
        content[rva - CONST : rva - CONST + len(octets)] = octets[: END - rva]
    return bytes(content)


def record(handler: int, word: int) -> bytes:
    return struct.pack("<BBBBII", 1 | 1 << 3, 0, 0, 0, handler, word)


def info(flags: int, unwind: int = MAP, states: int = CONST + 8, block: bytes = b"\x02") -> bytes:
    parts = [bytes([flags])] + [block] * bool(flags & BBT)
    parts += [struct.pack("<I", unwind)] * bool(flags & UNWIND) + [struct.pack("<I", states)]
    return b"".join(parts)


def row(kind: int, target: int = CODE, size: int = 1) -> bytes:
    found = number(8 | kind, size) + struct.pack("<I", target) * (kind > 0)
    return found + number(5, size) * (kind in (1, 2))


def unwind_map(*rows: bytes, count: int = -1) -> bytes:
    return number(len(rows) if count < 0 else count, 2) + b"".join(rows)


def all_at_once(image: Image, records: list[int]) -> Handled:
    return common_handlers(image, np.array(records, dtype=np.int64) + 4, FORMS)


def same_as_alone(image: Image, records: list[int]) -> list[int]:
    """Which of the records are read at once; each of them is read alone as the same."""
    found, funclets = all_at_once(image, records), list[int]()
    for index, size in zip(found.numbers.tolist(), found.sizes.tolist(), strict=True):
        alone = read_record(image, records[index], FORMS)
        assert alone is not None
        assert alone.known
        assert (alone.rva, alone.size) == (records[index], 4 + size)
        assert [field[0] for field in alone.fields] == found.site[found.owner == index].tolist()
        assert {field[2:] for field in alone.fields} == {(1, 0)}
        funclets += alone.funclets
    assert set(found.owner.tolist()) <= set(found.numbers.tolist())
    assert sorted(found.funclets.tolist()) == sorted(funclets)
    chosen: list[int] = sorted(found.numbers.tolist())
    return chosen


def read_alone(make: Make, *parts: tuple[int, bytes], word: int = INFO) -> bool:
    """Whether one record that leads to these tables is left to be read alone."""
    return same_as_alone(make(page((CONST, record(HANDLER, word)), *parts)), [CONST]) == []


def test_place_of_a_cookie(with_constants: Make) -> None:
    """One word, or three in an aligned frame."""
    content = page((CONST, record(COOKIE, 0x20)), (CONST + 0x20, record(COOKIE, 0x24)))
    found = all_at_once(with_constants(content), [CONST, CONST + 0x20])
    assert (found.numbers.tolist(), found.sizes.tolist()) == ([0, 1], [8, 16])
    assert (found.owner.tolist(), found.site.tolist()) == ([0, 1], [CONST + 4, CONST + 0x24])
    assert same_as_alone(with_constants(content), [CONST, CONST + 0x20]) == [0, 1]


def test_unwind_map(with_constants: Make) -> None:
    rows = (row(0), row(1), row(3, CODE + 8), row(2, CODE + 4), row(3))
    content = page((CONST, record(HANDLER, INFO)), (INFO, info(UNWIND)), (MAP, unwind_map(*rows)))
    found = all_at_once(with_constants(content), [CONST])
    calls, funclets = [MAP + 4, MAP + 15], [MAP + 10, MAP + 21]
    assert found.site.tolist() == [CONST + 4, CONST + 8, INFO + 1, INFO + 5, *calls, *funclets]
    assert (found.owner.tolist(), found.funclets.tolist()) == ([0] * 8, funclets)
    assert same_as_alone(with_constants(content), [CONST]) == [0]


@pytest.mark.parametrize(
    "parts",
    [
        [(INFO, info(0))],
        [(INFO, info(1, states=0))],
        [(INFO, info(BBT | UNWIND)), (MAP, unwind_map())],
        [
            (INFO, info(BBT | UNWIND, block=number(1000, 5))),
            (MAP, unwind_map(row(3, size=5), row(1, size=4))),
        ],
        [(INFO, info(UNWIND)), (MAP, unwind_map(*[row(1, size=size) for size in range(1, 6)]))],
        [(INFO, info(UNWIND)), (MAP, unwind_map(*[row(2)] * 64))],
        [(INFO, info(UNWIND, END - 18)), (END - 18, unwind_map(row(0)))],
    ],
)
def test_read_at_once(with_constants: Make, parts: list[tuple[int, bytes]]) -> None:
    assert not read_alone(with_constants, *parts)


@pytest.mark.parametrize(
    "parts",
    [
        [(INFO, info(TRIES))],
        [(INFO, info(PIECES))],
        [(INFO, info(RESERVED))],
        [(INFO, info(0, states=END))],
        [(INFO, info(UNWIND, 0))],
        [(INFO, info(UNWIND, END)), (MAP, unwind_map())],
        [(INFO, info(UNWIND, END - 15)), (END - 15, unwind_map(row(0)))],
        [(INFO, info(UNWIND, END - 18)), (END - 18, unwind_map(row(1), row(0)))],
        [(INFO, info(UNWIND)), (MAP, unwind_map(row(1), row(3, CONST)))],
        [(INFO, info(UNWIND)), (MAP, unwind_map(row(2, 0)))],
        [(INFO, info(UNWIND)), (MAP, unwind_map(*[row(2)] * 65))],
        [(INFO, info(UNWIND)), (MAP, unwind_map(count=1 << 13))],
        [(INFO, struct.pack("<I", 0x19930522))],
    ],
)
def test_what_is_read_alone(with_constants: Make, parts: list[tuple[int, bytes]]) -> None:
    assert read_alone(with_constants, *parts)


@pytest.mark.parametrize("word", [0, 1, 4096, CODE, CONST + 0xFF, END - 15, END, 0xFFFFFFFF])
def test_words_that_lead_to_no_table(with_constants: Make, word: int) -> None:
    assert read_alone(with_constants, word=word)


def test_records_at_the_end_of_the_image(with_constants: Make) -> None:
    places = list(range(END - 16, END, 4))
    image = with_constants(page((END - 12, record(COOKIE, 0x20)), (END - 16, record(COOKIE, COOKIE))))
    assert same_as_alone(image, places) == [0, 1]


def test_handlers_of_which_nothing_is_known(with_constants: Make) -> None:
    content = page((CONST, record(CODE, INFO)), (INFO, info(0)))
    assert same_as_alone(with_constants(content), [CONST]) == []
    assert same_as_alone(with_constants(content), []) == []


SIZES = st.integers(1, 5)
TARGETS = st.sampled_from([CODE, CODE + 1, CONST - 1, CONST, END, 0])
ROWS = st.lists(st.builds(row, st.integers(0, 3), TARGETS | st.just(CODE), SIZES), max_size=5)
FLAGS = st.sampled_from([0, UNWIND, UNWIND | BBT, UNWIND | 1, UNWIND | TRIES, UNWIND | PIECES, 0xFF])
MAPS = st.sampled_from([MAP, MAP + 0x80, MAP + 0x100, END - 20, END - 1, 0])
TABLES = st.tuples(st.builds(info, FLAGS, MAPS, TARGETS, st.builds(number, SIZES, SIZES)), ROWS)


@given(st.lists(TABLES, min_size=1, max_size=3), st.lists(st.sampled_from([HANDLER, COOKIE, CODE])))
def test_any_tables(
    with_constants: Make, tables: list[tuple[bytes, list[bytes]]], handlers: list[int]
) -> None:
    parts = []
    for n, (head, rows) in enumerate(tables):
        handler = handlers[n] if n < len(handlers) else HANDLER
        parts += [(CONST + 16 * n, record(handler, INFO + 0x20 * n)), (INFO + 0x20 * n, head)]
        parts += [(MAP + 0x80 * n, unwind_map(*rows))]
    same_as_alone(with_constants(page(*parts)), [CONST + 16 * n for n in range(len(tables))])
