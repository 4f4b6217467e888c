"""Imports and delay-load imports, real and hostile."""

import struct

import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe import imports as module
from hpbuild.pe.imports import Import, import_extents, imports
from hpbuild.values import Interval

NAMES = 0x2000
DLL, HINT = NAMES, NAMES + 0x10
LOOKUP, SLOTS = NAMES + 0x40, NAMES + 0x80
ORDINAL = 1 << 63


def tables(entries=(HINT, ORDINAL | 7)):
    """Strings, a name table and slots in a section at RVA 0x2000."""
    out = bytearray(0x100)
    out[0:6] = b"a.dll\0"
    out[0x10:0x16] = b"\5\0fun\0"
    thunks = b"".join(struct.pack("<Q", e) for e in (*entries, 0))
    out[0x40 : 0x40 + len(thunks)] = thunks
    out[0x80 : 0x80 + len(thunks)] = thunks
    return bytes(out)


def descriptor(lookup=LOOKUP, stamp=0, name=DLL, slots=SLOTS):
    return struct.pack("<IIIII", lookup, stamp, 0, name, slots)


def delayed(attributes=1, name=DLL, slots=SLOTS, lookup=LOOKUP):
    return struct.pack("<IIIIIIII", attributes, name, 0, slots, lookup, 0, 0, 0)


def image(pe, rows, entries=(HINT, ORDINAL | 7), index=1, end=b"\0" * 32):
    pe.section(b".names", tables(entries))
    pe.table(index, b"".join(rows) + end)
    return pe.image()


EXPECTED = (Import(SLOTS, "a.dll", "fun", None, False), Import(SLOTS + 8, "a.dll", "", 7, False))


def test_none(pe):
    assert imports(pe.image()) == ()


@pytest.mark.parametrize("name", ["codec", "throwing"])
def test_real_table_agrees_with_pefile(request, name):
    pefile = pytest.importorskip("pefile")
    image = request.getfixturevalue(name)
    other = pefile.PE(data=image.data.whole(), fast_load=True)
    other.parse_data_directories([1])
    rows = [
        (s.address - image.image_base, d.dll.decode(), s.name.decode())
        for d in other.DIRECTORY_ENTRY_IMPORT
        for s in d.imports
    ]
    assert [(i.slot, i.dll, i.name) for i in imports(image)] == sorted(rows)
    assert rows
    assert import_extents(image).slots[0].start == image.directories[12].start


def test_names_and_ordinals(pe):
    assert imports(image(pe, [descriptor()])) == EXPECTED


def test_extents(pe):
    found = import_extents(image(pe, [descriptor()]))
    assert found.slots == (Interval(SLOTS, SLOTS + 24),)
    assert found.tables == (
        Interval(DLL, DLL + 6),
        Interval(HINT, HINT + 6),
        Interval(LOOKUP, LOOKUP + 24),
        Interval(0x3000, 0x3028),
    )
    assert found.delay == ()


def test_slots_that_are_their_own_name_table(pe):
    assert imports(image(pe, [descriptor(lookup=0)])) == EXPECTED


def test_bound_imports_are_read_from_the_name_table(pe):
    assert imports(image(pe, [descriptor(stamp=0xFFFFFFFF)])) == EXPECTED


def test_bound_imports_without_names(pe, refuses):
    refuses(codes.IMPORT_WITHOUT_NAMES, imports, image(pe, [descriptor(lookup=0, stamp=1)]))


def test_delay_load(pe):
    found = image(pe, [delayed()], index=13)
    assert imports(found) == tuple(Import(i.slot, i.dll, i.name, i.ordinal, True) for i in EXPECTED)
    assert import_extents(found).tables == import_extents(found).slots == ()
    assert Interval(SLOTS, SLOTS + 24) in import_extents(found).delay


def test_delay_load_with_absolute_addresses(pe, refuses):
    refuses(codes.DELAY_IMPORT_ABSOLUTE, imports, image(pe, [delayed(attributes=0)], index=13))


