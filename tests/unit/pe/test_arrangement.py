"""Files are read to where the loader maps them, and that changes nothing but where the bytes lie."""

import struct
import tempfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.errors import HpbuildError
from hpbuild.pe.arrangement import Layout, Run, layout_in, mapped_size, zeros
from hpbuild.pe.files import HEAD, read_file
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image, read_image
from tests.minimal_pe import FIELDS, MinimalPe

ROW = 0x188
"""File offset of the section table in the smallest image."""
ROWS = st.tuples(
    st.integers(0, 6000),  # bytes in the file
    st.none() | st.integers(0, 20000),  # VirtualSize, None as many
    st.integers(0, 2) | st.just(0),  # unused file alignments before it
    st.integers(0, 3) | st.just(0),  # unused pages before it
)
FIELD = st.sampled_from(["e_lfanew", "section_count", "optional_size", "magic", "section_alignment"])
SIZES = st.sampled_from(["size_of_image", "size_of_headers", "file_alignment", "directory_count"])
NUMBERS = st.integers(0, 40) | st.sampled_from([0x200, 0x400, 0x1000, 0x3000, 0x100000, 0x7FFFFFFF, 0xFFFF])
CHANGES = st.lists(
    st.tuples(FIELD | SIZES, NUMBERS)
    | st.tuples(st.integers(0, 4 * 40 - 4), st.integers(0, 2**32 - 1) | NUMBERS.map(lambda n: n << 9)),
    max_size=2,
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Images with any section table: sound ones, most of them, and such as no loader takes."""
    rows, order = draw(st.lists(ROWS, min_size=1, max_size=4)), Random(draw(st.integers(0, 99)))
    data = bytearray(MinimalPe().build()[:0x400])
    rva, places = 0x1000, list(range(len(rows)))
    order.shuffle(places)  # in the file they need not follow each other as in memory
    table: dict[int, bytes] = {}
    extents = []
    for raw, virtual, _, gap in rows:
        size = (raw if virtual is None else virtual) or (0 if raw else 1)
        extents.append((rva := rva + 0x1000 * gap, size))
        rva = (rva + max(size, raw if not size else 1) + 0xFFF) & ~0xFFF
    for index in places:
        raw, _, gap, _ = rows[index]
        data += b"\xee" * (0x200 * gap)
        start, raw = len(data), (raw + 0x1FF) & ~0x1FF
        rva_of, size = extents[index]
        table[index] = struct.pack("<8sIIII12xI", b".s", size, rva_of, raw, start, 0x60000020)
        data += order.randbytes(raw)
    data[ROW : ROW + 40 * len(rows)] = b"".join(table[index] for index in range(len(rows)))
    data += order.randbytes(draw(st.sampled_from([0, 300, 50_000, 90_000])))
    struct.pack_into("<H", data, FIELDS["section_count"][0], len(rows))
    struct.pack_into("<I", data, FIELDS["entry_point"][0], 0)
    struct.pack_into("<I", data, FIELDS["size_of_image"][0], rva)
    for where, value in draw(CHANGES):
        at, layout = FIELDS[where] if isinstance(where, str) else (ROW + where, "I")
        struct.pack_into("<" + layout, data, at, value % (1 << 8 * struct.calcsize(layout)))
    return bytes(data)


def straight(image: Image, data: bytes) -> np.ndarray:
    """What the loader maps, one section after the other."""
    memory = np.zeros(image.size_of_image, dtype=np.uint8)
    file = np.frombuffer(data, dtype=np.uint8)
    memory[: image.size_of_headers] = file[: image.size_of_headers]
    limits = [section.rva for section in image.sections[1:]] + [image.size_of_image]
    for section, limit in zip(image.sections, limits, strict=True):
        size = min(section.raw_size, limit - section.rva)
        memory[section.rva : section.rva + size] = file[section.raw_offset : section.raw_offset + size]
    return memory


def outcome(path: Path | None, data: bytes) -> Image | str:
    try:
        return parse_image(data, "x.dll") if path is None else read_image(path)
    except HpbuildError as error:
        return str(error)


@settings(max_examples=400, deadline=None)
@given(files())
def test_a_file_that_is_read_is_the_image_of_its_bytes(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.dll"
        path.write_bytes(data)
        read, parsed = outcome(path, data), outcome(None, data)
        assert read_file(path) == data
    if isinstance(read, str) or isinstance(parsed, str):
        assert read == parsed
        return
    wanted = straight(parsed, data)
    for image in (read, parsed):
        assert image.data == data
        assert image.data.whole() == data
        assert image.data.digest(3, 5000) == parsed.data.digest(3, 5000)
        assert np.array_equal(image.memory, wanted)
        assert not image.memory.flags.writeable
    for name in Image.__slots__:
        if name not in ("data", "memory"):
            assert getattr(read, name) == getattr(parsed, name)


def held_once(image: Image) -> int:
    """How many of the file's bytes are those of the mapped image."""
    start, end = image.memory.ctypes.data, image.memory.ctypes.data + len(image.memory)
    places = [(np.frombuffer(piece, dtype=np.uint8).ctypes.data, len(piece)) for piece in image.data.pieces()]
    return sum(size for place, size in places if start <= place < end)


def test_mapped_bytes_are_held_once(tmp_path: Path, pe: MinimalPe) -> None:
    pe.section(b".data", b"\xaa" * 0x1200, size=0x10)
    pe.overlay = b"behind" * 100
    path = tmp_path / "x.dll"
    path.write_bytes(pe.build())
    assert held_once(read_image(path)) == 0x400 + 0x1000 + 0x1000
    assert held_once(parse_image(pe.build(), "x.dll")) == 0


def test_nobody_can_write_to_what_was_read(tmp_path: Path, pe: MinimalPe) -> None:
    (tmp_path / "x.dll").write_bytes(pe.build())
    image = read_image(tmp_path / "x.dll")
    with pytest.raises(ValueError, match="WRITEABLE"):
        image.memory.setflags(write=True)


def laid_out(pe: MinimalPe, file_size: int | None = None, **fields: int | bytes) -> Layout | None:
    data = pe.build(**fields)
    return layout_in(data[:HEAD], len(data) if file_size is None else file_size)


def test_layout(pe: MinimalPe) -> None:
    pe.section(b".bss", b"", size=0x1000)
    pe.section(b".data", b"x" * 0x1400, size=0x2000)
    assert laid_out(pe) == Layout(
        0x5000, (Run(0, 0, 0x400), Run(0x400, 0x1000, 0x1000), Run(0x1400, 0x3000, 0x1400))
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"mz": b"ZM"}, {"signature": b"NE\0\0"}, {"magic": 0x10B}, {"e_lfanew": HEAD}, {"e_lfanew": 2**31},
        {"section_count": 0xFFFF}, {"section_alignment": 0}, {"size_of_image": 0}, {"size_of_image": 0x300},
        {"size_of_headers": 0x600}, {"optional_size": 0xFFFF}, {"size_of_image": 0x7FFFF000},
    ],
)  # fmt: skip
def test_no_layout(pe: MinimalPe, fields: dict[str, int | bytes]) -> None:
    assert laid_out(pe) is not None
    assert laid_out(pe, **fields) is None


def test_no_layout_for_less_than_the_headers_say(pe: MinimalPe) -> None:
    data = pe.build()
    assert layout_in(data, len(data) - 1) is None
    for end in range(ROW + 40):
        assert layout_in(data[:end], len(data)) is None


def test_layout_without_sections(pe: MinimalPe) -> None:
    assert laid_out(pe, section_count=0) == Layout(0x2000, (Run(0, 0, 0x400),))


def test_mapped_size() -> None:
    assert mapped_size(0x10, 0x1200, 0x1000) == 0x1000
    assert mapped_size(0x1001, 0x1200, 0x1000) == 0x1200
    assert mapped_size(0, 0x1200, 0x1000) == 0x1200


def test_zeros_that_nobody_has_room_for() -> None:
    with pytest.raises(MemoryError):
        zeros(1 << 60)
    assert zeros(3).tolist() == [0, 0, 0]
