"""All unwind records at once: the same as one by one."""

import struct
from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.exceptions import read_record
from hpbuild.code.model import FieldForm
from hpbuild.code.stack_cookies import handler_forms
from hpbuild.code.unwind_records import Records, read_records
from hpbuild.pe.image import Image
from hpbuild.pe.unwind import RuntimeFunctions

TEXT, CONST = 0x1000, 0x3000
NB, END = FieldForm.ADDR32NB, FieldForm.END32NB
Rows = list[tuple[int, int, int]]
Constants = Callable[[bytes], Image]


def records_of(image: Image, rows: Rows) -> Records:
    columns = np.array(rows, dtype=np.uint32).reshape(-1, 3)
    return read_records(image, RuntimeFunctions(*(columns[:, n].copy() for n in range(3))))


def fields_of(records: Records) -> list[list[int]]:
    """(site, target, form, origin) of each."""
    fields = records.fields
    return np.stack([fields.site, fields.target, fields.form, fields.origin], axis=1).tolist()


def heads(*records: tuple[int, int, int]) -> bytes:
    """Records of 16 bytes: first byte, prolog, number of codes; what follows is zero."""
    return b"".join(struct.pack("<BBBB", *record, 0).ljust(16, b"\0") for record in records)


def test_nothing(with_constants: Constants) -> None:
    found = records_of(with_constants(b""), [])
    assert (len(found.rvas), len(found.fields), len(found.funclets), found.unknown) == (0, 0, 0, frozenset())
    assert records_of(with_constants(b""), [(TEXT, TEXT + 4, 0)]).unknown == frozenset(), "0 is no record"


def test_chained_rows_are_fields(with_constants: Constants) -> None:
    const = struct.pack("<I3I", 1 | 4 << 3, TEXT, TEXT + 8, CONST + 0x20)
    found = records_of(with_constants(const.ljust(0x20, b"\0") + b"\1"), [(TEXT + 8, TEXT + 12, CONST)])
    assert fields_of(found) == [
        [CONST + 4, TEXT, NB, 0],
        [CONST + 8, TEXT + 8, END, 0],
        [CONST + 12, CONST + 0x20, NB, 0],
    ]
    assert found.code().tolist() == [TEXT, CONST + 0x20]


def test_record_that_leaves_the_image(with_constants: Constants) -> None:
    image = with_constants(b"\1" + bytes(0xFFF))
    image.memory[-4:] = np.frombuffer(struct.pack("<BBBB", 1 | 4 << 3, 0, 0, 0), dtype=np.uint8)
    size = image.size_of_image
    rows = [(TEXT + n, TEXT + n + 1, rva) for n, rva in enumerate((size, size - 2, size - 4, CONST))]
    found = records_of(image, rows)
    assert found.unknown == {size, size - 2, size - 4}
    assert (found.rvas.tolist(), found.sizes.tolist()) == ([CONST], [4])


def test_code_that_begins_in_a_frame(with_constants: Constants) -> None:
    """Unwind codes and no prolog, version 1, not chained; every row with such a record."""
    const = heads((1, 0, 1), (1, 4, 1), (1, 0, 0), (2, 0, 1), (1 | 4 << 3, 0, 1))
    rows = [(TEXT + 16 * n, TEXT + 16 * n + 8, CONST + 16 * n) for n in range(5)]
    found = records_of(with_constants(const), [*rows, (TEXT + 0x80, TEXT + 0x88, CONST)])
    assert sorted(found.funclets.tolist()) == [TEXT, TEXT + 0x80]


def test_labels_of_handlers_in_assembly(with_constants: Constants) -> None:
    """Words that lie in the code of the record, up to the next record and to the first that does not."""
    labels = (TEXT + 0x21, TEXT + 0x2D, TEXT + 0x30, TEXT + 0x20)
    record = struct.pack("<BBBBI", 1 | 1 << 3, 0, 0, 0, TEXT + 0x40)
    rows = [(TEXT + 0x20, TEXT + 0x30, CONST)]
    image = with_constants(record + struct.pack("<4I", *labels))
    assert fields_of(records_of(image, rows))[1:] == [
        [CONST + 8 + 4 * n, label, NB, 0] for n, label in enumerate(labels[:3])
    ]
    rows.append((TEXT + 0x60, TEXT + 0x61, CONST + 12))
    image.memory[CONST + 12 : CONST + 16] = (1, 0, 0, 0)
    assert fields_of(records_of(image, rows))[1:] == [[CONST + 8, labels[0], NB, 0]]


FIRST = st.sampled_from([1, 1 | 1 << 3, 1 | 2 << 3, 1 | 4 << 3, 2 | 3 << 3, 0xFF])
RECORD = st.tuples(FIRST, st.integers(0, 3), st.integers(0, 4))
WORDS = st.lists(st.sampled_from([0, 1, 2, 8, 0x28, TEXT, TEXT + 4, CONST + 8, 0xFF, 0x1B00FF, 0xFFFFFFFF]))


@given(st.lists(st.tuples(RECORD, WORDS), min_size=1, max_size=6))
def test_the_same_as_one_by_one(
    with_constants: Constants, parts: list[tuple[tuple[int, ...], list[int]]]
) -> None:
    const, places = b"", []
    for (first, prolog, count), words in parts:
        places.append(CONST + len(const))
        const += struct.pack(f"<BBBB{len(words)}I", first, prolog, count, 0, *words)
    image = with_constants(const)
    found = records_of(image, [(TEXT + n, TEXT + n + 1, rva) for n, rva in enumerate(places)])
    forms = handler_forms(image, places)
    single = [(rva, read_record(image, rva, forms)) for rva in places]
    read = [record for _, record in single if record is not None]
    assert dict(zip(found.rvas.tolist(), found.sizes.tolist(), strict=True)) == {r.rva: r.size for r in read}
    assert found.unknown == {rva for rva, record in single if record is None or not record.known}
    fields = [list(field) for record in read for field in record.fields]
    assert fields_of(found)[: len(fields)] == fields
