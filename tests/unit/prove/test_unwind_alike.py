"""Unwind records over columns: what is called alike, and every byte that makes it unlike."""

import random
from dataclasses import replace

import numpy as np
import pytest

from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.language import may_hold_scopes, scope_words
from hpbuild.prove.ownership import NOWHERE, Ownership, Slots
from hpbuild.prove.records import read_record, read_records
from hpbuild.prove.space import Space
from hpbuild.prove.unwind_alike import Pair, alike

_NONE = np.zeros(0, dtype=np.int64)
SIZE, SHIFT = 0x6000, 0x10000
PLAIN, HANDLED, CHAINED, COOKIE, SCOPED, FRAMED, LAST = 0x4000, 0x4010, 0x4030, 0x4050, 0x4070, 0x40C0, 0x4100
HANDLER, CHECK, CODE = 0x1000, 0x1100, 0x1200
DATA = {HANDLED: HANDLED + 12, COOKIE: COOKIE + 12, FRAMED: FRAMED + 12}


def _word(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _image() -> bytearray:
    memory = bytearray(SIZE)
    records = {
        PLAIN: bytes((1, 4, 2, 0)) + bytes.fromhex("04420150"),
        HANDLED: bytes((1 | 1 << 3, 4, 1, 0)) + bytes.fromhex("04420000") + _word(HANDLER) + _word(0x2000),
        CHAINED: bytes((1 | 4 << 3, 0, 0, 0)) + _word(CODE) + _word(CODE + 0x40) + _word(PLAIN),
        COOKIE: bytes((1 | 1 << 3, 4, 1, 0)) + bytes.fromhex("04f20000") + _word(CHECK) + _word(0x40),
        SCOPED: bytes((1 | 1 << 3, 0, 0, 0)) + _word(HANDLER) + _word(1)
        + _word(CODE) + _word(CODE + 8) + _word(HANDLER) + _word(CODE + 16),
        FRAMED: bytes((1 | 1 << 3, 4, 1, 0)) + bytes.fromhex("04f20000") + _word(CHECK)
        + _word(0x24) + _word(0x30) + _word(0x40),
        LAST: bytes((1, 0, 0, 0)),
    }  # fmt: skip
    for at, record in records.items():
        memory[at : at + len(record)] = record
    return memory


def _moved() -> bytearray:
    """The image as it lies ``SHIFT`` further on: every address in it counts from there."""
    memory = _image()
    places = [HANDLED + 8, CHAINED + 4, CHAINED + 8, CHAINED + 12, COOKIE + 8, SCOPED + 4, FRAMED + 8]
    places += [SCOPED + at for at in (12, 16, 20, 24)]
    for at in places:
        memory[at : at + 4] = _word(int.from_bytes(memory[at : at + 4], "little") + SHIFT)
    return memory


def _space(name: str, start: int, memory: bytes) -> Space:
    return Space(
        name=name, memory=np.frombuffer(memory, dtype=np.uint8), start=start, image_base=0, relocated=_NONE
    )


def _pair(other: bytes) -> Pair:
    one, far = np.array([0], dtype=np.int64), np.array([SHIFT], dtype=np.int64)
    owners = Ownership(
        start=one, end=one + SIZE, owner=one, baseline=far, patch=one, entry=one + NOWHERE, number=one
    )
    return Pair(
        fixed=_space("fixed", 0, bytes(_image())),
        other=_space("other", SHIFT, other),
        judge=Correspondence(owners, Slots(_NONE, _NONE, _NONE, _NONE, ())),
        carried=False,
        numbers=frozenset({CHECK}),
        records=np.array([PLAIN, HANDLED, CHAINED, COOKIE, SCOPED, FRAMED, LAST], dtype=np.int64),
    )


def _alike(record: int, other: bytes) -> bool:
    places = np.array([record], dtype=np.int64)
    return bool(alike(_pair(other), places, places + SHIFT)[0])


@pytest.mark.parametrize("record", [PLAIN, HANDLED, CHAINED, COOKIE, FRAMED, LAST])
def test_alike(record: int) -> None:
    assert _alike(record, bytes(_moved()))


def test_scopes_are_left_to_the_comparison_one_by_one() -> None:
    assert not _alike(SCOPED, bytes(_moved()))


@pytest.mark.parametrize(
    ("record", "size"), [(PLAIN, 8), (HANDLED, 12), (CHAINED, 16), (COOKIE, 16), (FRAMED, 24), (LAST, 4)]
)
def test_any_byte_that_differs_makes_it_unlike(record: int, size: int) -> None:
    """The slot that fills up an odd number of codes and the data of a handler that the data step compares
    are not part of a record."""
    free = {record + 6, record + 7} if record in (HANDLED, COOKIE, FRAMED) else set()
    for at in range(record, record + size):
        other = _moved()
        other[at] ^= 0x10
        assert _alike(record, bytes(other)) == (at in free), f"byte {at - record}"


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9, 255])
def test_every_code_counts_and_nothing_behind_them(count: int) -> None:
    """Codes are compared many at a time; those of a record with an odd number of them are filled up."""
    fixed, end = _image(), LAST + 4 + 2 * count
    fixed[LAST : LAST + 4] = bytes((1, 4, count, 0))
    fixed[LAST + 4 : end] = random.Random(count).randbytes(2 * count)
    for at in range(LAST, end + 8):
        other = bytearray(fixed)
        other[at] ^= 0x80
        pair = replace(
            _pair(bytes(other)), fixed=_space("fixed", 0, bytes(fixed)), other=_space("", SHIFT, bytes(other))
        )
        found = alike(pair, np.array([LAST]), np.array([LAST + SHIFT]))[0]
        assert bool(found) == (at >= end), f"byte {at - LAST}"


