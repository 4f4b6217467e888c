"""The TLS directory, whole and hostile."""

import struct

import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe.tls import MAX_CALLBACKS, tls
from hpbuild.values import Interval

BASE = 0x180000000


def image(pe, start=0, end=0, index=BASE + 0x2100, callbacks=0, zero_fill=0, table=b"", size=40):
    """Directory at RVA 0x2000, callbacks' list at 0x2200."""
    body = struct.pack("<QQQQII", start, end, index, callbacks, zero_fill, 0).ljust(0x200, b"\0")
    pe.table(9, body + table, size=size)
    return pe.image()


def test_none(pe):
    assert tls(pe.image()) is None


def test_template_and_callbacks(pe):
    table = struct.pack("<QQQ", BASE + 0x1000, BASE + 0x1010, 0)
    found = tls(image(pe, BASE + 0x2040, BASE + 0x2060, callbacks=BASE + 0x2200, zero_fill=8, table=table))
    assert (found.template, found.zero_fill, found.index) == (Interval(0x2040, 0x2060), 8, 0x2100)
    assert found.callbacks == (0x1000, 0x1010)
    assert found.callbacks_table == Interval(0x2200, 0x2218)


def test_no_template(pe):
    found = tls(image(pe))
    assert (found.template, found.callbacks, found.callbacks_table) == (Interval(0, 0), (), Interval(0, 0))


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 24},
        {"index": 0},
        {"index": BASE + 0x9000},
        {"start": BASE + 0x2010, "end": BASE + 0x2000},
        {"start": BASE + 0x2010, "end": BASE + 0x3001},
        {"start": 0x2000, "end": 0x2008},
        {"end": BASE + 0x2008},
    ],
)
def test_hostile_directory(pe, refuses, fields):
    refuses(codes.TLS_MALFORMED, tls, image(pe, **fields))


@pytest.mark.parametrize(
    ("address", "table"),
    [
        (0x2200, b""),
        (BASE + 0x9000, b""),
        (BASE + 0x2200, struct.pack("<QQ", BASE + 0x2000, 0)),
        (BASE + 0x2200, struct.pack("<QQ", BASE + 0x9000, 0)),
        (BASE + 0x2200, struct.pack("<QQ", 0x1000, 0)),
        (BASE + 0x2FFC, b""),
        (BASE + 0x2200, struct.pack("<Q", BASE + 0x1000) * (MAX_CALLBACKS + 1) + bytes(8)),
    ],
)
def test_hostile_callbacks(pe, refuses, address, table):
    refuses(codes.TLS_CALLBACKS, tls, image(pe, callbacks=address, table=table))
