"""Unwind records with hand-made language data: lengths and fields; hostile ones only give None or unknown."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.exceptions import Record, read_record
from hpbuild.code.model import FieldForm
from hpbuild.pe.image import Image

TEXT, CONST = 0x1000, 0x3000
NB, END, TABLE = FieldForm.ADDR32NB, FieldForm.END32NB, FieldForm.TABLE32
HANDLER = 0x1040
Build = Callable[..., Image]


def record_of(build: Build, const: bytes) -> Record | None:
    """The record at the start of the constants, in an image with 256 bytes of code."""
    return read_record(build(text=b"\xc3" * 0x100, const=const), CONST)


def known(build: Build, const: bytes) -> Record:
    record = record_of(build, const)
    assert record is not None
    assert record.known
    return record


def head(flags: int, codes: Sequence[int] = ()) -> bytes:
    """UNWIND_INFO version 1 with its 2-byte codes, padded to an even number."""
    slots = [*codes, *[0] * (len(codes) % 2)]
    return struct.pack(f"<BBBB{len(slots)}H", 1 | flags << 3, 4, len(codes), 0, *slots)


@pytest.mark.parametrize(("codes", "size"), [([], 4), ([0x4204], 8), ([0x4204, 0x3000], 8), ([0] * 3, 12)])
def test_record_without_handler(build: Build, codes: list[int], size: int) -> None:
    """An odd number of unwind codes is followed by an unused one."""
    assert known(build, head(0, codes) + b"\xff" * 16) == Record(CONST, size, (), True)


def test_chained_record(build: Build) -> None:
    """The end of the parent's row belongs with the byte before it."""
    const = head(4, [0x4204]) + struct.pack("<III", 0x1000, 0x1010, CONST + 0x40) + bytes(0x40)
    assert known(build, const) == Record(
        CONST,
        20,
        (
            (CONST + 8, 0x1000, NB, 0),
            (CONST + 12, 0x1010, END, 0),
            (CONST + 16, CONST + 0x40, NB, 0),
        ),
        True,
    )


def handled(language: bytes, flags: int = 1) -> bytes:
    return head(flags, [0x4204]) + struct.pack("<I", HANDLER) + language


LANGUAGE = CONST + 12
HANDLER_FIELD = (CONST + 8, HANDLER, NB, 0)


@pytest.mark.parametrize("flags", [1, 2, 3])
def test_handler_with_language_data_of_unknown_form(build: Build, flags: int) -> None:
    record = record_of(build, handled(b"\xee" * 64, flags))
    assert record == Record(CONST, 12, (HANDLER_FIELD,), False)


def scopes(*rows: tuple[int, int, int, int]) -> bytes:
    return struct.pack("<I", len(rows)) + b"".join(struct.pack("<IIII", *row) for row in rows)


def test_scope_table(build: Build) -> None:
    """A filter, a constant filter (1: always handle) and a termination handler (target 0)."""
    rows = [(0x1000, 0x1008, 0x1080, 0x1010), (0x1010, 0x1018, 1, 0x1020), (0x1020, 0x1100, 0x1090, 0)]
    record = known(build, handled(scopes(*rows)))
    at = LANGUAGE + 4
    assert record.size == 12 + 4 + 48
    assert record.fields == (
        HANDLER_FIELD,
        (at, 0x1000, NB, 0),
        (at + 4, 0x1008, END, 0),
        (at + 8, 0x1080, NB, 0),
        (at + 12, 0x1010, NB, 0),
        (at + 16, 0x1010, NB, 0),
        (at + 20, 0x1018, END, 0),
        (at + 28, 0x1020, NB, 0),
        (at + 32, 0x1020, NB, 0),
        (at + 36, 0x1100, END, 0),
        (at + 40, 0x1090, NB, 0),
    )
    assert record.funclets == (at + 8, at + 40)


GOOD = (0x1000, 0x1008, 0x1080, 0x1010)


@pytest.mark.parametrize(
    "row",
    [
        (0x1008, 0x1008, 0x1080, 0x1010),  # empty
        (0x1008, 0x1000, 0x1080, 0x1010),  # ends before it begins
        (CONST, CONST + 8, 0x1080, 0x1010),  # no code
        (0x1000, 0x1101, 0x1080, 0x1010),  # leaves the code by one byte
        (0x1000, 0x1008, CONST, 0x1010),  # the filter is no code
        (0x1000, 0x1008, 0, 0x1010),
        (0x1000, 0x1008, 0x1080, CONST),  # the target is none
    ],
)
def test_rows_that_are_no_scopes(build: Build, row: tuple[int, int, int, int]) -> None:
    """One such row, and the data is no scope table at all."""
    record = record_of(build, handled(scopes(GOOD, row)))
    assert record is not None
    assert record.size < 12 + 4 + 32
    assert record.funclets == ()


