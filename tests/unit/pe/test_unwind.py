"""Exception directory and unwind records, real and hostile."""

import struct

import numpy as np
import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe.unwind import (
    MAX_CHAIN,
    chain_root,
    primary_begins,
    runtime_functions,
    unwind_info,
    unwind_table,
)

LEAF = bytes([1, 0, 0, 0])


def with_rows(pe, rows, records=LEAF, tail=b""):
    """An image with the records at RVA 0x2000 and the exception directory at 0x3000."""
    pe.section(b".xdata", records)
    pe.table(3, b"".join(struct.pack("<III", *row) for row in rows) + tail)
    return pe.image()


def test_no_directory(pe):
    assert len(runtime_functions(pe.image())) == 0


def test_real_table_agrees_with_pefile(codec):
    pefile = pytest.importorskip("pefile")
    other = pefile.PE(data=codec.data.whole(), fast_load=True)
    other.parse_data_directories([3])
    found = runtime_functions(codec)
    rows = [
        (e.struct.BeginAddress, e.struct.EndAddress, e.struct.UnwindData)
        for e in other.DIRECTORY_ENTRY_EXCEPTION
    ]
    assert [found.row(i) for i in range(len(found))] == rows
    assert len(rows) > 20


def test_real_records_agree_between_both_readers(throwing):
    found = runtime_functions(throwing)
    table = unwind_table(throwing, found.unwind)
    handlers = 0
    for index, rva in enumerate(found.unwind.tolist()):
        info = unwind_info(throwing, rva)
        assert (info.size, info.flags) == (table.size[index], table.flags[index])
        assert (info.handler or 0, info.handler_data or 0) == (
            table.handler[index],
            table.handler_data[index],
        )
        assert tuple(table.chained[index]) == (info.chained or (0, 0, 0))
        handlers += info.handler is not None
    assert handlers > 0


def test_zero_rows_at_the_end_are_padding(pe):
    image = with_rows(pe, [(0x1000, 0x1010, 0x2000)], tail=bytes(24))
    assert runtime_functions(image).row(0) == (0x1000, 0x1010, 0x2000)
    assert len(runtime_functions(image)) == 1


def test_torn_table(pe, refuses):
    image = with_rows(pe, [(0x1000, 0x1010, 0x2000)], tail=b"\0" * 4)
    refuses(codes.PDATA_SIZE, runtime_functions, image)


@pytest.mark.parametrize("second", [(0x1000, 0x1004, 0x2000), (0x100F, 0x1020, 0x2000)])
def test_unsorted_or_overlapping(pe, refuses, second):
    refuses(codes.PDATA_UNSORTED, runtime_functions, with_rows(pe, [(0x1000, 0x1010, 0x2000), second]))


@pytest.mark.parametrize(
    "row", [(0x1010, 0x1010, 0x2000), (0x1010, 0x1000, 0x2000), (0x2000, 0x2004, 0x2000), (0x1FF0, 0x2001, 0),
            (0xFFFFFFF0, 0xFFFFFFFF, 0x2000), (0, 0, 0x2000)]
)  # fmt: skip
def test_row_that_is_no_code(pe, refuses, row):
    refuses(codes.PDATA_RANGE, runtime_functions, with_rows(pe, [row]))


def test_zero_row_in_the_middle(pe, refuses):
    rows = [(0x1000, 0x1010, 0x2000), (0, 0, 0), (0x1010, 0x1020, 0x2000)]
    refuses(codes.PDATA_RANGE, runtime_functions, with_rows(pe, rows))


