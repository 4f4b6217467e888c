"""Operands relative to the image base: which are tables, where those begin, what is cut off for them."""

import struct
from collections.abc import Callable

import pytest

from hpbuild.code.decode import RefKind
from hpbuild.code.image_base import add_image_base_operands
from hpbuild.code.layout import Layout, add_code
from hpbuild.code.model import FieldForm, Program
from hpbuild.code.pieces import Piece
from hpbuild.pe.image import Image

TEXT, CONST, END = 0x1000, 0x3000, 0x4000
Build = Callable[..., Image]
Analyse = Callable[..., Program]

BASE = "488d15 f9efffff"
"""`lea rdx, [image base]` at 0x1000; 7 bytes."""
CODE_END = 0x1018
"""Behind the code of ``reads``."""


def read(displacement: int) -> str:
    """`mov ecx, [rdx+rax*4+displacement]`; 7 bytes, the displacement behind three."""
    return "8b8c82" + struct.pack("<I", displacement).hex()


def reads(displacement: int) -> str:
    """A switch: the image base, an entry, their sum, a jump, two cases; 24 bytes."""
    return BASE + read(displacement) + "4801d1 ffe1 c3 c3 cccccc"


def entries(*targets: int) -> str:
    return struct.pack(f"<{len(targets)}I", *targets).hex()


def text(*parts: tuple[int, str]) -> bytes:
    page = bytearray(b"\xcc" * 0x2000)
    for rva, content in parts:
        octets = bytes.fromhex(content)
        page[rva - TEXT : rva - TEXT + len(octets)] = octets
    return bytes(page)


def image_of(build: Build, *parts: tuple[int, str], const: bytes = bytes(0x1000)) -> Image:
    return build(text=text(*parts), const=const)


def layout_of(image: Image, *rows: tuple[int, int, int], cut: bool = True) -> Layout:
    """Pieces (start, end, root), and what is found in them."""
    layout = Layout()
    for start, end, root in rows:
        add_code(image, layout, [Piece(start, end, root, 0, False)])
    add_image_base_operands(image, layout, list(layout.pieces.values()), cut=cut)
    return layout


def pieces(layout: Layout) -> list[tuple[int, int, int, bool]]:
    found = (layout.pieces[start] for start in sorted(layout.pieces))
    return [(piece.start, piece.end, piece.root, piece.opaque) for piece in found]


def operands(layout: Layout) -> set[tuple[int, int, int]]:
    """(site, target, bytes read) of the image-base references."""
    return {
        (site, target, meta >> 12)
        for site, target, meta in layout.references(layout.pieces.values()).T.tolist()
        if meta & 15 == RefKind.IMAGE_BASE
    }


def constants(size: int, *parts: tuple[int, str]) -> bytes:
    page = bytearray(size)
    for rva, content in parts:
        octets = bytes.fromhex(content)
        page[rva - CONST : rva - CONST + len(octets)] = octets
    return bytes(page)


@pytest.mark.parametrize(
    ("bias", "found"), [(0, True), (1, True), (2, True), (100, True), (1023, True), (1024, False)]
)
def test_table_read_below_its_start(build: Build, bias: int, found: bool) -> None:
    """The lowest case is not 0: the operand names what lies before the table, the table is found; not
    without end."""
    table = CONST + 4 * bias
    image = image_of(build, (TEXT, reads(CONST)), const=constants(0x2000, (table, entries(0x1010, 0x1011))))
    layout = layout_of(image, (TEXT, CODE_END, TEXT))
    assert layout.tables == {table if found else CONST: (TEXT, 4)}
    assert operands(layout) == {(0x100A, CONST, 4)}
    assert pieces(layout) == [(TEXT, CODE_END, TEXT, False)]


