"""References found with capstone: against iced-x86 on real code, and in code written here."""

from pathlib import Path

import iced_x86
import numpy as np
import pytest

from hpbuild.pe.reader import read_image
from hpbuild.pe.unwind import runtime_functions
from hpbuild.prove.decode import Decoded, Known, references
from hpbuild.prove.pieces import Pieces
from hpbuild.prove.references import Form, Use

BASE = 0x1000
LIMITS = (0x1000, 0x10000)


def _decode(code: bytes, *, high: int | None = None) -> Decoded:
    memory = np.frombuffer(bytes(BASE) + code, dtype=np.uint8)
    end = BASE + len(code)
    return references(memory, Pieces.of([(BASE, end, BASE, high or end, 0)]), LIMITS)


def _rows(found: Decoded) -> list[tuple[int, int, int, int, int]]:
    refs = found.references
    columns = (refs.site, refs.width, refs.anchor, refs.form, refs.use)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("name", ["codec.dll", "throwing.dll"])
def test_agrees_with_the_builders_decoder(binaries: Path, name: str) -> None:
    """Same instructions, same fields: branches that leave the function and RIP-relative operands."""
    image = read_image(binaries / "fixed" / name)
    table = runtime_functions(image)
    functions = list(zip(table.begin.tolist(), table.end.tolist(), strict=True))
    pieces = Pieces.of((begin, end, begin, end, begin) for begin, end in functions)
    found = references(np.ascontiguousarray(image.memory), pieces, (0, 0))
    assert found.undecodable == ()
    wanted, count = [], 0
    for begin, end in functions:
        decoder = iced_x86.Decoder(64, image.read(begin, end - begin), ip=begin)
        for instruction in decoder:
            count += 1
            offsets = decoder.get_constant_offsets(instruction)
            after = instruction.next_ip
            if instruction.is_ip_rel_memory_operand:
                use = Use.ADDRESS if instruction.mnemonic == iced_x86.Mnemonic.LEA else Use.ACCESS
                wanted.append((instruction.ip + offsets.displacement_offset, 4, after, Form.RELATIVE, use))
            elif instruction.near_branch_target and not begin <= instruction.near_branch_target < end:
                place = instruction.ip + offsets.immediate_offset
                wanted.append((place, offsets.immediate_size, after, Form.RELATIVE, Use.BRANCH))
    assert found.instructions == count
    assert _rows(found) == sorted(wanted)
    assert len(wanted) > 30


@pytest.mark.parametrize(
    ("code", "row"),
    [
        ("e8fb0f0000", (1, 4, 5, Form.RELATIVE, Use.BRANCH)),  # call
        ("eb10", (1, 1, 2, Form.RELATIVE, Use.BRANCH)),  # jmp short
        ("0f8400100000", (2, 4, 6, Form.RELATIVE, Use.BRANCH)),  # je
        ("e310", (1, 1, 2, Form.RELATIVE, Use.BRANCH)),  # jrcxz
        ("e210", (1, 1, 2, Form.RELATIVE, Use.BRANCH)),  # loop
        ("c7f800100000", (2, 4, 6, Form.RELATIVE, Use.BRANCH)),  # xbegin
        ("f2e800100000", (2, 4, 6, Form.RELATIVE, Use.BRANCH)),  # bnd call
        ("488d0500100000", (3, 4, 7, Form.RELATIVE, Use.ADDRESS)),  # lea
        ("660f6f0500100000", (4, 4, 8, Form.RELATIVE, Use.ACCESS)),  # movdqa: operand-size prefix
        ("66c70500100000cdab", (3, 4, 9, Form.RELATIVE, Use.ACCESS)),  # mov word, immediate behind
        ("c4e17d6f0500100000", (5, 4, 9, Form.RELATIVE, Use.ACCESS)),  # vmovdqa, 3-byte VEX
        ("62f1fd486f0500100000", (6, 4, 10, Form.RELATIVE, Use.ACCESS)),  # vmovdqa64, EVEX
        ("ff2500100000", (2, 4, 6, Form.RELATIVE, Use.ACCESS)),  # jmp through a slot
    ],
)
def test_one_reference(code: str, row: tuple[int, int, int, int, int]) -> None:
    found = _decode(bytes.fromhex(code))
    site, width, anchor, form, use = row
    assert found.undecodable == ()
    assert _rows(found) == [(BASE + site, width, BASE + anchor, form, use)]


