import struct
from pathlib import Path

import numpy as np
import pytest

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.pdb import msf

HEADER = struct.Struct("<32s6I")


def container(streams: list[bytes], block: int = 512) -> bytes:
    """An MSF file with these streams, its directory in the last blocks."""
    blocks = [b"", b"", b""]
    lists = []
    for stream in streams:
        pieces = [stream[i : i + block] for i in range(0, len(stream), block)]
        # In descending order, so that a reader which takes streams for contiguous runs fails.
        lists.append([len(blocks) + len(pieces) - 1 - i for i in range(len(pieces))])
        blocks += reversed(pieces)
    directory = struct.pack("<I", len(streams)) + b"".join(struct.pack("<I", len(s)) for s in streams)
    directory += b"".join(struct.pack(f"<{len(numbers)}I", *numbers) for numbers in lists)
    pieces = [directory[i : i + block] for i in range(0, len(directory), block)]
    map_block = len(blocks)
    blocks.append(struct.pack(f"<{len(pieces)}I", *range(map_block + 1, map_block + 1 + len(pieces))))
    blocks += pieces
    blocks[0] = HEADER.pack(msf.MAGIC, block, 1, len(blocks), len(directory), 0, map_block)
    return b"".join(piece.ljust(block, b"\0") for piece in blocks)


def header(data: bytes, **fields: int) -> bytes:
    """``data`` with other values in its superblock."""
    names = ("block_size", "free_map", "blocks", "directory", "unknown", "map")
    magic, *values = HEADER.unpack_from(data)
    for name, value in fields.items():
        values[names.index(name)] = value
    return HEADER.pack(magic, *values) + data[HEADER.size :]


def directory(data: bytes, index: int, value: int) -> bytes:
    """``data`` with another value at ``index`` of its one-block directory."""
    _, block, _, _, _, _, map_block = HEADER.unpack_from(data)
    at = (map_block + 1) * block + 4 * index
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


STREAMS = [b"", b"one", bytes(range(256)) * 5, b"z" * 512]
GOOD = container(STREAMS)


def refused(data: bytes) -> tuple[Code, str]:
    with pytest.raises(HpbuildError) as caught:
        msf.open_msf(data, "x.pdb")
    return caught.value.code, caught.value.finding.cause


@pytest.mark.parametrize("block", [512, 4096])
def test_streams_come_back(block: int) -> None:
    opened = msf.open_msf(container(STREAMS, block), "x.pdb")
    assert [opened.stream(i) for i in range(len(STREAMS))] == STREAMS
    assert opened.stream(2, 700) == STREAMS[2][:700]
    assert opened.stream(4) == b""
    assert not opened.has(0)
    assert not opened.has(-1)
    assert opened.has(1)


def test_nil_stream_is_empty() -> None:
    opened = msf.open_msf(directory(GOOD, 1, msf.NIL_STREAM_SIZE), "x.pdb")
    assert opened.stream(0) == b""
    assert opened.stream(3) == STREAMS[3]


def test_real_pdb(binaries: Path) -> None:
    data = (binaries / "baseline" / "codec.pdb").read_bytes()
    opened = msf.open_msf(data, "codec.pdb")
    assert len(opened.sizes) > 5
    assert len(np.unique(opened.blocks)) == len(opened.blocks)
    assert int(opened.sizes.sum()) <= len(data)


@pytest.mark.parametrize(
    "data", [b"", b"MZ", GOOD[:20], b"Microsoft C/C++ program database 2.00\r\n\x1aJG" + GOOD]
)
def test_not_a_pdb_fail(data: bytes) -> None:
    assert refused(data)[0] is codes.NOT_A_PDB


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (header(GOOD, block_size=1000), "block size"),
        (header(GOOD, blocks=1 << 30), "blocks of"),
        (GOOD[:-1], "blocks of"),
        (header(GOOD, directory=0), "stream directory"),
        (header(GOOD, directory=0xFFFFFFFC), "stream directory"),
        (header(GOOD, map=0), "directory map"),
        (header(GOOD, map=1 << 31), "directory map"),
        (directory(GOOD, 0, 60000), "streams in a directory"),
        (directory(GOOD, 2, 0x7FFFFFFF), "streams of"),
        (directory(GOOD, 5, 0), "outside"),
        (directory(GOOD, 5, 1 << 31), "outside"),
        (directory(GOOD, 5, 4), "twice"),
    ],
)
def test_container_malformed_fail(data: bytes, cause: str) -> None:
    code, said = refused(data)
    assert code is codes.PDB_CONTAINER_MALFORMED
    assert cause in said


def test_too_many_streams_fail() -> None:
    assert refused(directory(GOOD, 0, 70000))[0] is codes.PDB_LIMIT


def test_too_large_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msf, "MAX_FILE_SIZE", len(GOOD) - 1)
    assert refused(GOOD)[0] is codes.PDB_LIMIT