@pytest.mark.parametrize("target", [END - 4, END - 8, END - 6, END - 1])
def test_table_at_the_end_of_the_image(build: Build, target: int) -> None:
    """Its last entry is the last word of the image."""
    image = image_of(build, (TEXT, reads(target)), const=constants(0x1000, (END - 4, entries(0x1010))))
    assert image.size_of_image == END
    layout = layout_of(image, (TEXT, CODE_END, TEXT))
    assert layout.tables == {END - 4 if target % 4 == 0 else target: (TEXT, 4)}


@pytest.mark.parametrize(
    ("value", "skipped"),
    [(TEXT, False), (CODE_END - 1, False), (TEXT - 1, True), (CODE_END, True), (0, True), (0xFFFFFFFF, True)],
)
def test_entries_point_into_the_function(build: Build, value: int, skipped: bool) -> None:
    const = constants(0x1000, (CONST, entries(value, 0x1010)))
    layout = layout_of(image_of(build, (TEXT, reads(CONST)), const=const), (TEXT, CODE_END, TEXT))
    assert layout.tables == {CONST + 4 * skipped: (TEXT, 4)}


@pytest.mark.parametrize(
    ("displacement", "accepted"),
    [
        (0x1000, True),  # in the function itself, and right behind it
        (0x1018, True),
        (0x1028, True),
        (0x1029, False),
        (0x1100, False),  # in another function: an offset in a structure
        (0x2FFC, False),
        (0x3000, True),  # in constants
        (0x3FFF, True),
        (0x0FFC, False),  # no section
        (0x4000, False),
        (0x7FFFFFFC, False),
        (0xFFFFF000, False),
    ],
)
def test_what_an_operand_may_name(build: Build, displacement: int, accepted: bool) -> None:
    image = image_of(build, (TEXT, reads(displacement)), (0x1100, "c3"))
    layout = layout_of(image, (TEXT, CODE_END, TEXT), (0x1100, 0x1101, 0x1100), cut=False)
    assert operands(layout) == ({(0x100A, displacement, 4)} if accepted else set())
    assert bool(layout.tables) is (accepted and displacement >= CONST), "no entries in the code"


def test_nothing_before_the_function(build: Build) -> None:
    """The code in front of it is another function's, however close."""
    base = "488d15 f9eeffff"  # at 0x1100
    image = image_of(build, (TEXT, "c3"), (0x1100, base + read(0x10FC) + "c3"))
    layout = layout_of(image, (TEXT, TEXT + 1, TEXT), (0x1100, 0x110F, 0x1100))
    assert operands(layout) == set()
    assert layout.tables == {}


@pytest.mark.parametrize(
    ("access", "size"),
    [
        ("0fb68c02", 1),  # movzx ecx, byte
        ("0fb78c42", 2),
        ("488b8cc2", 8),
        ("488d8c82", 0),  # lea
    ],
)
def test_operand_that_reads_no_entries(build: Build, access: str, size: int) -> None:
    """A reference like any other, but no table of addresses: not cut off, not followed."""
    code = BASE + access + entries(CODE_END) + "c3"
    image = image_of(build, (TEXT, code + "cc" * 8))
    layout = layout_of(image, (TEXT, CODE_END, TEXT))
    assert operands(layout) == {(TEXT + 11, CODE_END, size)}
    assert layout.tables == {}


@pytest.mark.parametrize("cut", [True, False])
def test_table_inside_the_function_is_cut_off(build: Build, cut: bool) -> None:
    """What lies behind the code in the unwind row is data; where the code was found by following it, it ends
    before the table anyway."""
    image = image_of(build, (TEXT, reads(CODE_END) + entries(0x1012, 0x1013)))
    layout = layout_of(image, (TEXT, CODE_END + 8, TEXT), cut=cut)
    table = (CODE_END, CODE_END + 8, TEXT, True)
    whole = (TEXT, CODE_END + 8, TEXT, False)
    assert pieces(layout) == ([(TEXT, CODE_END, TEXT, False), table] if cut else [whole])
    assert layout.tables == {CODE_END: (TEXT, 4)}
    assert operands(layout) == {(0x100A, CODE_END, 4)}


