"""Fragments of tiny images: unwind rows, gaps, tables in code, what code leads to."""

import struct
from collections.abc import Callable

import numpy as np
import pytest

from hpbuild.code.decode import RefKind
from hpbuild.code.model import FieldForm, Program

TEXT, CONST, ROWS = 0x1000, 0x3000, 0x5000
Analyse = Callable[..., Program]
LEAF = bytes([1, 0, 0, 0])
"""UNWIND_INFO without codes."""


def fragments(program: Program) -> list[tuple[int, int, int, bool]]:
    """(start, end, start of the root, opaque)"""
    f = program.fragments
    rows = zip(f.start.tolist(), f.end.tolist(), f.start[f.root].tolist(), f.opaque.tolist(), strict=True)
    return list(rows)


def code(*rows: tuple[int, int]) -> list[tuple[int, int, int, bool]]:
    return [(start, end, start, False) for start, end in rows]


def text(*parts: tuple[int, str], size: int = 0x100) -> bytes:
    """int3 with the given code at the given RVAs."""
    page = bytearray(b"\xcc" * size)
    for rva, content in parts:
        octets = bytes.fromhex(content)
        page[rva - TEXT : rva - TEXT + len(octets)] = octets
    return bytes(page)


def test_unwind_rows_are_exact(analyse: Analyse) -> None:
    """`ret` inside, filler inside: the row says that all of it is the function."""
    program = analyse(
        text=text((0x1000, "c3 cc cc 31c0 c3"), (0x1010, "c3")),
        const=LEAF,
        rows=((0x1000, 0x1006, CONST), (0x1010, 0x1011, CONST)),
    )
    assert fragments(program) == code((0x1000, 0x1006), (0x1010, 0x1011))
    assert program.fragments.unwind.tolist() == [CONST, CONST]
    assert program.padding.tolist() == [[0x1006, 0x1010], [0x1011, 0x1100]]


def test_adjacent_rows(analyse: Analyse) -> None:
    program = analyse(
        text=text((0x1000, "50 c3 31c0 c3")),
        const=LEAF,
        rows=((0x1000, 0x1002, CONST), (0x1002, 0x1005, CONST)),
    )
    assert fragments(program) == code((0x1000, 0x1002), (0x1002, 0x1005))


def test_chained_row_belongs_to_its_parent(analyse: Analyse) -> None:
    chained = struct.pack("<BBBBIII", 1 | 4 << 3, 0, 0, 0, 0x1000, 0x1002, CONST)
    program = analyse(
        text=text((0x1000, "50 c3"), (0x1040, "58 c3"), (0x1080, "c3")),
        const=LEAF + chained,
        rows=((0x1000, 0x1002, CONST), (0x1040, 0x1042, CONST + 4), (0x1080, 0x1081, CONST)),
    )
    assert fragments(program) == [
        (0x1000, 0x1002, 0x1000, False),
        (0x1040, 0x1042, 0x1000, False),
        (0x1080, 0x1081, 0x1080, False),
    ]


def test_leaf_functions_in_the_gaps(analyse: Analyse) -> None:
    program = analyse(
        text=text((0x1000, "c3"), (0x1010, "31c0 c3"), (0x1020, "c3")),
        const=LEAF,
        rows=((0x1010, 0x1013, CONST),),
    )
    assert fragments(program) == code((0x1000, 0x1001), (0x1010, 0x1013), (0x1020, 0x1021))
    assert program.fragments.unwind.tolist() == [0, CONST, 0]


def test_call_target_cuts_a_gap(analyse: Analyse) -> None:
    """A call into what looks like one leaf function makes two of it."""
    leaf = text((0x1000, "c3 31c0 c3"), (0x1010, "e8 ecffffff c3"))
    rows = ((0x1010, 0x1016, CONST),)
    assert fragments(analyse(text=leaf, const=LEAF, rows=rows)) == code(
        (0x1000, 0x1001), (0x1001, 0x1004), (0x1010, 0x1016)
    )