def test_scope_table_without_end(build: Build) -> None:
    """4,096 scopes announced, the constants end before: no record can be read there."""
    record = record_of(build, handled(struct.pack("<I", 4096) + struct.pack("<IIII", *GOOD) * 256))
    assert record is None or not record.known


def uleb(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def lsda(encoding: int, sites: bytes, actions: bytes, types: bytes = b"", tail: bytes = b"") -> bytes:
    """An exception table: no landing pad base, ULEB128 call sites; ``types`` end where the offset says."""
    body = b"\x01" + uleb(len(sites)) + sites + actions + types
    start = bytes([0xFF, encoding]) + (uleb(len(body)) if encoding != 0xFF else b"")
    return start + body + tail


CLEANUP = bytes([0, 5, 9, 0])
"""Call site: start, length, landing pad, action 0 (cleanup only)."""


def catching(action: int) -> bytes:
    return bytes([8, 4, 20, action])


def test_exception_table_of_cleanups_only(build: Build) -> None:
    language = lsda(0xFF, CLEANUP + CLEANUP, b"")
    record = known(build, handled(language + b"\xee" * 32))
    assert record == Record(CONST, 12 + len(language), (HANDLER_FIELD,), True)


def test_exception_table_without_call_sites(build: Build) -> None:
    record = known(build, handled(lsda(0xFF, b"", b"") + b"\xee" * 32))
    assert record.size == 12 + 4


ONE_CATCH = bytes([1, 0])
"""Action: type filter 1, no next."""
CATCH_TWO_THEN_ONE = bytes([2, 1, 1, 0])
"""Filter 2, next action one byte behind the offset field itself; filter 1, no next."""


def test_catch_all_has_a_null_type(build: Build) -> None:
    """`catch (...)` is a type entry of 0: no address in it."""
    language = lsda(0x9B, catching(1), ONE_CATCH, bytes(4))
    assert known(build, handled(language)) == Record(CONST, 12 + len(language), (HANDLER_FIELD,), True)


@pytest.mark.parametrize("encoding", [0x9B, 0x1B])
def test_types_relative_to_their_own_field(build: Build, encoding: int) -> None:
    """The type table grows downwards: filter 1 is its last entry."""
    plain = lsda(encoding, catching(1), CATCH_TWO_THEN_ONE)
    end = LANGUAGE + len(plain) + 8
    first, second = end - 4, end - 8
    types = struct.pack("<ii", 0x3100 - second, 0x30F0 - first)
    language = lsda(encoding, catching(1), CATCH_TWO_THEN_ONE, types)
    record = known(build, handled(language + bytes(0x200)))
    assert record.size == 12 + len(language)
    assert record.fields == (HANDLER_FIELD, (first, 0x30F0, TABLE, first), (second, 0x3100, TABLE, second))


def test_types_as_absolute_addresses(build: Build) -> None:
    """8 bytes each; their base relocations make the fields, so that the record has none of its own."""
    language = lsda(0x00, catching(1), CATCH_TWO_THEN_ONE, struct.pack("<QQ", 1, 0))
    record = known(build, handled(language + b"\xee" * 32))
    assert record == Record(CONST, 12 + len(language), (HANDLER_FIELD,), True)


def test_action_chain_may_lead_backwards(build: Build) -> None:
    """The second action goes on to the first: -3 counts from the offset field."""
    actions = bytes([1, 0, 2, 0x7D])
    types = bytes(8)
    language = lsda(0x9B, catching(3), actions, types)
    record = known(build, handled(language))
    assert record.size == 12 + len(language)


def test_action_loop_ends(build: Build) -> None:
    actions = bytes([1, 0x7F])  # next action: itself
    language = lsda(0x9B, catching(1), actions, bytes(4))
    assert known(build, handled(language)).size == 12 + len(language)


def test_exception_specification_lies_behind_the_types(build: Build) -> None:
    """Filter -1: a list of type numbers that ends with 0 at offset 1 behind the type table."""
    actions = bytes([0x7F, 0])
    language = lsda(0x9B, catching(1), actions, b"", uleb(200) + uleb(1) + b"\0")
    record = known(build, handled(language + b"\xee" * 32))
    assert record.size == 12 + len(language)
    nothing = lsda(0x9B, catching(1), actions, b"", b"\0")  # throw()
    assert known(build, handled(nothing + b"\xee" * 32)).size == 12 + len(nothing)
    second = lsda(0x9B, catching(1), bytes([0x7D, 0]), b"", b"\x01\0" + b"\x02\x01\0")
    assert known(build, handled(second + b"\xee" * 32)).size == 12 + len(second)


@pytest.mark.parametrize(
    "language",
    [
        b"\x00" + lsda(0xFF, CLEANUP, b"")[1:],  # an encoded landing pad base
        lsda(0x03, catching(1), ONE_CATCH, bytes(4)),  # types of another encoding
        b"\xff\xff\x03" + bytes(16),  # call sites of 4 bytes
        b"\xff\xff\x01\x03" + CLEANUP + b"\xee" * 8,  # the last call site crosses the end of its table
        b"\xff\x9b" + uleb(1 << 22) + b"\x01\x00",  # types a megabyte and more away
        b"\xff\xff\x01" + uleb(1 << 22),  # call sites without end
        b"\xff\x9b\x01\x01\x04" + CLEANUP,  # types inside the call sites
        lsda(0x9B, catching(1), bytes([0x20, 0])),  # filter 32 of a table with no room for it
        b"\xff\xff\x01" + b"\x80" * 40,  # a number without end
    ],
)
def test_what_is_no_exception_table(build: Build, language: bytes) -> None:
    record = record_of(build, handled(language + b"\xee" * 16))
    assert record is None or not record.known


@pytest.mark.parametrize("distance", range(1, 17))
def test_record_at_the_end_of_the_image(build: Build, distance: int) -> None:
    """Nothing behind the last byte is read, whatever the record's head promises."""
    image = build(text=b"\xc3" * 16, const=bytes(0x1000))
    assert image.size_of_image == 0x4000
    memory = image.memory.copy()
    octets = (head(3, [0x4204]) + b"\x20\x10\0\0" + b"\xff" * 16)[:distance]
    memory[-distance:] = np.frombuffer(octets, dtype=np.uint8)
    record = read_record(replace(image, memory=memory), 0x4000 - distance)
    assert record is None or not record.known
    assert read_record(image, 0x4000) is None
    assert read_record(image, 0xFFFFFFFF) is None


WithConstants = Callable[[bytes], Image]


def check_hostile(image: Image) -> None:
    """None or a record whose fields lie in the image; nothing is raised."""
    record = read_record(image, CONST)
    if record is None:
        return
    assert record.rva == CONST
    assert record.size >= 4
    for site, target, form, _ in record.fields:
        assert 0 <= site <= image.size_of_image - 4
        value = image.u32(site)
        if form is TABLE:
            assert target == site + (value ^ 1 << 31) - (1 << 31)
        else:
            assert target == value
    assert set(record.funclets) <= {site for site, _, _, _ in record.fields}


@given(data=st.binary(min_size=4, max_size=256))
def test_any_bytes(with_constants: WithConstants, data: bytes) -> None:
    check_hostile(with_constants(data))


SMALL = st.integers(0, 20)
PLAUSIBLE = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from([0, 1, 2, 0x1000, 0x1010, 0x10FF, 0x3040, 0x19930522, 0x3FFC]), max_size=30).map(
        lambda values: struct.pack(f"<{len(values)}I", *values)
    ),
    st.builds(
        lambda encoding, sites, actions, types: lsda(encoding, bytes(sites), bytes(actions), types),
        st.sampled_from([0x00, 0x1B, 0x9B, 0xFF]),
        st.lists(SMALL, max_size=16),
        st.lists(st.sampled_from([0, 1, 2, 3, 0x7E, 0x7F, 0x80]), max_size=8),
        st.binary(max_size=24),
    ),
)


@given(
    data=PLAUSIBLE, flags=st.sampled_from([1, 2, 3]), fill=st.sampled_from([b"\0", b"\x01", b"\x80", b"\xff"])
)
def test_almost_right_bytes(with_constants: WithConstants, data: bytes, flags: int, fill: bytes) -> None:
    check_hostile(with_constants((handled(data, flags)).ljust(0x1000, fill)))