def test_two_tables_one_behind_the_other(build: Build) -> None:
    second = 0x1020 + 8
    code = BASE + read(0x1020) + read(second) + "4801d1 ffe1 c3 cccccccccc"
    image = image_of(build, (TEXT, code + entries(0x101A, 0x101A) + entries(0x101A)))
    layout = layout_of(image, (TEXT, second + 4, TEXT))
    assert layout.tables == {0x1020: (TEXT, 4), second: (TEXT, 4)}
    assert pieces(layout) == [
        (TEXT, 0x1020, TEXT, False),
        (0x1020, second, TEXT, True),
        (second, second + 4, TEXT, True),
    ]


def test_table_in_what_is_opaque_already(build: Build) -> None:
    """A byte that is no instruction ended the code before the table."""
    image = image_of(build, (TEXT, reads(0x1020) + "06" * 8 + entries(0x1012, 0x1013)))
    layout = layout_of(image, (TEXT, 0x1028, TEXT))
    assert pieces(layout) == [
        (TEXT, CODE_END, TEXT, False),
        (CODE_END, 0x1020, TEXT, True),
        (0x1020, 0x1028, TEXT, True),
    ]


def test_table_at_the_start_of_a_piece(build: Build) -> None:
    """A chained unwind row describes nothing but the table."""
    image = image_of(build, (TEXT, reads(CODE_END) + entries(0x1012)))
    rows = (TEXT, CODE_END, TEXT), (CODE_END, CODE_END + 4, TEXT)
    layout = layout_of(image, *rows)
    assert pieces(layout) == [(*rows[0], False), (*rows[1], True)]
    assert layout.references([layout.pieces[CODE_END]]).size == 0


def test_no_function_begins_with_its_table(build: Build) -> None:
    image = image_of(build, (TEXT, reads(CODE_END) + entries(0x1012)))
    rows = (TEXT, CODE_END, TEXT), (CODE_END, CODE_END + 4, CODE_END)
    assert pieces(layout_of(image, *rows)) == [(*row, False) for row in rows]


def test_bytes_of_a_table_are_no_operands(build: Build) -> None:
    """The table itself, taken for instructions, reads behind the register that holds the image base."""
    code = "29840a" + entries(CODE_END + 12) + "90"  # sub [rdx + rcx + an entry], eax
    image = image_of(build, (TEXT, reads(CODE_END) + entries(0x1012) + code + entries(0x1013)))
    layout = layout_of(image, (TEXT, CODE_END + 16, TEXT))
    assert layout.tables == {CODE_END: (TEXT, 4)}
    assert pieces(layout) == [(TEXT, CODE_END, TEXT, False), (CODE_END, CODE_END + 16, TEXT, True)]


@pytest.mark.parametrize(("target", "entry"), [(CODE_END + 2, 0x1012), (CODE_END, 0x1000 - 1)])
def test_offset_that_looks_like_a_table_in_code(build: Build, target: int, entry: int) -> None:
    """Not aligned, or nothing there points into the function: a reference all the same."""
    place = target - CODE_END
    image = image_of(build, (TEXT, reads(target) + "90" * place + entries(entry) + "c3"))
    layout = layout_of(image, (TEXT, CODE_END + place + 5, TEXT))
    assert layout.tables == {}
    assert operands(layout) == {(0x100A, target, 4)}


def test_what_is_no_instruction_behind_a_table_belongs_to_it(build: Build) -> None:
    image = image_of(build, (TEXT, reads(CODE_END) + entries(0x1012, 0x1013) + "06" * 4))
    layout = layout_of(image, (TEXT, CODE_END + 12, TEXT))
    assert pieces(layout) == [(TEXT, CODE_END, TEXT, False), (CODE_END, CODE_END + 12, TEXT, True)]


