"""Tables of MSVC's C++ handler and of the stack-cookie handler, made by hand."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.exceptions import read_record
from hpbuild.code.exceptions_msvc import func_info
from hpbuild.code.model import FieldForm
from hpbuild.code.stack_cookies import stack_cookie
from hpbuild.pe.image import Image

CONST = 0x3000
INFO, UNWIND, TRIES, HANDLERS, STATES, TYPE = 0x3100, 0x3200, 0x3300, 0x3400, 0x3500, 0x3600
NB = FieldForm.ADDR32NB
Make = Callable[[bytes], Image]


def info(**changes: int) -> bytes:
    """FuncInfo of two states, one try block with two handlers, three ranges."""
    fields = {
        "magic": 0x19930522, "states": 2, "unwind": UNWIND, "tries": 1, "blocks": TRIES, "points": 3,
        "map": STATES, "frame": 0x28, "types": 0, "flags": 1,
    } | changes  # fmt: skip
    return struct.pack("<10I", *fields.values())


def constants(function: bytes) -> bytes:
    """The language data (an RVA) at the start, FuncInfo and its tables where the constants above say."""
    page = bytearray(0x800)

    def put(rva: int, content: bytes) -> None:
        page[rva - CONST : rva - CONST + len(content)] = content

    put(CONST, struct.pack("<I", INFO))
    put(INFO, function)
    put(UNWIND, struct.pack("<iIiI", -1, 0x1010, 0, 0))  # the second state has nothing to undo
    put(TRIES, struct.pack("<IIIII", 0, 0, 1, 2, HANDLERS))
    put(HANDLERS, struct.pack("<IIIII", 8, TYPE, 0x20, 0x1020, 0x38))
    put(HANDLERS + 20, struct.pack("<IIIII", 0x40, 0, 0, 0x1030, 0x38))  # catch (...): no type
    put(STATES, struct.pack("<IiIiIi", 0x1000, -1, 0x1004, 0, 0x1008, 1))
    return bytes(page)


EXPECTED = {
    (CONST, INFO),
    (INFO + 8, UNWIND),
    (INFO + 16, TRIES),
    (INFO + 24, STATES),
    (UNWIND + 4, 0x1010),
    (TRIES + 16, HANDLERS),
    (HANDLERS + 4, TYPE),
    (HANDLERS + 12, 0x1020),
    (HANDLERS + 32, 0x1030),
    (STATES, 0x1000),
    (STATES + 8, 0x1004),
    (STATES + 16, 0x1008),
}


@pytest.mark.parametrize("magic", [0x19930520, 0x19930521, 0x19930522, 0x19930522 | 1 << 29])
def test_every_address_of_every_table(with_constants: Make, magic: int) -> None:
    """The upper three bits of the magic number are flags."""
    found = func_info(with_constants(constants(info(magic=magic))), CONST)
    assert found is not None
    assert found.size == 4
    assert {(site, target) for site, target, _, _ in found.fields} == EXPECTED
    assert len(found.fields) == len(EXPECTED)
    assert {(form, origin) for _, _, form, origin in found.fields} == {(NB, 0)}


def test_funclets_are_unwind_actions_and_handlers(with_constants: Make) -> None:
    found = func_info(with_constants(constants(info())), CONST)
    assert found is not None
    assert sorted(found.funclets) == [UNWIND + 4, HANDLERS + 12, HANDLERS + 32]


def test_specification_types_are_a_field(with_constants: Make) -> None:
    found = func_info(with_constants(constants(info(types=TYPE))), CONST)
    assert found is not None
    assert {(s, t) for s, t, _, _ in found.fields} == EXPECTED | {(INFO + 32, TYPE)}


def test_function_without_try_blocks(with_constants: Make) -> None:
    found = func_info(with_constants(constants(info(tries=0, blocks=0))), CONST)
    assert found is not None
    left = {row for row in EXPECTED if not TRIES <= row[0] < STATES and row[0] != INFO + 16}
    assert {(s, t) for s, t, _, _ in found.fields} == left


@pytest.mark.parametrize(
    "changes",
    [
        {"magic": 0x19930523},
        {"magic": 0},
        {"states": 0x10001},
        {"tries": 0xFFFFFFFF},
        {"points": 0x10001},
    ],
)
def test_what_is_no_function_information(with_constants: Make, changes: dict[str, int]) -> None:
    assert func_info(with_constants(constants(info(**changes))), CONST) is None


@pytest.mark.parametrize("place", [INFO + 1, 0x3FE0, 0x10000, 0xFFFFFFFC])
def test_address_that_leads_to_none(with_constants: Make, place: int) -> None:
    page = constants(info())
    assert func_info(with_constants(struct.pack("<I", place) + page[4:]), CONST) is None


def test_last_place_in_the_image(with_constants: Make) -> None:
    """FuncInfo has 40 bytes; one that ends with the image is read, its tables need not lie in order."""
    page = bytearray(constants(info()).ljust(0x1000, b"\0"))
    page[0xFD8:0x1000] = info()
    found = func_info(with_constants(struct.pack("<I", 0x3FD8) + bytes(page[4:])), CONST)
    assert found is not None
    assert (CONST, 0x3FD8) in {(s, t) for s, t, _, _ in found.fields}


def handled(language: bytes) -> bytes:
    """Unwind record with a handler in front of ``language``, 8 bytes."""
    return struct.pack("<BBBBI", 1 | 1 << 3, 0, 0, 0, 0x1040) + language


@pytest.mark.parametrize("changes", [{"unwind": 0x3FFC}, {"map": 0xFFFFFFF0}, {"blocks": 0x3FFC}])
def test_table_that_leaves_the_image(with_constants: Make, changes: dict[str, int]) -> None:
    page = constants(info(**changes))
    record = read_record(with_constants(handled(struct.pack("<I", INFO)) + page[12:]), CONST)
    assert record is None or not record.known


@pytest.mark.parametrize(("blocks", "accepted"), [(65, True), (100, False)])
def test_blocks_that_share_very_many_handlers(
    build: Callable[..., Image], blocks: int, accepted: bool
) -> None:
    """Try blocks that name the same thousand rows must not multiply into endless work."""
    rows, handlers = CONST + 0x800, CONST + 0x2000
    page = bytearray(constants(info(tries=blocks, blocks=rows)).ljust(0x8000, b"\0"))
    block = struct.pack("<IIIII", 0, 0, 1, 1000, handlers)
    page[rows - CONST : rows - CONST + 20 * blocks] = block * blocks
    found = func_info(build(text=b"\xc3", const=bytes(page)), CONST)
    assert (found is not None) is accepted
    assert found is None or len(found.funclets) == 1 + 1000 * blocks


@pytest.mark.parametrize(
    ("language", "size"),
    [
        (struct.pack("<I", 0x20 | 1), 4),
        (struct.pack("<I", 0x20 | 3), 4),
        (struct.pack("<Iii", 0x20 | 7, 0x10, 16), 12),  # bit 2: the frame is aligned, two more numbers
        (struct.pack("<I", 0x3F8), 4),
    ],
)
def test_stack_cookie(with_constants: Make, language: bytes, size: int) -> None:
    found = stack_cookie(with_constants(language + b"\xee" * 16), CONST)
    assert found is not None
    assert (found.size, found.fields, found.funclets) == (size, (), ())
    record = read_record(with_constants(handled(language + b"\xee" * 16)), CONST)
    assert record is not None
    assert record.known
    assert record.size == 8 + size


@pytest.mark.parametrize("value", [0x1000, 0x3100, 0xFFFFFFFF])
def test_what_may_be_an_address_is_no_stack_cookie(with_constants: Make, value: int) -> None:
    """An RVA taken for an offset would not be moved."""
    assert stack_cookie(with_constants(struct.pack("<I", value)), CONST) is None


@given(
    st.dictionaries(
        st.sampled_from(["states", "unwind", "tries", "blocks", "points", "map"]),
        st.integers(0, (1 << 32) - 1),
    )
)
def test_any_numbers(with_constants: Make, changes: dict[str, int]) -> None:
    """Through the record reader, which turns a table outside of the image into None."""
    page = constants(info(**changes))
    record = read_record(with_constants(handled(struct.pack("<I", INFO)) + page[12:]), CONST)
    assert record is None or record.size >= 8
