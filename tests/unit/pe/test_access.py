"""Names and interval arithmetic."""

import itertools
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.codes import pe as codes
from hpbuild.pe.access import MAX_NAMES, NAME_LIMIT, Names, merged, name_bytes, printable
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
    large = replace(image, data=bytes(MAX_NAMES))
    assert Names.of(large, codes.EXPORT_MALFORMED, codes.IMPORT_COUNT).left == MAX_NAMES
    without_file = replace(image, data=b"")
    assert Names.of(without_file, codes.EXPORT_MALFORMED, codes.IMPORT_COUNT).left == 2 * 0x1000 + NAME_LIMIT