def test_targets_of_leaf_functions_cut_too(analyse: Analyse) -> None:
    """Found one after the other: the first leaf calls the second, that one the third."""
    program = analyse(
        text=text((0x1000, "e8 0c000000 c3"), (0x1010, "90 e8 0b000000 c3"), (0x1020, "c3 50 58 c3")),
        entry=0x1000,
    )
    assert fragments(program) == code((0x1000, 0x1006), (0x1011, 0x1017), (0x1020, 0x1021), (0x1021, 0x1024))


def test_pointer_in_data_cuts_a_gap(analyse: Analyse) -> None:
    pointer = struct.pack("<Q", 0x180000000 + 0x1001)
    leaf = text((0x1000, "c3 31c0 c3"))
    assert fragments(analyse(text=leaf, const=pointer)) == code((0x1000, 0x1004))
    program = analyse(text=leaf, const=pointer, pointers=(CONST,))
    assert fragments(program) == code((0x1000, 0x1001), (0x1001, 0x1004))
    assert program.fields.site.tolist() == [CONST]
    assert program.fields.target.tolist() == [0x1001]
    assert program.fields.form.tolist() == [FieldForm.ADDR64]


def test_branches_do_not_bind_fragments_of_other_functions(analyse: Analyse) -> None:
    """A tail jump is a reference."""
    program = analyse(
        text=text((0x1000, "e9 0b000000"), (0x1010, "c3")),
        const=LEAF,
        rows=((0x1000, 0x1005, CONST), (0x1010, 0x1011, CONST)),
    )
    r = program.references
    assert (r.site.tolist(), r.target.tolist(), r.kind.tolist()) == ([0x1001], [0x1010], [RefKind.BRANCH])
    assert r.fragment.tolist() == [0]


def test_data_in_an_unwind_row_is_opaque(analyse: Analyse) -> None:
    """0x06 is no instruction; the rest of the row is compared as data and keeps to the function."""
    program = analyse(
        text=text((0x1000, "50 c3 06 e8 00000000")), const=LEAF, rows=((0x1000, 0x1008, CONST),)
    )
    assert fragments(program) == [(0x1000, 0x1002, 0x1000, False), (0x1002, 0x1008, 0x1000, True)]
    assert len(program.references) == 0
    assert not program.fragments.falls_through.any()


def test_row_without_any_code_is_opaque(analyse: Analyse) -> None:
    program = analyse(text=text((0x1000, "06 06")), const=LEAF, rows=((0x1000, 0x1002, CONST),))
    assert fragments(program) == [(0x1000, 0x1002, 0x1000, True)]


def test_fragment_that_falls_through(analyse: Analyse) -> None:
    rows = ((0x1000, 0x1001, CONST), (0x1001, 0x1002, CONST))
    program = analyse(text=text((0x1000, "50 c3")), const=LEAF, rows=rows)
    assert program.fragments.falls_through.tolist() == [True, False]


def test_pointer_inside_code(analyse: Analyse) -> None:
    """`mov rax, imm64` with a base relocation; the same field in opaque bytes is a field of data."""
    address = struct.pack("<Q", 0x180003008).hex()
    program = analyse(
        text=text((0x1000, "48b8" + address + "c3"), (0x1020, "06" + address)),
        const=LEAF,
        rows=((0x1000, 0x100B, CONST), (0x1020, 0x1029, CONST)),
        pointers=(0x1002, 0x1021),
    )
    r = program.references
    row = (r.site.tolist(), r.target.tolist(), r.kind.tolist(), r.width.tolist(), r.fragment.tolist())
    assert row == ([0x1002], [0x3008], [RefKind.ABSOLUTE], [8], [0])
    assert program.fields.site.tolist() == [0x1021]
    assert program.fields.target.tolist() == [0x3008]


def test_pointer_out_of_the_image_has_no_target(analyse: Analyse) -> None:
    program = analyse(text=text(), const=struct.pack("<Q", 0x170000000), pointers=(CONST,))
    assert program.fields.target.tolist() == [-1]


