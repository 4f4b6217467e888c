"""Which fragments read tables: found over all code, as if each were decoded whole."""

import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.address_tables import address_tables
from hpbuild.code.decode import RefKind
from hpbuild.code.model import FieldForm, Fragments, Program, References
from hpbuild.code.program import load_program
from hpbuild.code.table_readers import read_tables
from hpbuild.code.tables import relative_tables
from hpbuild.pe.image import Image
from hpbuild.pe.symbols import load_symbols

TEXT, CONST = 0x1000, 0x3000
LEAF = bytes([1, 0, 0, 0])
Analyse, Build = Callable[..., Program], Callable[..., Image]


def lea_rcx(at: int, target: int = CONST) -> bytes:
    """`lea rcx, [target]`"""
    return b"\x48\x8d\x0d" + struct.pack("<i", target - at - 7)


READ = bytes.fromhex("48630481 4801c8 ffe0")
"""`movsxd rax, dword [rcx+rax*4]; add rax, rcx; jmp rax`"""
BASED = bytes.fromhex("8b9481 00300000 4801ca ffe2")
"""`mov edx, [rcx+rax*4+0x3000]; add rdx, rcx; jmp rdx`"""


def found(program: Program) -> list[tuple[int, FieldForm]]:
    return list(read_tables(program.image, program.fragments, program.references))


def text_of(*pieces: tuple[int, bytes]) -> bytes:
    code = bytearray(b"\xcc" * 0x100)
    for at, piece in pieces:
        code[at : at + len(piece)] = piece
    return bytes(code)


def test_both_forms(analyse: Analyse) -> None:
    first, second = lea_rcx(TEXT, CONST + 0x40) + READ, lea_rcx(TEXT + 0x40, 0) + BASED
    program = analyse(
        text=text_of((0, first), (0x40, second)),
        const=bytes(0x80) + LEAF,
        rows=(
            (TEXT, TEXT + len(first), CONST + 0x80),
            (TEXT + 0x40, TEXT + 0x40 + len(second), CONST + 0x80),
        ),
    )
    assert found(program) == [(CONST + 0x40, FieldForm.TABLE32), (CONST, FieldForm.ADDR32NB)]


def one_fragment(start: int, end: int) -> Fragments:
    number = np.zeros(1, dtype=np.int64)
    no = np.zeros(1, dtype=np.bool_)
    return Fragments(
        start=number + start, end=number + end, root=number, unwind=number, opaque=no, falls_through=no
    )


def no_references() -> References:
    none, few, sizes = (np.zeros(0, dtype=kind) for kind in (np.int64, np.uint8, np.uint16))
    return References(
        site=none, target=none, kind=few, width=few, trailing=few, access=sizes, fragment=none
    )  # fmt: skip


@pytest.mark.parametrize("load", range((1 << 18) - 5, (1 << 18) + 3))
def test_load_across_the_border_of_a_piece(build: Build, load: int) -> None:
    """Code is looked through in pieces; wherever the load lies, it is found."""
    small = build(text=b"\xc3")
    size = 0x50000
    image = replace(
        small,
        memory=np.zeros(TEXT + size, dtype=np.uint8),
        size_of_image=TEXT + size,
        sections=(replace(small.sections[0], virtual_size=size),),
    )
    start = TEXT + load - 7
    code = lea_rcx(start, TEXT) + READ
    image.memory[start : start + len(code)] = np.frombuffer(code, dtype=np.uint8)
    fragments = one_fragment(start, start + len(code))
    assert list(read_tables(image, fragments, no_references())) == [(TEXT, FieldForm.TABLE32)]
    cut = one_fragment(start, start + 10)  # in the middle of the load
    assert list(read_tables(image, cut, no_references())) == []


def one_by_one(program: Program) -> list[tuple[int, FieldForm]]:
    """Every fragment decoded from its start to its end, with all that it reads behind the image base."""
    image, fragments, references = program.image, program.fragments, program.references
    reads = (references.kind == RefKind.IMAGE_BASE) & (references.access == 4)
    named = dict(zip(references.site[reads].tolist(), references.target[reads].tolist(), strict=True))
    rows: list[tuple[int, FieldForm]] = []
    for start, end in zip(fragments.start[~fragments.opaque], fragments.end[~fragments.opaque], strict=True):
        code = image.read(int(start), int(end - start))
        own = {site: target for site, target in named.items() if start <= site < end}
        tables = dict.fromkeys(relative_tables(code, int(start)), FieldForm.TABLE32)
        tables.update(dict.fromkeys(address_tables(code, int(start), own), FieldForm.ADDR32NB))
        rows += sorted(tables.items())
    in_code = [s.range for s in image.sections if s.executable]
    return [
        (table, form)
        for table, form in rows
        if form is FieldForm.TABLE32 or not any(table in run for run in in_code)
    ]


@pytest.mark.parametrize("name", ["codec", "throwing"])
@pytest.mark.parametrize("version", ["baseline", "fixed"])
def test_real_code(program_of: Callable[..., Program], version: str, name: str) -> None:
    program = program_of(f"{version}/{name}.dll")
    assert found(program) == one_by_one(program)


INSTRUCTION = st.sampled_from(
    [
        "488d0d f9efffff",  # lea rcx, [image base] where it lies first
        "488d15 10000000",
        "8b9481 00300000",  # mov edx, [rcx+rax*4+0x3000]
        "8b9481 08300000",
        "8b8c82 10300000",  # mov ecx, [rdx+rax*4+0x3010]
        "4803d1",
        "4801ca",
        "488d0c11",
        "33c9",
        "488bd1",
        "e800000000",
        "48630481",
        "90",
    ]
)


@given(st.lists(INSTRUCTION, max_size=12))
def test_any_order(build: Build, code: list[str]) -> None:
    """Nothing in front of what takes the image base counts, and nothing behind the last read."""
    octets = lea_rcx(TEXT + 5, 0) + bytes.fromhex("".join(code))
    text = bytes.fromhex("e8 00000000") + octets + b"\xc3"
    rows = ((TEXT, TEXT + len(text), CONST),)
    image = build(text=text.ljust(0x100, b"\xcc"), const=LEAF, rows=rows)
    program = load_program(image, load_symbols(image, None))
    assert found(program) == one_by_one(program)
