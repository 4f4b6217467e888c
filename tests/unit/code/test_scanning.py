"""Many runs scanned at once find what the scan of each finds."""

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import Decoder

from hpbuild.code import scanning
from hpbuild.code.decode import ReferenceColumns, scan
from hpbuild.code.scanned import Scanned
from hpbuild.code.scanning import displacements, scan_runs
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image
from hpbuild.pe.unwind import runtime_functions

Found = list[tuple[list[list[int]], int, bool, frozenset[int]]]
"""Of each run: its rows, its bytes up to the first that is no instruction, ``Run.falls_through``,
``Run.image_base``."""


@pytest.fixture(scope="module")
def blank(build: Callable[..., Image]) -> Image:
    """An image with room for code."""
    return build(text=bytes(0x1000))


def one_by_one(codes: Sequence[bytes], starts: Sequence[int]) -> Found:
    found = []
    for code, start in zip(codes, starts, strict=True):
        bad = scan(code, start, ReferenceColumns()).bad
        code = code if bad < 0 else code[: bad - start]
        columns = ReferenceColumns()
        run = scan(code, start, columns)
        found.append((columns.rows().T.tolist(), len(code), run.falls_through, run.image_base))
    return found


def laid(image: Image, codes: Sequence[bytes], starts: Sequence[int]) -> Image:
    """``image`` with code at these places."""
    memory = image.memory.copy()
    for start, code in zip(starts, codes, strict=True):
        memory[start : start + len(code)] = np.frombuffer(code, dtype=np.uint8)
    return replace(image, memory=memory)


def scanned(image: Image, codes: Sequence[bytes], starts: Sequence[int]) -> Scanned:
    """What is found when all of it lies in ``image``."""
    start = np.array(starts, dtype=np.int64)
    end = start + np.array([len(code) for code in codes], dtype=np.int64)
    return scan_runs(laid(image, codes, starts), start, end)


def at_once(image: Image, codes: Sequence[bytes], starts: Sequence[int]) -> Found:
    return runs_of(scanned(image, codes, starts))


def runs_of(scanned: Scanned) -> Found:
    rows = np.stack([scanned.site, scanned.target, scanned.meta]).T.tolist()
    columns = (scanned.first, scanned.ends, scanned.sizes, scanned.falls_through)
    return [
        (rows[begin:end], size, falls, scanned.image_base.get(number, frozenset()))
        for number, (begin, end, size, falls) in enumerate(zip(*map(np.ndarray.tolist, columns), strict=True))
    ]


PARTS = (
    "c3",
    "50",
    "90",
    "6690",
    "666690",  # a no-operation, by the decoder
    "0f1f05 11223344",  # a no-operation with an operand
    "f390",
    "cc",
    "0f0b",
    "eb00",
    "7502",
    "e2fe",
    "e8 00000000",
    "e9 00000000",
    "0f84 f6ffffff",
    "c7f8 00000000",  # xbegin
    "66c7f8 0000",
    "488d0d 00100000",
    "488d15 f9efffff",  # the image base, in the first place of a run at 0x1000
    "48c705 00100000 01020304",
    "833d 00000080 01",
    "ff15 00100000",
    "ff25 00100000",
    "ffe0",
    "ffd0",
    "0fae05 00100000",
    "c5fc1005 00100000",
    "62f17c481005 00100000",
    "c4e2790005 00100000",
    "660f7005 00100000 e4",
    "0f0f05 00100000 b4",
    "2e3e26363e6464678b05 00100000",  # more prefixes than are looked up
    "67488b05 00000080",
    "06",
    "e800",
)
runs = st.lists(st.lists(st.sampled_from(PARTS), max_size=8).map("".join).map(bytes.fromhex), max_size=6)


@given(runs, st.integers(0, 3))
def test_runs_of_chosen_instructions(blank: Image, codes: list[bytes], gap: int) -> None:
    starts = [0x1000 + 0x100 * number + gap * (number > 0) for number in range(len(codes))]
    assert at_once(blank, codes, starts) == one_by_one(codes, starts)


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_runs_of_any_bytes(blank: Image, codes: list[bytes]) -> None:
    starts = [0x1000 + 0x100 * number for number in range(len(codes))]
    assert at_once(blank, codes, starts) == one_by_one(codes, starts)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_runs_without_anything_between(blank: Image, codes: list[bytes]) -> None:
    starts = [0x1000 + sum(map(len, codes[:number])) for number in range(len(codes))]
    assert at_once(blank, codes, starts) == one_by_one(codes, starts)


def test_the_last_bytes_of_an_image(blank: Image) -> None:
    code = bytes.fromhex("90 488d0d 00100000 e8 00000000 0f1f00 c3")
    start = len(blank.memory) - len(code)
    assert at_once(blank, [code], [start]) == one_by_one([code], [start])


def functions(image: Image) -> tuple[list[bytes], list[int]]:
    rows = runtime_functions(image)
    spans = list(zip(rows.begin.tolist(), rows.end.tolist(), strict=True))
    return [image.read(begin, end - begin) for begin, end in spans], [begin for begin, _ in spans]


