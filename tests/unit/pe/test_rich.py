"""The linker's tool record."""

import struct

import pytest

from hpbuild.pe.reader import parse_image
from hpbuild.pe.rich import rich_products

KEY = 0x1BADB002


def stub(pe, rows, *, mark=b"Rich", start=b"DanS", lead=0):
    """An image with a tool record; the PE header moves behind it."""
    words = [*struct.unpack("<I", start), 0, 0, 0]
    for product, build, count in rows:
        words += [product << 16 | build, count]
    record = (
        b"\0" * lead
        + struct.pack(f"<{len(words)}I", *(w ^ KEY for w in words))
        + mark
        + struct.pack("<I", KEY)
    )
    plain = pe.build()
    record += bytes(-len(record) % 8)
    at = 0x80 + len(record)
    data = bytearray(plain)
    data[0x80:0x400] = (record + plain[0x80:0x400])[: 0x400 - 0x80]
    struct.pack_into("<I", data, 0x3C, at)
    return parse_image(bytes(data), "x")


def test_rows(pe):
    assert rich_products(stub(pe, [(0x105, 30795, 12), (1, 0, 77)])) == ((0x105, 30795, 12), (1, 0, 77))


def test_none(pe):
    assert rich_products(pe.image()) == ()


@pytest.mark.parametrize("change", [{"mark": b"Ritz"}, {"start": b"DanX"}, {"lead": 2}])
def test_damaged_record_is_no_record(pe, change):
    assert rich_products(stub(pe, [(0x105, 30795, 12)], **change)) == ()
