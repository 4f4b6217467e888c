"""Fields in data: which win where several claims meet, and how far language data reaches."""

import struct
from collections.abc import Callable

import numpy as np
import pytest

from hpbuild.code.fields import in_code
from hpbuild.code.model import FieldForm, Fragments, Program

TEXT, CONST, BASE = 0x1000, 0x3000, 0x180000000
LEAF = bytes([1, 0, 0, 0])
Analyse = Callable[..., Program]
Row = tuple[int, int, FieldForm]


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def fields(program: Program) -> list[Row]:
    f = program.fields
    rows = zip(f.site.tolist(), f.target.tolist(), f.form.tolist(), strict=True)
    return [(site, target, FieldForm(form)) for site, target, form in rows]


def handled(handler: int = TEXT) -> bytes:
    """Unwind record with a handler; its language data follows."""
    return struct.pack("<BBBBI", 1 | 1 << 3, 0, 0, 0, handler)


CODE = b"\xc3" + b"\xcc" * 0xFF
ROWS = ((TEXT, TEXT + 1, CONST),)


def test_handler_of_a_record(analyse: Analyse) -> None:
    program = analyse(text=CODE, const=handled() + words(0x20), rows=ROWS)
    assert fields(program) == [(CONST + 4, TEXT, FieldForm.ADDR32NB)]
    assert tuple(program.exceptions.records) == ((CONST, 12),)
    assert program.exceptions.unknown == frozenset()


def test_record_whose_language_data_nobody_knows(analyse: Analyse) -> None:
    """Its handler is a field all the same; the record is told to be unknown."""
    program = analyse(text=CODE, const=handled() + words(0xFFFFFF00), rows=ROWS)
    assert fields(program) == [(CONST + 4, TEXT, FieldForm.ADDR32NB)]
    assert program.exceptions.unknown == frozenset({CONST})
    assert tuple(program.exceptions.records) == ((CONST, 8),)


def test_handlers_of_try_blocks_are_funclets(analyse: Analyse) -> None:
    """Compressed tables: one unwind funclet that begins a fragment, one in the middle of code."""
    info, unwind = CONST + 0x20, CONST + 0x30
    for target, funclets in ((TEXT + 0x10, {TEXT + 0x10}), (TEXT + 0x12, set())):
        const = bytearray(0x40)
        const[:12] = handled() + words(info)
        const[0x20:0x29] = b"\x08" + words(unwind, CONST)
        const[0x30:0x36] = b"\x02\x06" + words(target)
        const[0x3C:0x40] = LEAF
        code = bytearray(CODE)
        code[0x10:0x14] = bytes.fromhex("505890c3")
        rows = (*ROWS, (TEXT + 0x10, TEXT + 0x14, CONST + 0x3C))
        program = analyse(text=bytes(code), const=bytes(const), rows=rows)
        assert program.exceptions.funclets == funclets
        assert (unwind + 2, target, FieldForm.ADDR32NB) in fields(program)


@pytest.mark.parametrize(("gap", "size"), [(0, 12), (4, 16), (12, 24), (16, 12)])
def test_few_bytes_up_to_the_next_record(analyse: Analyse, gap: int, size: int) -> None:
    """They may be data of the stack-cookie handler; more bytes than that are something else."""
    after = CONST + 12 + gap
    const = handled() + words(0x20) + b"\xee" * gap + LEAF
    code = b"\xc3" + b"\xcc" * 15 + b"\xc3" + b"\xcc" * 15
    program = analyse(text=code, const=const, rows=(*ROWS, (TEXT + 16, TEXT + 17, after)))
    assert tuple(program.exceptions.records) == ((CONST, size), (after, 4))


def test_language_data_never_reaches_into_the_next_record(analyse: Analyse) -> None:
    """A handler without data in front of another record, whose head looks like a stack cookie's."""
    const = handled() + LEAF
    code = b"\xc3" + b"\xcc" * 15 + b"\xc3" + b"\xcc" * 15
    program = analyse(text=code, const=const, rows=(*ROWS, (TEXT + 16, TEXT + 17, CONST + 8)))
    assert tuple(program.exceptions.records) == ((CONST, 8), (CONST + 8, 4))


def locator(place: int) -> bytes:
    """A CompleteObjectLocator whose hierarchy is not there."""
    return words(1, 0, 0, CONST, 0, place)


@pytest.mark.parametrize("offset", [12, 16, 20])
def test_relocated_pointer_wins(analyse: Analyse, offset: int) -> None:
    """The image says where pointers are; what a structure says of the same bytes is dropped."""
    place = CONST + 0x20
    const = (bytes(0x20) + locator(place)).ljust(0x60, b"\0")
    rows = {(place + 12, CONST), (place + 16, 0), (place + 20, place)}
    found = {row[:2] for row in fields(analyse(text=CODE, const=const))}
    assert found == rows
    program = analyse(text=CODE, const=const, pointers=(place + offset,))
    kept = {row for row in rows if not place + offset <= row[0] < place + offset + 8}
    found_now = fields(program)
    assert {row[:2] for row in found_now if row[2] is FieldForm.ADDR32NB} == kept
    assert [row[0] for row in found_now if row[2] is FieldForm.ADDR64] == [place + offset]


@pytest.mark.parametrize("before", [1, 2, 3])
def test_pointer_that_begins_inside_another_field(analyse: Analyse, before: int) -> None:
    """Every field of the structure that it touches is dropped."""
    place = CONST + 0x20
    const = (bytes(0x20) + locator(place)).ljust(0x60, b"\0")
    pointer = place + 12 + before
    found = fields(analyse(text=CODE, const=const, pointers=(pointer,)))
    assert [(site, form) for site, _, form in found] == [(pointer, FieldForm.ADDR64)]


def fragments(*rows: tuple[int, int, bool]) -> Fragments:
    start, end, opaque = ([row[column] for row in rows] for column in range(3))
    none = np.zeros(len(rows), dtype=np.int64)
    return Fragments(
        start=np.array(start, dtype=np.int64),
        end=np.array(end, dtype=np.int64),
        root=np.arange(len(rows)),
        unwind=none,
        opaque=np.array(opaque, dtype=np.bool_),
        falls_through=none.astype(np.bool_),
    )


def test_which_sites_lie_in_instructions() -> None:
    known = fragments((0x1000, 0x1010, False), (0x1010, 0x1020, True), (0x1030, 0x1031, False))
    sites = np.array([0, 0xFFF, 0x1000, 0x100F, 0x1010, 0x101F, 0x1020, 0x102F, 0x1030, 0x1031, 1 << 40])
    assert in_code(known, sites).tolist() == [False, False, True, True, *[False] * 4, True, False, False]
    assert in_code(fragments(), sites).tolist() == [False] * 11
    assert in_code(known, np.zeros(0, dtype=np.int64)).tolist() == []