@pytest.mark.parametrize("code", ["ebfe", "e8fbffffff", "7400", "c3", "b800100000", "ff10", "0f1f8000100000"])
def test_no_reference(code: str) -> None:
    assert _rows(_decode(bytes.fromhex(code), high=BASE + 0x80)) == []


@pytest.mark.parametrize(
    ("code", "at"),
    [("06", 0), ("90c5", 1), ("67488d0500100000", 0), ("e8", 0)],
    ids=["not 64-bit", "cut off", "eip-relative", "call without operand"],
)
def test_undecodable(code: str, at: int) -> None:
    found = _decode(bytes.fromhex(code))
    assert found.undecodable == ((BASE + at, 0),)


def test_instruction_that_capstone_does_not_know() -> None:
    """What follows REP XSHA512 is decoded, and belongs to the same function."""
    code = bytes.fromhex("f30fa6e0" + "e8fb0f0000" + "f30fa6e0" + "c3")
    found = _decode(code)
    assert found.undecodable == ()
    assert found.instructions == 4
    assert _rows(found) == [(BASE + 5, 4, BASE + 9, Form.RELATIVE, Use.BRANCH)]


@pytest.mark.parametrize("code", ["c3f30fa6e1", "c3f30fa6", "c30fa6e0"])
def test_nothing_like_it_is_taken_for_it(code: str) -> None:
    assert _decode(bytes.fromhex(code)).undecodable == ((BASE + 1, 0),)


def _base(register: str) -> bytes:
    """lea register, [rip -> RVA 0], as the first instruction."""
    head = {"rcx": "488d0d", "r10": "4c8d15"}[register]
    return bytes.fromhex(head) + (-(BASE + 7)).to_bytes(4, "little", signed=True)


@pytest.mark.parametrize(
    ("code", "site"),
    [
        ("418b8c8200300000", 4),  # mov ecx, [r10+rax*4+0x3000]
        ("478b8c8200300000", 4),  # mov r9d, [r10+r8*4+0x3000]
        ("498d8200300000", 3),  # lea rax, [r10+0x3000]
        ("6642c784100030000001 00".replace(" ", ""), 5),  # mov word [rax+r10+0x3000], 1
    ],
)
def test_displacement_from_the_image_base(code: str, site: int) -> None:
    rows = _rows(_decode(_base("r10") + bytes.fromhex(code)))
    assert [row[:2] + row[3:4] for row in rows] == [
        (BASE + 3, 4, Form.RELATIVE),
        (BASE + 7 + site, 4, Form.RVA),
    ]


def test_displacement_from_a_copy_of_the_image_base() -> None:
    code = _base("rcx") + bytes.fromhex("4989ca" + "418b8c8200300000")  # mov r10, rcx
    assert [row[3] for row in _rows(_decode(code))] == [Form.RELATIVE, Form.RVA]


