"""Names and interval arithmetic."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.codes import pe as codes
from hpbuild.pe.access import merged, name_bytes, printable
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
