"""The load configuration, real and hostile."""

import struct

import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe.load_config import load_config
from hpbuild.values import Interval

BASE = 0x180000000
AT, TABLES = 0x2000, 0x2200


def config(pe, fields=(), size=0x140, tables=b"", length=None):
    """A load configuration at RVA 0x2000 with (offset, layout, value) fields; tables at RVA 0x2200."""
    body = bytearray(0x200)
    struct.pack_into("<I", body, 0, size)
    for offset, layout, value in fields:
        struct.pack_into("<" + layout, body, offset, value)
    pe.table(10, bytes(body) + tables, size=0x140 if length is None else length)
    return pe.image()


def rows(*targets, extra=b""):
    return b"".join(struct.pack("<I", t) + extra for t in targets)


def test_none(pe):
    assert load_config(pe.image()) is None


def test_real(throwing):
    lief = pytest.importorskip("lief")
    found = load_config(throwing)
    other = lief.PE.parse(list(throwing.data.whole())).load_configuration
    assert found.size == other.size == found.directory_size
    assert found.security_cookie == other.security_cookie - throwing.image_base
    assert found.guard_flags == other.guard_flags
    assert found.guard_functions.tolist() == [f.rva for f in other.guard_cf_functions]
    assert len(found.guard_functions) > 0
    assert len(found.guard_functions_table) == 4 * len(found.guard_functions)


def test_short_structure_has_no_later_fields(pe):
    found = load_config(config(pe, [(0xF0, "I", 0x1000), (0x90, "I", 0xFFFFFFFF)], size=0x70))
    assert (found.hot_patch_table, found.guard_flags, found.guard_check) == (None, 0, None)


def test_both_sizes_are_kept(pe):
    found = load_config(config(pe, size=0x118, length=0x40))
    assert (found.size, found.directory_size) == (0x118, 0x40)


def test_guard_tables_and_their_stride(pe):
    fields = [
        (0x58, "Q", BASE + 0x2300), (0x90, "I", 0x10000500), (0x80, "QQ", None), (0xA0, "QQ", None),
        (0xB0, "QQ", None), (0x108, "QQ", None), (0xF0, "I", 0x2320),
    ]  # fmt: skip
    body = bytearray(0x140)
    starts = {0x80: (TABLES, 2), 0xA0: (TABLES + 10, 1), 0xB0: (TABLES + 15, 0), 0x108: (TABLES + 15, 1)}
    for offset, layout, value in fields:
        if value is None:
            at, count = starts[offset]
            struct.pack_into("<QQ", body, offset, BASE + at, count)
        else:
            struct.pack_into("<" + layout, body, offset, value)
    struct.pack_into("<I", body, 0, 0x140)
    tables = rows(0x1000, 0x1010, extra=b"\2") + rows(0x2400, extra=b"\0") + rows(0x1020, extra=b"\0")
    pe.table(10, bytes(body).ljust(0x200, b"\0") + tables + bytes(0x300), size=0x140)
    found = load_config(pe.image())
    assert found.security_cookie == 0x2300
    assert found.guard_functions.tolist() == [0x1000, 0x1010]
    assert found.guard_functions_table == Interval(TABLES, TABLES + 10)
    assert found.guard_iat.tolist() == [0x2400]
    assert found.guard_longjump.tolist() == []
    assert found.guard_longjump_table == Interval(0, 0)
    assert found.guard_eh_cont.tolist() == [0x1020]
    assert found.hot_patch_table == 0x2320


@pytest.mark.parametrize("size", [0, 4, 0x5F, 0x1001, 0xFFFFFFFF])
def test_impossible_size(pe, refuses, size):
    refuses(codes.LOAD_CONFIG_SIZE, load_config, config(pe, size=size))


def test_structure_beyond_its_section(pe, refuses):
    pe.table(10, struct.pack("<I", 0x140) + bytes(0x80), size=0x60)
    refuses(codes.LOAD_CONFIG_SIZE, load_config, pe.image())


@pytest.mark.parametrize(
    "fields",
    [
        [(0x58, "Q", 0x1000)],
        [(0x58, "Q", BASE + 0x3000)],
        [(0x70, "Q", 0xFFFFFFFFFFFFFFFF)],
        [(0x80, "Q", BASE - 1)],
        [(0xF0, "I", 0x3000)],
        [(0xE4, "H", 3)],
        [(0xE0, "I", 0xFFFFFFFF), (0xE4, "H", 2)],
        [(0xE0, "I", 0xF00), (0xE4, "H", 2)],
        [(0x100, "Q", BASE + 0x2FF0)],
        [(0x100, "Q", BASE + 0x1000)],
    ],
)
def test_address_outside(pe, refuses, fields):
    refuses(codes.LOAD_CONFIG_ADDRESS, load_config, config(pe, fields, tables=b"\xff" * 0xD08))


@pytest.mark.parametrize(
    "fields",
    [
        [(0x80, "QQ", (0, 1))],
        [(0x80, "QQ", (BASE + TABLES, 1 << 63))],
        [(0x80, "QQ", (BASE + TABLES, 0x10000))],
        [(0x108, "QQ", (BASE + 0x400, 1))],
        [(0x80, "QQ", (BASE + TABLES, 1))],
    ],
)
def test_hostile_guard_table(pe, refuses, fields):
    body = bytearray(0x200)
    struct.pack_into("<I", body, 0, 0x140)
    for offset, layout, value in fields:
        struct.pack_into("<" + layout, body, offset, *value)
    pe.table(10, bytes(body) + b"\xff" * 8, size=0x140)
    refuses(codes.GUARD_TABLE, load_config, pe.image())


def test_dynamic_relocations(pe):
    image = config(pe, [(0xE0, "I", 0x200), (0xE4, "H", 2)], tables=struct.pack("<II", 1, 12) + bytes(12))
    assert load_config(image).dynamic_relocations == Interval(0x2200, 0x2214)


def test_volatile_metadata(pe):
    header = struct.pack("<IIIIII", 24, 0x10000, 0x2240, 8, 0x2250, 16)
    found = load_config(config(pe, [(0x100, "Q", BASE + TABLES)], tables=header + bytes(0x80)))
    assert found.volatile_metadata == (
        Interval(0x2200, 0x2218), Interval(0x2240, 0x2248), Interval(0x2250, 0x2260)
    )  # fmt: skip