def test_sizes(pe):
    records = (
        bytes([1, 4, 1, 0, 4, 0x42, 0, 0])  # one code and its padding
        + bytes([1 | 3 << 3, 0, 2, 0x25, 1, 2, 3, 4]) + struct.pack("<II", 0x1000, 99)
        + bytes([2 | 4 << 3, 0, 0, 0]) + struct.pack("<III", 0x1000, 0x1010, 0x2000)
    )  # fmt: skip
    image = with_rows(pe, [], records, tail=bytes(12))
    plain, handled, chained = (unwind_info(image, rva) for rva in (0x2000, 0x2008, 0x2018))
    assert (plain.size, plain.codes, plain.prolog_size, plain.handler) == (8, b"\x04\x42", 4, None)
    assert (handled.size, handled.codes, handled.frame) == (12, b"\1\2\3\4", 0x25)
    assert (handled.handler, handled.handler_data) == (0x1000, 0x2014)
    assert (chained.size, chained.version, chained.chained) == (16, 2, (0x1000, 0x1010, 0x2000))
    table = unwind_table(image, np.array([0x2000, 0x2008, 0x2018], dtype=np.uint32))
    assert table.size.tolist() == [8, 12, 16]


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (b"\0\0\0\0", codes.UNWIND_VERSION),
        (b"\3\0\0\0", codes.UNWIND_VERSION),
        (bytes([1 | 5 << 3, 0, 0, 0]), codes.UNWIND_MALFORMED),
        (bytes([1 | 8 << 3, 0, 0, 0]), codes.UNWIND_MALFORMED),
        (bytes([1 | 1 << 3, 0, 0, 0]) + b"\xff" * 4, codes.UNWIND_OUTSIDE),
    ],
)
def test_hostile_record(pe, refuses, record, code):
    image = with_rows(pe, [(0x1000, 0x1010, 0x2000)], record)
    refuses(code, unwind_info, image, 0x2000)
    refuses(code, unwind_table, image, np.array([0x2000], dtype=np.uint32))


@pytest.mark.parametrize("rva", [0x2FFE, 0x3000, 0xFFFFFFFC])
def test_record_outside(pe, refuses, rva):
    pe.section(b".xdata", b"\1" * 0x1000)
    image = pe.image()
    refuses(codes.UNWIND_OUTSIDE, unwind_info, image, rva)
    refuses(codes.UNWIND_OUTSIDE, unwind_table, image, np.array([rva], dtype=np.uint32))


@pytest.mark.parametrize("head", [b"\1\0\xff\0", b"\x21\0\0\0", b"\x09\0\0\0", b"\1\0\1\0"])
def test_record_that_ends_outside(pe, refuses, head):
    pe.section(b".xdata", b"\1" * 0xFFC + head)
    image = pe.image()
    refuses(codes.UNWIND_OUTSIDE, unwind_info, image, 0x2FFC)
    refuses(codes.UNWIND_OUTSIDE, unwind_table, image, np.array([0x2FFC], dtype=np.uint32))


def test_indirect_row_is_refused(pe, refuses):
    image = with_rows(pe, [(0x1000, 0x1010, 0x2001)], b"\1" * 16)
    refuses(codes.UNWIND_MALFORMED, unwind_info, image, 0x2001)


def _chain(length):
    """``length`` records, each chained to the next, the last one primary."""
    rows = [(0x1000 + 16 * i, 0x1008 + 16 * i, 0x2000 + 16 * i) for i in range(length)]
    links = [bytes([1 | 4 << 3, 0, 0, 0]) + struct.pack("<III", *row) for row in rows[1:]]
    return rows, b"".join(links) + LEAF


def test_chain_leads_to_its_root(pe):
    rows, records = _chain(5)
    image = with_rows(pe, rows, records)
    assert [chain_root(image, row) for row in rows] == [rows[-1]] * 5
    assert primary_begins(image, runtime_functions(image)).tolist() == [rows[-1][0]] * 5


def test_chain_that_is_too_long(pe, refuses):
    rows, records = _chain(MAX_CHAIN + 3)
    image = with_rows(pe, rows, records)
    refuses(codes.UNWIND_CHAIN, chain_root, image, rows[0])
    refuses(codes.UNWIND_CHAIN, primary_begins, image, runtime_functions(image))


def test_chain_that_is_a_loop(pe, refuses):
    row = (0x1000, 0x1010, 0x2000)
    image = with_rows(pe, [row], bytes([1 | 4 << 3, 0, 0, 0]) + struct.pack("<III", *row))
    refuses(codes.UNWIND_CHAIN, chain_root, image, row)
    refuses(codes.UNWIND_CHAIN, primary_begins, image, runtime_functions(image))