def test_parent_that_differs() -> None:
    other = _moved()
    other[PLAIN + 5] ^= 0x10
    assert not _alike(CHAINED, bytes(other))


def test_parent_of_itself() -> None:
    """A chain without end is not alike, and ends."""
    other, pair = _moved(), _pair(bytes(_moved()))
    other[CHAINED + 12 : CHAINED + 16] = _word(CHAINED + SHIFT)
    fixed = _image()
    fixed[CHAINED + 12 : CHAINED + 16] = _word(CHAINED)
    pair = Pair(
        fixed=_space("fixed", 0, bytes(fixed)),
        other=_space("other", SHIFT, bytes(other)),
        judge=pair.judge,
        carried=False,
        numbers=pair.numbers,
        records=pair.records,
    )
    assert not alike(pair, np.array([CHAINED]), np.array([CHAINED + SHIFT]))[0]


@pytest.mark.parametrize("at", [-8, SIZE - 3, SIZE - 12, SIZE + 0x100])
def test_record_at_the_end_of_its_space_or_outside(at: int) -> None:
    pair = _pair(bytes(_moved()))
    assert not alike(pair, np.array([at]), np.array([PLAIN + SHIFT]))[0]
    assert not alike(pair, np.array([PLAIN]), np.array([at + SHIFT]))[0]


def test_columns_say_what_one_record_says() -> None:
    chance = random.Random(5)
    memory = bytearray(chance.randbytes(0x1000))
    for at in range(0, len(memory), 64):
        memory[at] = 1 | chance.choice((0, 1, 2, 3, 4, 5)) << 3
        memory[at + 2] = chance.choice((0, 1, 2, 5, 9, 250))
    space = _space("any", 0x500, bytes(memory))
    places = np.arange(0x4F0, 0x1520, dtype=np.int64)
    found = read_records(space, places)
    assert int(found.sound.sum()) > 1000
    for row in np.flatnonzero(found.sound).tolist():
        record = read_record(space, int(places[row]))
        assert record is not None
        assert (record.handler, record.data) == (int(found.handler[row]), int(found.data[row]))
        assert (len(record.codes), record.size) == (int(found.size[row]), int(found.extent[row]))
        chained = (int(found.begin[row]), int(found.end[row]), int(found.parent[row]))
        assert record.chained == (chained if found.chained[row] else None)
        assert int.from_bytes(record.head, "little") == int(found.head[row])


def test_scope_tables_are_never_overlooked() -> None:
    chance = random.Random(6)
    table = bytearray(chance.randbytes(0x4000))
    places = np.arange(0, 0x4010, 1, dtype=np.int64)
    for at in range(0x2000, 0x3F00, 0x60):
        count = chance.choice((1, 2, 3, 4097))
        words = [count] + [0x1000, 0x1010 + chance.choice((0, -0x20)), 1, 0x1020] * 3
        table[at : at + 4 * len(words)] = b"".join(_word(word) for word in words)
    space = _space("any", 0, bytes(table))
    maybe = may_hold_scopes(space, places)
    sure = [bool(scope_words(space, int(place))) for place in places]
    assert 20 < sum(sure) < len(places)
    assert not [place for place, yes in enumerate(sure) if yes and not maybe[place]]
    assert int(maybe.sum()) < 200