@pytest.mark.parametrize("name", ["baseline/codec.dll", "fixed/throwing.dll", "host.exe"])
def test_functions_of_a_binary(binaries: Path, name: str) -> None:
    image = read_image(binaries / name)
    codes, starts = functions(image)
    assert len(codes) > 10
    assert at_once(image, codes, starts) == one_by_one(codes, starts)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_functions_of_a_binary(binaries: Path, seed: int) -> None:
    """Bytes changed at random: other instructions, and none."""
    image = read_image(binaries / "baseline/codec.dll")
    codes, starts = functions(image)
    dice = random.Random(seed)
    damaged = []
    for code in codes:
        octets = bytearray(code)
        for _ in range(1 + len(code) // 40):
            octets[dice.randrange(len(code))] = dice.randrange(256)
        damaged.append(bytes(octets))
    found = at_once(image, damaged, starts)
    assert found == one_by_one(damaged, starts)
    assert any(size < len(code) for (_, size, *_), code in zip(found, damaged, strict=True))


@pytest.mark.parametrize(("batch", "largest"), [(64, 1 << 20), (64, 256), (1 << 20, 16)])
def test_batches_change_nothing(
    binaries: Path, monkeypatch: pytest.MonkeyPatch, batch: int, largest: int
) -> None:
    """Runs of more bytes than a batch may have are decoded without columns."""
    image = read_image(binaries / "baseline/throwing.dll")
    codes, starts = functions(image)
    expected = one_by_one(codes, starts)
    monkeypatch.setattr(scanning, "BATCH", batch)
    monkeypatch.setattr(scanning, "LARGEST", largest)
    assert at_once(image, codes, starts) == expected
    assert at_once(image, [], []) == []


@pytest.mark.parametrize(
    ("code", "wide"),
    [
        ("8b8c82 00100000 c3", [0]),  # mov ecx, [rdx + rax*4 + 0x1000]
        ("8b8c82 ff0f0000 c3", []),  # less than a page
        ("8b8c82 00100080 c3", []),  # a negative one
        ("90 8b8a 00100000 c3", [1]),
        ("90 833d 00100000 01", []),  # a no-operation has no operand
        ("8b0c85 00100000 c3", [0]),  # no base
        ("8b0c82 c3", []),
        ("8b0d 00100000 c3", []),  # relative to RIP
        ("8b4a10 b8 00200000 c3", []),
        ("488d8a 00100000 48ff9000100000 c3", [0, 7]),
        ("c5fc108a 00100000 c3", [0]),
        ("62f17c48108a 00100000 c3", [0]),
        ("0f388a 90 c3", []),  # no instruction
        ("0fae8a 00100000 f390 8b01 c3", [0, 7]),  # one without a rule is asked of the decoder
    ],
)
def test_where_displacements_may_be_addresses(blank: Image, code: str, wide: list[int]) -> None:
    found = scanned(blank, [b"\xc3", bytes.fromhex(code)], [0x1000, 0x1010]).wide_at
    assert found.tolist() == [0x1010 + place for place in wide]


def test_displacements_of_a_binary(binaries: Path) -> None:
    """Each that the decoder finds is told of."""
    image = read_image(binaries / "fixed/throwing.dll")
    codes, starts = functions(image)
    codes = [(bytes.fromhex("8b8c82 00100000") + code)[: len(code)] for code in codes[::2]]
    places = set(scanned(image, codes, starts[::2]).wide_at.tolist())
    assert len(places.intersection(starts)) > 10
    for code, start in zip(codes, starts[::2], strict=True):
        found = {
            insn.ip
            for insn in Decoder(64, code, ip=start)
            if insn.memory_displ_size >= 4
            and not insn.is_ip_rel_memory_operand
            and 4096 <= insn.memory_displacement < 1 << 31
        }
        assert found <= places


def test_places_of_displacements(blank: Image) -> None:
    codes = ("8b8c82 00100000", "488b88 00100000", "8b0c85 00100000", "c5fc108a 00100000", "f390")
    starts = [0x1000 + 16 * number for number in range(len(codes))]
    image = laid(blank, [bytes.fromhex(code) for code in codes], starts)
    found = displacements(image.memory, np.array([*starts, len(image.memory) - 8]))
    assert found.tolist() == [0x1003, 0x1013, 0x1023, 0x1034, -1, -1]


def test_progress(binaries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = read_image(binaries / "baseline/codec.dll")
    rows = runtime_functions(image)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(scanning, "BATCH", 1 << 9)
    scan_runs(image, rows.begin.astype(np.int64), rows.end.astype(np.int64), lambda *row: told.append(row))
    assert told[0] == (0, len(rows))
    assert len(told) > 2
    assert told == sorted(set(told))


@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-16, 16), max_size=6))
def test_lone_jumps(blank: Image, distances: list[int]) -> None:
    """Among other runs; also those that lead into themselves, and out of any image."""
    codes = [b"\xe9" + struct.pack("<i", distance) for distance in distances]
    codes = [code for jump in codes for code in (jump, b"\x90\xc3", jump + b"\xc3")] + [b"\xe9\0\0\0\0"]
    starts = np.arange(len(codes)) * 16 + 0x1000
    found = scanned(blank, codes, starts.tolist())
    assert runs_of(found) == one_by_one(codes, starts.tolist())
    assert not len(found.wide_at)
