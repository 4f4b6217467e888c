"""Instructions whose lengths are known before anything else is."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import Decoder

from hpbuild.code import lengths, scanning
from hpbuild.code.lengths import Piece, pieces, unpacked
from hpbuild.code.scanning import scan_runs
from hpbuild.code.survey import survey
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image
from hpbuild.pe.unwind import runtime_functions
from tests.unit.code.test_scanning import runs_of

NAMES = ("codec", "throwing")


@pytest.fixture(scope="module", params=NAMES)
def image(binaries: Path, request: pytest.FixtureRequest) -> Image:
    return read_image(binaries / "baseline" / f"{request.param}.dll")


def _memory(image: Image) -> memoryview:
    return memoryview(image.memory.tobytes())


def _found(memory: memoryview) -> list[tuple[int, int]]:
    """The rows of all pieces."""
    bounds = [np.frombuffer(piece.bounds, dtype=np.uint32).reshape(2, -1).T for piece in pieces(memory)]
    return [(int(start), int(end)) for part in bounds for start, end in part]


def test_the_rows_are_those_of_the_exception_directory(image: Image) -> None:
    table = runtime_functions(image)
    rows = list(zip(table.begin.tolist(), table.end.tolist(), strict=True))
    jumps = [row for row in rows if row[1] - row[0] == 5 and image.memory[row[0]] == 0xE9]
    assert _found(_memory(image)) == [row for row in rows if row not in jumps]


@pytest.mark.parametrize("size", [1, 300, 1 << 18])
def test_the_lengths_are_those_of_the_instructions(
    image: Image, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(lengths, "_PIECE", size)
    found = list(pieces(_memory(image)))
    assert (len(found) > 1) == (size < 1 << 18)
    for piece in found:
        starts, ends = np.frombuffer(piece.bounds, dtype=np.uint32).reshape(2, -1).tolist()
        code = b"".join(image.read(start, end - start) for start, end in zip(starts, ends, strict=True))
        assert list(piece.lengths) == [insn.len for insn in Decoder(64, code)]


@pytest.mark.parametrize("size", [1, 300, 1 << 18])
def test_what_is_scanned_is_the_same_with_them(
    image: Image, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Of all rows and of some, with all pieces and with some: and they are used."""
    monkeypatch.setattr(lengths, "_PIECE", size)
    rows, decoded = survey(image).rows, tuple(pieces(_memory(image)))
    used: list[int] = []
    swept = scanning.sweep

    def watched(*given: object) -> object:
        used.append(given[-1] is not None)
        return swept(*given)  # type: ignore[arg-type]

    half = len(rows) // 2
    for part in (slice(None), slice(half), slice(half, None)):
        start, end = rows.start[part], rows.end[part]
        plain = scan_runs(image, start, end)
        monkeypatch.setattr(scanning, "sweep", watched)
        for some in (decoded, decoded[1:], decoded[::2], decoded[::-1], decoded * 2):
            assert runs_of(scan_runs(image, start, end, decoded=some)) == runs_of(plain)
        monkeypatch.setattr(scanning, "sweep", swept)
    assert any(used)


def test_pieces_of_other_rows_are_not_used(image: Image) -> None:
    """Whatever they say."""
    rows = survey(image).rows
    plain = runs_of(scan_runs(image, rows.start, rows.end))
    for shift in (np.uint32([[1], [0]]), np.uint32([[0], [1]]), np.uint32([[1], [1]])):
        wrong = tuple(
            Piece(
                (np.frombuffer(piece.bounds, dtype=np.uint32).reshape(2, -1) + shift).tobytes(),
                bytes(len(piece.lengths)),
            )
            for piece in pieces(_memory(image))
        )
        assert wrong
        assert runs_of(scan_runs(image, rows.start, rows.end, decoded=wrong)) == plain


@given(
    made=st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=4),
    cut=st.integers(0, 200),
)
def test_law_packed_pieces_come_back_up_to_where_they_end(made: list[tuple[bytes, bytes]], cut: int) -> None:
    whole = [Piece(*each) for each in made]
    octets = b"".join(piece.packed() for piece in whole)[:cut]
    ends = np.cumsum([len(piece.packed()) for piece in whole])
    assert list(unpacked(octets)) == [piece for piece, end in zip(whole, ends, strict=True) if end <= cut]


@given(st.binary(max_size=400))
def test_law_nonsense_has_no_rows(octets: bytes) -> None:
    assert all(start < end <= len(octets) for start, end in _found(memoryview(octets)))


@given(st.lists(st.tuples(*[st.integers(0, 0x2200)] * 2), max_size=6))
def test_law_rows_that_make_no_sense_end_it(rows: list[tuple[int, int]]) -> None:
    memory = bytearray(0x2000)
    struct.pack_into("<I", memory, 0x3C, 0x40)
    struct.pack_into("<II", memory, 0x40 + 24 + 112 + 24, 0x1000, 12 * len(rows))
    for number, row in enumerate(rows):
        struct.pack_into("<III", memory, 0x1000 + 12 * number, *row, 0)
    before, sound = 0, []
    for start, end in rows:
        if not before <= start < end <= len(memory):
            break
        sound.append((start, end))
        before = end
    assert _found(memoryview(bytes(memory))) == sound
