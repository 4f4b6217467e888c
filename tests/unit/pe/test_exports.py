"""Exports, real and hostile."""

import struct

import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe.exports import Export, export_extents, exports
from hpbuild.values import Interval

AT = 0x2000


def directory(functions, names=(), strings=b"", **change):
    """Directory at RVA 0x2000: 40 bytes, functions, name pointers, ordinals, strings.

    ``names`` are pairs (offset into ``strings``, ordinal index).
    """
    name_table = AT + 40 + 4 * len(functions)
    ordinals = name_table + 4 * len(names)
    text = ordinals + 2 * len(names)
    fields = {
        "library": 0, "base": 1, "function_count": len(functions), "name_count": len(names),
        "function_table": AT + 40, "name_table": name_table, "ordinals": ordinals,
    } | change  # fmt: skip
    return (
        struct.pack("<IIHHIIIIIII", 0, 0, 0, 0, *fields.values())
        + b"".join(struct.pack("<I", f if f < 0x10000 else text + f - 0x10000) for f in functions)
        + b"".join(struct.pack("<I", text + at) for at, _ in names)
        + b"".join(struct.pack("<H", index) for _, index in names)
        + strings
    )


def test_none(pe):
    assert exports(pe.image()) == ()
    assert export_extents(pe.image()) == ()


@pytest.mark.parametrize("name", ["codec", "throwing"])
def test_real_table_agrees_with_pefile(request, name):
    pefile = pytest.importorskip("pefile")
    image = request.getfixturevalue(name)
    other = pefile.PE(data=image.data.whole(), fast_load=True)
    other.parse_data_directories([0])
    rows = [(s.name.decode(), s.ordinal, s.address) for s in other.DIRECTORY_ENTRY_EXPORT.symbols]
    assert [(e.name, e.ordinal, e.rva) for e in exports(image)] == rows
    assert rows


def test_real_extents_fill_the_directory(codec):
    found = export_extents(codec)
    assert found[0].start == codec.directories[0].start
    assert found[-1].end == codec.directories[0].end


def test_names_ordinals_forwarders_and_holes(pe):
    strings = b"b\0a\0NTDLL.f\0"
    pe.table(0, directory([0x1010, 0, 0x1020, 0x10004], [(0, 0), (2, 0), (2, 3)], strings, base=7))
    assert exports(pe.image()) == (
        Export("a", 7, 0x1010, ""),
        Export("b", 7, 0x1010, ""),
        Export("", 9, 0x1020, ""),
        Export("a", 10, 0, "NTDLL.f"),
    )
    assert export_extents(pe.image()) == (Interval(AT, AT + 40 + 16 + 12 + 6 + len(strings)),)


def test_one_name_each_and_some_without(pe):
    pe.table(0, directory([0x1010, 0, 0x1020, 0x1030], [(2, 0), (0, 3)], b"b\0a\0", base=0xFFFFFFFF))
    assert exports(pe.image()) == (
        Export("a", 0xFFFFFFFF, 0x1010, ""),
        Export("", 0x100000001, 0x1020, ""),
        Export("b", 0x100000002, 0x1030, ""),
    )


def test_several_names_of_one_address_are_in_order(pe):
    pe.table(0, directory([0x1010, 0x1020], [(4, 0), (0, 1), (2, 0)], b"b\0c\0d\0"))
    assert [(row.name, row.ordinal) for row in exports(pe.image())] == [("c", 1), ("d", 1), ("b", 2)]


@pytest.mark.parametrize(
    "change",
    [
        {"function_count": 0x10001},
        {"function_count": 0xFFFFFFFF},
        {"name_count": 0xFFFFFFFF},
        {"function_count": 0x8000},
        {"function_table": 0},
        {"function_table": 0xFFFFFFF0},
        {"name_table": 0x9000},
        {"ordinals": 0xFFFFFFFF},
    ],
)
def test_hostile_field(pe, refuses, change):
    pe.table(0, directory([0x1010], [(0, 0)], b"a\0", **change))
    refuses(codes.EXPORT_MALFORMED, exports, pe.image())
    refuses(codes.EXPORT_MALFORMED, export_extents, pe.image())


def test_short_directory(pe, refuses):
    pe.table(0, directory([]), size=39)
    refuses(codes.EXPORT_MALFORMED, exports, pe.image())


def test_address_outside(pe, refuses):
    pe.table(0, directory([0x9000], [(0, 0)], b"a\0"))
    refuses(codes.EXPORT_MALFORMED, exports, pe.image())


def test_name_outside(pe, refuses):
    pe.table(0, directory([0x1010], [(0x10000, 0)]))
    refuses(codes.EXPORT_MALFORMED, exports, pe.image())


def test_empty_forwarder(pe, refuses):
    pe.table(0, directory([0x10000], [], b"\0"))
    refuses(codes.EXPORT_MALFORMED, exports, pe.image())


def test_names_that_share_more_bytes_than_the_file_has(pe, refuses):
    pe.table(0, directory([0x1010], [(0, 0)] * 5000, b"n" * 12000 + b"\0"))
    refuses(codes.EXPORT_MALFORMED, exports, pe.image())


@pytest.mark.parametrize("index", [1, 2, 0xFFFF])
def test_name_without_address(pe, refuses, index):
    pe.table(0, directory([0x1010, 0], [(0, index)], b"a\0"))
    refuses(codes.EXPORT_ORDINAL, exports, pe.image())