@pytest.mark.parametrize("row", [delayed(slots=0), delayed(lookup=0), delayed(name=0xFFFFFFFF)])
def test_hostile_delay_load(pe, refuses, row):
    refuses(codes.IMPORT_MALFORMED, imports, image(pe, [row], index=13))


@pytest.mark.parametrize(("row", "index"), [(descriptor(), 1), (delayed(), 13)])
def test_directory_without_end_mark(pe, refuses, row, index):
    refuses(codes.IMPORT_UNTERMINATED, imports, image(pe, [row], index=index, end=b""))


def test_name_table_without_end_mark(pe, refuses):
    pe.section(b".names", tables())
    slots = pe.section(b".slots", b"", size=0x2000)
    pe.table(1, descriptor(lookup=slots + 0x3000, slots=slots) + bytes(20))
    pe.section(b".end", struct.pack("<Q", ORDINAL | 1) * 512)
    refuses(codes.IMPORT_UNTERMINATED, imports, pe.image())


@pytest.mark.parametrize(
    "row",
    [
        descriptor(name=0xFFFFFFFF),
        descriptor(slots=0x500),
        descriptor(slots=0x9000),
        descriptor(slots=SLOTS + 1),
        descriptor(slots=0xFFFFFFF8),
    ],
)
def test_hostile_descriptor(pe, refuses, row):
    refuses(codes.IMPORT_MALFORMED, imports, image(pe, [row]))


@pytest.mark.parametrize("entry", [ORDINAL | 0x10000, 0x9000, 1 << 40, (1 << 63) - 1])
def test_hostile_entry(pe, refuses, entry):
    refuses(codes.IMPORT_MALFORMED, imports, image(pe, [descriptor()], entries=(entry,)))


@pytest.mark.parametrize("second", [SLOTS, SLOTS + 8, SLOTS + 4])
def test_shared_slots(pe, refuses, second):
    refuses(codes.IMPORT_SLOT_SHARED, imports, image(pe, [descriptor(), descriptor(slots=second)]))


def test_slot_shared_with_a_delay_load(pe, refuses):
    pe.section(b".names", tables())
    pe.table(1, descriptor() + bytes(20))
    pe.table(13, delayed() + bytes(32))
    refuses(codes.IMPORT_SLOT_SHARED, imports, pe.image())


def test_too_many_imports(pe, refuses):
    count = module.MAX_IMPORTS + 1
    pe.section(b".names", tables())
    lookup = pe.section(b".lookup", struct.pack("<Q", ORDINAL | 1) * count + bytes(8))
    slots = pe.section(b".slots", b"", size=8 * count + 8)
    pe.table(1, descriptor(lookup=lookup, slots=slots) + bytes(20))
    refuses(codes.IMPORT_COUNT, imports, pe.image())


def test_names_that_share_more_bytes_than_the_file_has(pe, refuses):
    name = pe.section(b".name", b"\0\0" + b"n" * 15000 + b"\0")
    pe.section(b".dll", b"a\0")
    lookup = pe.section(b".lookup", struct.pack("<Q", name) * 1000 + bytes(8))
    slots = pe.section(b".slots", b"", size=0x4000)
    pe.table(1, descriptor(lookup=lookup, slots=slots, name=lookup - 0x1000) + bytes(20))
    refuses(codes.IMPORT_COUNT, imports, pe.image())


def test_slots_outside_the_image(pe, refuses):
    refuses(codes.IMPORT_MALFORMED, imports, image(pe, [descriptor(lookup=NAMES + 0x60, slots=0x4000000)]))


def test_too_many_libraries(pe, refuses, monkeypatch):
    monkeypatch.setattr(module, "MAX_LIBRARIES", 2)
    empty = [descriptor(lookup=NAMES + 0x60) for _ in range(3)]
    assert imports(image(pe, empty[:2])) == ()
    refuses(codes.IMPORT_COUNT, imports, image(type(pe)(), empty))
