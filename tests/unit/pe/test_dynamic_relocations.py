"""The dynamic relocation table: which instructions it names, and tables that are torn."""

import struct
from pathlib import Path

import pytest

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe import dynamic_relocations
from hpbuild.pe.access import LOAD_CONFIG
from hpbuild.pe.dynamic_relocations import rewritten_sites
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image, read_image

PAGE = 0x1000


def block(page: int, entries: bytes) -> bytes:
    return struct.pack("<II", page, 8 + len(entries)) + entries


def entry(symbol: int, body: bytes) -> bytes:
    return struct.pack("<QI", symbol, len(body)) + body


def override(*blocks: bytes, rvas: int = 1) -> bytes:
    body = b"".join(blocks)
    one = struct.pack("<IIII", PAGE, 0, 4 * rvas, len(body)) + bytes(4 * rvas) + body
    return struct.pack("<I", len(one)) + one + b"what decides"


def image_with(binaries: Path, body: bytes, version: int = 1, size: int | None = None) -> Image:
    """throwing.dll with a table of the given entries at the end of its .text."""
    image = read_image(binaries / "baseline" / "throwing.dll")
    table = struct.pack("<II", version, len(body) if size is None else size) + body
    text = image.sections[0]
    config = image.directories[LOAD_CONFIG].start
    host = image.section_at(config)
    assert host is not None
    data = bytearray(image.data.whole())
    end = text.raw_offset + text.raw_size
    data[end - len(table) : end] = table
    (pe,) = struct.unpack_from("<I", data, 0x3C)
    struct.pack_into("<I", data, pe + 24 + 240 + 8, text.raw_size)
    at = host.raw_offset + config - host.rva
    struct.pack_into("<IH", data, at + 0xE0, text.raw_size - len(table), 1)
    return parse_image(bytes(data), "x")


def test_none(binaries: Path) -> None:
    assert rewritten_sites(read_image(binaries / "baseline" / "codec.dll")) == []
    assert rewritten_sites(read_image(binaries / "baseline" / "throwing.dll")) == []


def test_all_kinds(binaries: Path) -> None:
    body = entry(3, block(PAGE, struct.pack("<II", 0x00012345, 0x80000010)))
    body += entry(
        4, block(PAGE, struct.pack("<HH", 0x1020, 0)) + block(2 * PAGE, struct.pack("<HH", 0x2001, 0x3002))
    )
    body += entry(5, block(PAGE, struct.pack("<HH", 0x5ABC, 0)))
    body += entry(7, override(block(PAGE, struct.pack("<HH", 0x3678, 0)), rvas=3))
    expected = [
        PAGE + 0x345,
        PAGE + 0x10,
        PAGE + 0x20,
        2 * PAGE + 1,
        2 * PAGE + 2,
        PAGE + 0xABC,
        PAGE + 0x678,
    ]
    assert rewritten_sites(image_with(binaries, body)) == sorted(expected)


@pytest.mark.parametrize(("symbol", "version"), [(1, 1), (6, 1), (3, 2)])
def test_unknown(binaries: Path, symbol: int, version: int) -> None:
    body = entry(symbol, block(PAGE, bytes(4)))
    assert rewritten_sites(image_with(binaries, body, version)) is None


@pytest.mark.parametrize(
    "body",
    [
        entry(3, bytes(4))[:-8],
        struct.pack("<QI", 3, 100),
        entry(3, block(PAGE, bytes(4))[:7]),
        entry(4, struct.pack("<II", PAGE, 4)),
        entry(4, struct.pack("<II", PAGE, 16)),
        entry(7, b""),
        entry(7, struct.pack("<I", 8)),
        entry(7, struct.pack("<I", 8) + bytes(8)),
        entry(7, struct.pack("<IIIII", 16, PAGE, 0, 8, 0)),
        entry(7, struct.pack("<IIIII", 16, PAGE, 0, 0, 8)),
    ],
)
def test_torn(binaries: Path, body: bytes) -> None:
    with pytest.raises(HpbuildError) as caught:
        rewritten_sites(image_with(binaries, body))
    assert caught.value.code is codes.LOAD_CONFIG_ADDRESS


def test_a_very_large_table_is_not_read(binaries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_with(binaries, entry(3, block(PAGE, struct.pack("<I", 0x10))))
    assert rewritten_sites(image) == [PAGE + 0x10]
    monkeypatch.setattr(dynamic_relocations, "MAX_TABLE", 16)
    assert rewritten_sites(image) is None