@pytest.mark.parametrize("own", [True, False])
def test_other_fragments_of_the_function_use_its_base(build: Build, own: bool) -> None:
    """Taken in the first fragment, used in the second; another function's base says nothing."""
    root = TEXT if own else 0x1100
    image = image_of(build, (TEXT, BASE + "c3"), (0x1100, read(CONST) + "4801d1 ffe1"))
    layout = layout_of(image, (TEXT, TEXT + 8, TEXT), (0x1100, 0x110C, root))
    assert operands(layout) == ({(0x1103, CONST, 4)} if own else set())
    assert layout.tables == ({CONST: (TEXT, 4)} if own else {})


def test_numbers_in_front_of_what_looks_like_an_entry(build: Build) -> None:
    """A table of numbers is no jump table, whatever lies behind it: nothing makes its words addresses."""
    const = constants(0x1000, (CONST, entries(5, 6, 7, TEXT + 1)))
    image = image_of(build, (TEXT, BASE + read(CONST) + "c3"), const=const)
    layout = layout_of(image, (TEXT, TEXT + 15, TEXT))
    assert operands(layout) == {(0x100A, CONST, 4)}
    assert layout.tables == {}
    image = image_of(build, (TEXT, reads(CONST)), const=const)
    assert layout_of(image, (TEXT, CODE_END, TEXT)).tables == {CONST + 12: (TEXT, 4)}


def test_entries_of_a_table_point_into_any_fragment(build: Build) -> None:
    """From the lowest start to the highest end of the function."""
    const = constants(0x1000, (CONST, entries(0x1200, 0x1201, 0x1100)))
    image = image_of(build, (TEXT, reads(CONST)), (0x1200, "c3"), const=const)
    alone = layout_of(image, (TEXT, CODE_END, TEXT), (0x1200, 0x1201, 0x1200))
    assert alone.tables == {CONST: (TEXT, 4)}, "nothing in it is the function's: as the operand says"
    const = constants(0x1000, (CONST, entries(0x1201, 0x1200)))
    image = image_of(build, (TEXT, reads(CONST)), (0x1200, "c3"), const=const)
    both = layout_of(image, (TEXT, CODE_END, TEXT), (0x1200, 0x1201, TEXT))
    assert both.tables == {CONST + 4: (TEXT, 4)}


def test_functions_without_the_image_base_are_left_alone(build: Build) -> None:
    image = image_of(build, (TEXT, "488d15 f9f00000" + read(CONST) + "c3"))
    layout = layout_of(image, (TEXT, TEXT + 15, TEXT))
    assert (operands(layout), layout.tables) == (set(), {})
    add_image_base_operands(image, layout, [], cut=True)
    assert pieces(layout) == [(TEXT, TEXT + 15, TEXT, False)]


def test_opaque_pieces_are_not_read(build: Build) -> None:
    image = image_of(build, (TEXT, BASE + "c3"), (0x1100, read(CONST) + "c3"))
    layout = Layout()
    add_code(image, layout, [Piece(TEXT, TEXT + 8, TEXT, 0, False)])
    layout.pieces[0x1100] = Piece(0x1100, 0x1108, TEXT, 0, True)
    add_image_base_operands(image, layout, list(layout.pieces.values()), cut=True)
    assert (operands(layout), layout.tables) == (set(), {})


def test_table_in_constants_becomes_fields(analyse: Analyse) -> None:
    """Read two entries below its start; what lies there, and the number behind it, are left alone."""
    const = constants(0x20, (CONST + 8, entries(0x1012, 0x1013, 0x2000)), (CONST + 0x1C, "01000000"))
    program = analyse(
        text=text((TEXT, reads(CONST)))[:0x100], const=const, rows=((TEXT, CODE_END, CONST + 0x1C),)
    )
    f = program.fields
    assert f.site.tolist() == [CONST + 8, CONST + 12]
    assert f.target.tolist() == [0x1012, 0x1013]
    assert set(f.form.tolist()) == {FieldForm.ADDR32NB}
