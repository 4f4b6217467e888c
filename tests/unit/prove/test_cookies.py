"""Which handlers take the place of a stack cookie, read from the frames."""

import random
import struct

import numpy as np
import pytest

from hpbuild.prove.cookies import frame_size, frame_sizes, number_handlers
from hpbuild.prove.records import read_record, read_records
from hpbuild.prove.space import Space

START, HANDLER = 0x2000, 0x1040
WIDE = "00010003"


def space(*records: bytes) -> tuple[Space, list[int]]:
    places = [START + sum(map(len, records[:number])) for number in range(len(records))]
    memory = np.frombuffer(b"".join(records) + bytes(64), dtype=np.uint8)
    none = np.zeros(0, dtype=np.int64)
    return Space(name="test", memory=memory, start=START, image_base=0, relocated=none), places


def record(codes: str, *words: int, version: int = 1) -> bytes:
    octets = bytes.fromhex(codes)
    head = bytes((version | 3 << 3, 0, len(octets) // 2, 0)) + octets.ljust((len(octets) + 3) & ~3, b"\0")
    return head + struct.pack(f"<{1 + len(words)}I", HANDLER, *words)


@pytest.mark.parametrize(
    ("codes", "version", "size"),
    [
        ("", 1, 0),
        ("0432 0130", 1, 0x28),
        (WIDE, 1, 0x1800),
        ("0011 00000200", 1, 0x20000),
        ("0013 0014 0500 0015 00000100 0042", 1, 0x28),
        ("0018 0500 0019 00000100 0042", 1, 0x28),
        ("000a", 1, 40),
        ("001a", 1, 48),
        ("0506 0006 0042", 2, 0x28),
        ("0016 0500 0042", 1, 0x28),
        ("0042 0001", 1, 0),
        ("0011 0000", 1, 0),
    ],
)
def test_frame(codes: str, version: int, size: int) -> None:
    made, (place,) = space(record(codes, version=version))
    found = read_record(made, place)
    assert found is not None
    assert frame_size(found) == size


def test_frames_of_many_records() -> None:
    """Codes of all kinds, with their slots or cut short, and what one record says of itself."""
    chance = random.Random(5)
    records = []
    for _ in range(400):
        codes = b"".join(
            bytes((chance.randrange(256), chance.randrange(11) | chance.choice((0, 0x10, 0x50))))
            for _ in range(chance.randrange(9))
        )
        records.append(record(codes.hex(), 0x20, version=chance.choice((1, 2))))
    made, places = space(*records)
    found = read_records(made, np.array(places, dtype=np.int64))
    assert found.sound.all()
    alone = [read_record(made, place) for place in places]
    assert frame_sizes(made, found).tolist() == [frame_size(one) for one in alone if one is not None]
    assert len(set(frame_sizes(made, found).tolist())) > 40


@pytest.mark.parametrize(
    ("records", "numbers"),
    [
        ([record(WIDE, 0x1010)], True),
        ([record(WIDE, 0x20), record("0042", 0x20)], True),
        ([record(WIDE, 0x20), record("", 0x20)], False),  # no frame: something else
        ([record(WIDE, 0x1800)], False),
        ([record(WIDE, 0x1011)], False),
        ([record(WIDE, 0x1014, 0x60, 0x20)], True),
        ([record(WIDE, 0x1014, 0x60, 0)], False),
        ([record(WIDE, 0x1014, 0x1801, 0x20)], False),
        ([record("0011 00000200", START + 20, 0x19930522)], False),  # the RVA of a FuncInfo
        ([record(WIDE), record(WIDE, 0x20)], True),  # the first has no data: a record follows
        ([], False),
    ],
)
def test_handlers(records: list[bytes], numbers: bool) -> None:
    made, places = space(*records)
    assert number_handlers(made, places) == (frozenset({HANDLER}) if numbers else frozenset())


def test_records_outside() -> None:
    made, places = space(record(WIDE, 0x1010))
    assert number_handlers(made, [*places, made.end - 2, 0, 0xFFFFFFFC]) == {HANDLER}