LEA = "488d0c8500300000"  # lea rcx, [rax*4+0x3000]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (LEA + "4c01d1", True),  # add rcx, r10
        (LEA + "4901ca", True),  # add r10, rcx
        (LEA + "418b0c0a", True),  # mov ecx, [r10+rcx]
        (LEA + "4839d1" + "4c01d1", True),  # cmp rcx, rdx between
        (LEA + "4801d1" + "418b0c0a", True),  # add rcx, rdx; mov ecx, [r10+rcx]
        (LEA + "4c89d1" + LEA + "428b0c11", True),  # mov rcx, r10; and again, with rcx a base of elsewhere
        (LEA, False),
        (LEA + "4801d1", False),  # add rcx, rdx
        (LEA + "488bca" + "4c01d1", False),  # mov rcx, rdx between
        ("488d0c8500000200" + "4c01d1", False),  # outside the image
    ],
)
def test_displacement_to_which_the_image_base_is_added(code: str, found: bool) -> None:
    rows = _rows(_decode(_base("r10") + bytes.fromhex(code)))
    assert [row[3] for row in rows if row[3] != Form.RELATIVE] == [Form.RVA] * found
    if found:
        assert rows[-1][:2] == (BASE + 7 + code.rindex(LEA) // 2 + 4, 4)


@pytest.mark.parametrize(
    "code",
    ["8b8c8300300000", "418b8a00000200", "418b4a10"],
    ids=["other register", "outside the image", "8 bits"],
)
def test_plain_displacement(code: str) -> None:
    assert [row[3] for row in _rows(_decode(_base("r10") + bytes.fromhex(code)))] == [Form.RELATIVE]


def test_image_base_reaches_all_parts_of_a_function() -> None:
    """The part that takes the base and the part that uses it are one function, another function is not."""
    use = bytes.fromhex("418b8c8200300000")
    memory = np.frombuffer(bytes(BASE) + _base("r10") + use + use, dtype=np.uint8)
    parts = [(BASE, BASE + 7, 1), (BASE + 7, BASE + 15, 1), (BASE + 15, BASE + 23, 2)]
    found = references(
        memory, Pieces.of((begin, end, begin, end, function) for begin, end, function in parts), LIMITS
    )
    rvas = found.references.row[found.references.form == Form.RVA]
    assert rvas.tolist() == [1]


def _said(found: Decoded) -> tuple[object, ...]:
    refs = found.references
    columns = (refs.site, refs.width, refs.anchor, refs.form, refs.use, refs.row)
    return [column.tolist() for column in columns], found.undecodable, found.instructions


@pytest.mark.parametrize(
    "known",
    [
        [(0, 7), (7, 15), (15, 23), (23, 30)],
        [(7, 15)],
        [(0, 7), (15, 23)],
        [(0, 23)],
        [(0, 7), (3, 9), (7, 15)],
        [(23, 30), (30, 31), (31, 40)],
        [(7, 15), (7, 15), (0, 7)],
        [(0, 4000)],
        [],
    ],
    ids=["all", "the use alone", "two", "other", "overlapping", "bad ones", "twice", "too long", "none"],
)
@pytest.mark.parametrize("functions", [(1, 1, 1, 1), (1, 1, 2, 2), (2, 1, 1, 2)])
def test_what_was_decoded_before_changes_nothing(
    known: list[tuple[int, int]], functions: tuple[int, ...]
) -> None:
    """The part that takes the image base, two that use it, and a branch with a byte behind that is none."""
    use = bytes.fromhex("418b8c8200300000")
    code = _base("r10") + use + use + bytes.fromhex("4e" + "e8fb0f0000" + "c3" + "06")
    memory = np.frombuffer(bytes(BASE) + code, dtype=np.uint8)
    parts = [(0, 7), (7, 15), (15, 23), (23, 31)]
    pieces = Pieces.of(
        (BASE + low, BASE + high, BASE + low, BASE + high, function)
        for (low, high), function in zip(parts, functions, strict=True)
    )
    owner = dict(zip((low for low, _ in parts), functions, strict=True))
    ahead = Pieces.of(
        (BASE + low, BASE + high, BASE + low, BASE + high, owner.get(low, 7)) for low, high in known
    )
    alone = references(memory, pieces, LIMITS)
    assert alone.undecodable == ((BASE + 30, 3),)
    assert _said(references(memory, pieces, LIMITS, Known.of(memory, ahead, LIMITS))) == _said(alone)
    for one in range(len(pieces)):  # of a function there is less than what is known
        rows = np.delete(np.arange(len(pieces)), one)
        some = pieces.take(rows)
        assert _said(references(memory, some, LIMITS, Known.of(memory, ahead, LIMITS))) == _said(
            references(memory, some, LIMITS)
        )


def test_what_was_decoded_of_a_part_is_not_that_of_the_fragment() -> None:
    """A branch out of the piece stays in the fragment: decoded with other borders it would be a reference."""
    code = bytes.fromhex("eb02" + "9090" + "c3")
    memory = np.frombuffer(bytes(BASE) + code, dtype=np.uint8)
    piece = Pieces.of([(BASE, BASE + 2, BASE, BASE + 5, 0)])
    known = Known.of(memory, Pieces.of([(BASE, BASE + 2, BASE, BASE + 2, 0)]), LIMITS)
    assert len(known.found.references) == 1
    assert len(references(memory, piece, LIMITS, known).references) == 0