def test_pointer_to_the_end_of_the_image_is_kept(analyse: Analyse) -> None:
    program = analyse(text=text(), const=struct.pack("<Q", 0x180000000 + 0x7000), pointers=(CONST,))
    assert program.image.size_of_image == 0x7000
    assert program.fields.target.tolist() == [0x7000]


# lea rdx, [image base]; mov ecx, [rdx + rax*4 + 0x1018]; add rcx, rdx; jmp rcx; 2 cases; table of 2 RVAs
SWITCH = (
    "488d15 f9efffff 8b8c82 18100000 4801d1 ffe1 c3 c3 c3 6690" + struct.pack("<II", 0x1013, 0x1014).hex()
)


def table_fields(program: Program) -> list[tuple[int, int]]:
    """(site, target) of the RVA fields in the code section."""
    f = program.fields
    inside = (f.site < CONST) & (f.form == FieldForm.ADDR32NB)
    return list(zip(f.site[inside].tolist(), f.target[inside].tolist(), strict=True))


def test_switch_table_inside_the_unwind_row(analyse: Analyse) -> None:
    """As MSVC makes it: the table lies behind the code, inside the row, its entries are RVAs."""
    program = analyse(text=text((0x1000, SWITCH)), const=LEAF, rows=((0x1000, 0x1020, CONST),))
    assert fragments(program) == [(0x1000, 0x1018, 0x1000, False), (0x1018, 0x1020, 0x1000, True)]
    r = program.references
    found = list(zip(r.site.tolist(), r.target.tolist(), r.kind.tolist(), strict=True))
    assert found == [(0x1003, 0, RefKind.LEA), (0x100A, 0x1018, RefKind.IMAGE_BASE)]
    assert r.access.tolist() == [0, 4]
    assert table_fields(program) == [(0x1018, 0x1013), (0x101C, 0x1014)]


def test_switch_table_behind_the_unwind_row(analyse: Analyse) -> None:
    program = analyse(text=text((0x1000, SWITCH)), const=LEAF, rows=((0x1000, 0x1016, CONST),))
    assert fragments(program) == [(0x1000, 0x1016, 0x1000, False), (0x1018, 0x1020, 0x1000, True)]
    assert program.padding.tolist() == [[0x1016, 0x1018], [0x1020, 0x1100]]
    assert table_fields(program) == [(0x1018, 0x1013), (0x101C, 0x1014)]


def test_switch_in_a_leaf_function(analyse: Analyse) -> None:
    """No unwind row at all: the same references, the same table."""
    program = analyse(text=text((0x1000, SWITCH)))
    assert fragments(program) == [(0x1000, 0x1016, 0x1000, False), (0x1018, 0x1020, 0x1000, True)]
    assert program.references.kind.tolist() == [RefKind.LEA, RefKind.IMAGE_BASE]
    assert table_fields(program) == [(0x1018, 0x1013), (0x101C, 0x1014)]


def test_table_read_below_its_start(analyse: Analyse) -> None:
    """The lowest case is 2 and the displacement names the table minus two entries: what is there is code."""
    switch = SWITCH.replace("18100000", "10100000")
    program = analyse(text=text((0x1000, switch)), const=LEAF, rows=((0x1000, 0x1020, CONST),))
    assert fragments(program) == [(0x1000, 0x1018, 0x1000, False), (0x1018, 0x1020, 0x1000, True)]
    assert table_fields(program) == [(0x1018, 0x1013), (0x101C, 0x1014)]


def test_structure_offset_is_no_table(analyse: Analyse) -> None:
    """A displacement that leads into another function: the register holds something else by then."""
    other = SWITCH.replace("18100000", "80100000")
    program = analyse(text=text((0x1000, other), (0x1080, "c3")), const=LEAF, rows=((0x1000, 0x1020, CONST),))
    assert RefKind.IMAGE_BASE not in program.references.kind.tolist()


