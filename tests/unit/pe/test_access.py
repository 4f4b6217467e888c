"""Names and interval arithmetic."""

import itertools
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.codes import pe as codes
from hpbuild.pe.access import MAX_NAMES, NAME_LIMIT, Names, distinct, merged, name_bytes, printable, values_at
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.values import Interval


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_printable_is_injective_and_safe(one, two):
    text = printable(one)
    assert text.isprintable() or not text
    assert (text == printable(two)) == (one == two)


def test_printable_keeps_plain_names():
    assert printable(b"?f@@YAXH@Z") == "?f@@YAXH@Z"
    assert printable("größe".encode()) == "größe"


def test_name_without_end(pe, refuses):
    pe.section(b".data", b"x" * 0x1000)
    refuses(codes.EXPORT_MALFORMED, name_bytes, pe.image(), 0x2000, codes.EXPORT_MALFORMED, "name")
    refuses(codes.EXPORT_MALFORMED, name_bytes, pe.image(), 0x3000, codes.EXPORT_MALFORMED, "name")


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9))))
def test_merged_covers_the_same_numbers(ranges):
    starts = np.array([a for a, _ in ranges], dtype=np.int64)
    found = merged(starts, starts + np.array([n for _, n in ranges], dtype=np.int64))
    assert {x for i in found for x in range(i.start, i.end)} == {
        x for a, n in ranges for x in range(a, a + n)
    }
    assert all(a.end < b.start for a, b in itertools.pairwise(found))
    assert all(isinstance(i, Interval) and len(i) for i in found)


def test_names_are_counted(pe, refuses):
    at = pe.section(b".names", b"abc\0")
    names = Names(pe.image(), codes.EXPORT_MALFORMED, codes.IMPORT_COUNT, 7)
    assert names.text(names.raw(at, "name")) == "abc"
    assert names.text(names.raw(at, "name")) == "abc"
    refuses(codes.IMPORT_COUNT, names.raw, at, "name")


def test_what_a_text_takes_beyond_its_bytes_counts(pe, refuses):
    """Escaped, a byte becomes four characters, and one wide character makes all others as wide."""
    at = pe.section(b".names", b"\x01" * 10 + "\U0001f600".encode() + b"\0")
    raw = name_bytes(pe.image(), at, codes.EXPORT_MALFORMED, "name")
    enough = Names(pe.image(), codes.EXPORT_MALFORMED, codes.IMPORT_COUNT, 4 * 41)
    assert enough.text(raw) == "\\x01" * 10 + "\U0001f600"
    less = Names(pe.image(), codes.EXPORT_MALFORMED, codes.IMPORT_COUNT, 4 * 41 - 1)
    refuses(codes.IMPORT_COUNT, less.text, raw)


def test_names_of_a_file_and_of_a_process_are_bounded(pe):
    image = pe.image()
    assert (
        Names.of(image, codes.EXPORT_MALFORMED, codes.IMPORT_COUNT).left == 2 * len(image.data) + NAME_LIMIT
    )
    large = replace(image, data=FileBytes.of(bytes(MAX_NAMES)))
    assert Names.of(large, codes.EXPORT_MALFORMED, codes.IMPORT_COUNT).left == MAX_NAMES
    without_file = replace(image, data=FileBytes.of(b""))
    assert Names.of(without_file, codes.EXPORT_MALFORMED, codes.IMPORT_COUNT).left == 2 * 0x1000 + NAME_LIMIT


def test_values_wherever_they_are_aligned(pe):
    at = pe.section(b".data", bytes(range(32)))
    rvas = np.array([at, at + 1, at + 3, at, at + 24], dtype=np.int64)
    image = pe.image()
    for kind, size in (("<u2", 2), ("<u4", 4), ("<u8", 8)):
        values = [int.from_bytes(image.read(int(rva), size), "little") for rva in rvas]
        assert values_at(image, rvas, kind).tolist() == values
    last = image.size_of_image - 4
    assert values_at(image, np.array([last])).tolist() == [image.u32(last)]
    assert values_at(image, rvas[:0]).tolist() == []


def test_each_once():
    values = np.array([5, 1, 5, 1 << 31, 0], dtype=np.uint32)
    assert distinct(values).tolist() == [0, 1, 5, 1 << 31]
    assert len(distinct(values[:0])) == 0


def test_many_names_as_one_by_one(pe, refuses):
    """Names that share bytes, an empty one; one outside of the image refuses like a single one."""
    at = pe.section(b".names", b"abc\0de\0" + b"x" * 0x2000)
    image = pe.image()

    def reader(left=100):
        return Names(image, codes.EXPORT_MALFORMED, codes.IMPORT_COUNT, left)

    rvas = np.array([at + 4, at, at + 1, at + 3], dtype=np.int64)
    assert reader().lengths(rvas, "name").tolist() == [2, 3, 2, 0]
    assert reader(7).all(rvas, "name") == [b"de", b"abc", b"bc", b""]
    assert reader().all(rvas[:0], "name") == []
    refuses(codes.IMPORT_COUNT, reader(6).all, rvas, "name")
    for bad in (image.size_of_image, 1 << 31):
        refuses(codes.EXPORT_MALFORMED, reader().all, np.append(rvas, bad), "name")


def test_longest_name(pe, refuses):
    """One that ends just within reach, and one that does not; alone and far from others."""
    for length, fits in ((NAME_LIMIT - 1, True), (NAME_LIMIT, False)):
        at = pe.section(b".n" + str(length).encode(), b"x" * length + b"\0" + bytes(0x20))
        names = Names(pe.image(), codes.EXPORT_MALFORMED, codes.IMPORT_COUNT, 1 << 20)
        rvas = np.array([at], dtype=np.int64)
        if fits:
            assert names.lengths(rvas, "name").tolist() == [length]
        else:
            refuses(codes.EXPORT_MALFORMED, names.lengths, rvas, "name")