def test_relative_table_of_a_switch(analyse: Analyse) -> None:
    """As clang makes it: in the constants, entries relative to the table."""
    body = "488d0d f91f0000 48630481 4801c8 ffe0 c3 c3"
    const = struct.pack("<iii", 0x1010 - CONST, 0x1011 - CONST, 0x11111111) + LEAF
    program = analyse(text=text((0x1000, body)), const=const, rows=((0x1000, 0x1012, CONST + 12),))
    f = program.fields
    assert f.site.tolist() == [CONST, CONST + 4]
    assert f.target.tolist() == [0x1010, 0x1011]
    assert f.form.tolist() == [FieldForm.TABLE32] * 2
    assert f.origin.tolist() == [CONST] * 2


def test_relative_table_ends_where_code_names_something_else(analyse: Analyse) -> None:
    body = "488d0d f91f0000 48630481 4801c8 8b05 f01f0000 ffe0 c3 c3"
    assert struct.unpack("<i", bytes.fromhex("f01f0000"))[0] + 0x1014 == CONST + 4
    const = struct.pack("<ii", 0x1010 - CONST, 0x1011 - CONST) + LEAF
    program = analyse(text=text((0x1000, body)), const=const, rows=((0x1000, 0x1018, CONST + 8),))
    assert program.fields.site.tolist() == [CONST]


def test_relative_table_ends_at_a_pointer(analyse: Analyse) -> None:
    """Nothing names the pointer behind the table, its bytes would do as entries: its relocation decides."""
    body = "488d0d f91f0000 48630481 4801c8 c3"
    const = struct.pack("<iiQ", 24, 28, 0).ljust(32, b"\0") + LEAF
    rows = ((0x1000, 0x1011, CONST + 32),)
    program = analyse(text=text((0x1000, body)), const=const, rows=rows, pointers=(CONST + 8,))
    assert program.fields.site.tolist() == [CONST, CONST + 4, CONST + 8]
    assert program.fields.form.tolist() == [FieldForm.TABLE32, FieldForm.TABLE32, FieldForm.ADDR64]
    program = analyse(text=text((0x1000, body)), const=const, rows=rows)
    assert program.fields.site.tolist() == list(range(CONST, CONST + 32, 4)), "up to the unwind record"


@pytest.mark.parametrize("where", ["ff0f0000", "00000080", "f90f0100", "00ffff7f"])
def test_relative_table_out_of_the_image(analyse: Analyse, where: str) -> None:
    """Code that takes an address of nothing: no table, no error."""
    body = "488d0d" + where + "48630481 4801c8 ffe0"
    program = analyse(text=text((0x1000, body)), const=LEAF, rows=((0x1000, 0x1012, CONST),))
    assert len(program.fields) == 0


def test_file_does_not_fill_the_section(analyse: Analyse) -> None:
    """Bytes of an executable section that the file does not hold are no filler and no code."""
    program = analyse(text=text((0x1000, "c3"), size=0x200), virtual=0x900)
    assert fragments(program) == code((0x1000, 0x1001))
    assert program.padding.tolist() == [[0x1001, 0x1200]]


def test_image_without_code(analyse: Analyse) -> None:
    program = analyse(text=bytes(0x40), entry=0)
    assert len(program.fragments) == 0
    assert len(program.references) == 0
    assert program.padding.tolist() == [[0x1000, 0x1040]]
    assert program.fragment_at(0x1000) == -1
    assert np.array_equal(program.fields.site, [])


HANDLED = bytes([9, 0, 0, 0])
"""UNWIND_INFO without codes, with a handler."""


def test_handler_of_unwind_data_begins_a_function(analyse: Analyse) -> None:
    """Two jumps in one gap; only unwind data names the second."""
    const = HANDLED + struct.pack("<II", 0x1022, 0)
    program = analyse(
        text=text((0x1000, "c3"), (0x1020, "31c0 31c9 c3")), const=const, rows=((0x1000, 0x1001, CONST),)
    )
    assert fragments(program) == code((0x1000, 0x1001), (0x1020, 0x1022), (0x1022, 0x1025))


def test_labels_in_language_data_of_no_known_form(analyse: Analyse) -> None:
    """Handlers in assembly are given labels of their function: fields, though the form stays unknown."""
    const = HANDLED + struct.pack("<IIII", 0x1020, 0x1001, 0x1003, 0x77777777)
    program = analyse(
        text=text((0x1000, "90909090 c3"), (0x1020, "c3")), const=const, rows=((0x1000, 0x1005, CONST),)
    )
    f = program.fields
    assert list(zip(f.site.tolist(), f.target.tolist(), strict=True)) == [
        (CONST + 4, 0x1020),
        (CONST + 8, 0x1001),
        (CONST + 12, 0x1003),
    ]
    assert program.exceptions.unknown == {CONST}


def test_table_of_bytes_behind_the_table_of_a_leaf_function(analyse: Analyse) -> None:
    """Both belong to the function; the code behind is the next one."""
    switch = "488d15 f9efffff 0fb684 02 28100000 8b8c82 20100000 4801d1 ffe1 c3 c3"
    tables = struct.pack("<II", 0x101B, 0x101C).hex() + "00 01 01 00 01"
    program = analyse(text=text((0x1000, switch), (0x1020, tables), (0x1030, "31c0 c3")))
    assert fragments(program) == [
        (0x1000, 0x101D, 0x1000, False),
        (0x1020, 0x102D, 0x1000, True),
        (0x1030, 0x1033, 0x1030, False),
    ]
    assert table_fields(program) == [(0x1020, 0x101B), (0x1024, 0x101C)]


@pytest.mark.parametrize(
    ("filler", "caller", "cut"),
    [
        ("cccccccc", "e8 ef 00 00 00", 4),  # call 0x1004 + 0x100
        ("cc0f1f00", "e8 ef 00 00 00", 4),  # int3, then a no-operation
        ("cccccccc", "e8 eb 00 00 00", 0),  # the row's first byte is called
        ("cccccccc", "e8 ed 00 00 00", 0),  # one in the middle of the filler
        ("cccccccc", "9090909090", 0),  # nothing names the entry
        ("0f1f4000", "e8 ef 00 00 00", 0),  # functions may begin with a no-operation
        ("cc31d2cc", "e8 ef 00 00 00", 0),  # code in between
    ],
)
def test_filler_in_front_of_the_entry_in_its_row(
    analyse: Analyse, filler: str, caller: str, cut: int
) -> None:
    """The function begins behind it, with all that belongs to the function."""
    image = text((0x1010, caller + "c3"), (0x1100, filler + "31c0 eb02 9090 c3"), size=0x200)
    program = analyse(text=image, const=LEAF, rows=((0x1010, 0x1016, CONST), (0x1100, 0x110B, CONST)))
    start = 0x1100 + cut
    assert [row for row in fragments(program) if row[0] >= 0x1100] == code((start, 0x110B))
    assert program.fragments.unwind[program.fragment_at(start)] == CONST
    assert ([0x1100, start] in program.padding.tolist()) is bool(cut)


def test_parts_of_a_function_follow_its_entry(analyse: Analyse) -> None:
    """A jump table keeps its function when the start of that is cut."""
    switch = "488d15 f5eeffff 8b8c82" + struct.pack("<I", 0x1120).hex() + "4801d1 ffe1 c3"
    table = struct.pack("<II", 0x1117, 0x1117).hex()
    image = text((0x1010, "e8 ef000000 c3"), (0x1100, "cccccccc" + switch), (0x1120, table), size=0x200)
    program = analyse(text=image, const=LEAF, rows=((0x1010, 0x1016, CONST), (0x1100, 0x1118, CONST)))
    found = {row[0]: row for row in fragments(program)}
    assert found[0x1104] == (0x1104, 0x1118, 0x1104, False)
    assert found[0x1120] == (0x1120, 0x1128, 0x1104, True)
