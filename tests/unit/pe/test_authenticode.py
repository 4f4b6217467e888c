import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.authenticode import authenticode_digest
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.values import Interval

CERTIFICATE = 4


@pytest.fixture
def dll(binaries: Path) -> Path:
    return binaries / "baseline" / "codec.dll"


def optional(data: bytes) -> int:
    return int.from_bytes(data[0x3C:0x40], "little") + 24


def put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def with_certificates(data: bytes, table: bytes) -> bytes:
    """``data`` with a certificate table at its end and the directory entry that names it."""
    data += bytes(-len(data) % 8)
    entry = struct.pack("<II", len(data), len(table))
    return put(data, optional(data) + 112 + 8 * CERTIFICATE, entry) + table


TABLE = struct.pack("<IHH", 24, 0x200, 2) + b"not a signature!"


@pytest.fixture
def signed(dll: Path, tmp_path: Path, require_tool: Callable[[str], str]) -> Path:
    """The module signed with a certificate made for this test."""
    openssl, osslsigncode = require_tool("openssl"), require_tool("osslsigncode")
    key, certificate, out = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "signed.dll"
    request = f"{openssl} req -x509 -newkey rsa:2048 -nodes -subj /CN=throw-away -days 2"
    request += f" -addext extendedKeyUsage=codeSigning -keyout {key} -out {certificate}"
    sign = f"{osslsigncode} sign -h sha256 -certs {certificate} -key {key} -in {dll} -out {out}"
    for command in (request, sign):
        subprocess.run(command.split(), check=True, capture_output=True)
    return out


def test_signing_keeps_the_digest(dll: Path, signed: Path, require_tool: Callable[[str], str]) -> None:
    image = read_image(signed)
    assert len(image.directories[CERTIFICATE]) > 0
    digest = authenticode_digest(image, cross_check=True)
    assert digest is not None
    assert digest == authenticode_digest(read_image(dll), cross_check=True)
    run = subprocess.run(
        [require_tool("osslsigncode"), "verify", "-in", str(signed)],
        check=False,
        capture_output=True,
        text=True,
    )
    told = re.search(r"Calculated message digest\s*:\s*([0-9A-F]{64})", run.stdout)
    assert told is not None
    assert told[1].lower() == digest.hex


@pytest.mark.parametrize("extra", [b"", b"x", b"seven b", b"eight by"])
def test_padding_as_if_signed(dll: Path, extra: bytes) -> None:
    """Data behind the sections counts, zero-padded to 8 bytes as a signing tool pads it."""
    data = dll.read_bytes() + extra
    unsigned = parse_image(data, "a.dll")
    signed = parse_image(with_certificates(data, TABLE), "b.dll")
    digest = authenticode_digest(unsigned, cross_check=True)
    assert digest is not None
    assert digest == authenticode_digest(signed, cross_check=True)
    assert (digest == authenticode_digest(read_image(dll), cross_check=False)) == (extra == b"")


def test_checksum_does_not_count_all_else_does(dll: Path) -> None:
    data = dll.read_bytes()
    digest = authenticode_digest(parse_image(data, "a"), cross_check=False)
    stamped = put(data, optional(data) + 64, b"\1\2\3\4")
    assert authenticode_digest(parse_image(stamped, "a"), cross_check=True) == digest
    for at in (0x50, optional(data) + 4, optional(data) + 70, len(data) // 2, len(data) - 1):
        changed = put(data, at, bytes([data[at] ^ 1]))
        assert authenticode_digest(parse_image(changed, "a"), cross_check=True) != digest


def test_gap_between_sections_has_no_digest(dll: Path) -> None:
    data = dll.read_bytes()
    image = read_image(dll)
    last = image.sections[-1]
    row = optional(data) + int.from_bytes(data[optional(data) - 4 : optional(data) - 2], "little")
    row += 40 * (len(image.sections) - 1)
    gap = bytes(image.file_alignment)
    moved = put(data, row + 20, struct.pack("<I", last.raw_offset + len(gap)))
    moved = moved[: last.raw_offset] + gap + moved[last.raw_offset :]
    assert authenticode_digest(parse_image(moved, "a"), cross_check=True) is None


def entry(image: Image, start: int, size: int) -> Image:
    directories = list(image.directories)
    directories[CERTIFICATE] = Interval(start, start + size)
    return replace(image, directories=tuple(directories))


def test_loose_certificate_tables_have_no_digest(dll: Path) -> None:
    data = with_certificates(dll.read_bytes(), TABLE)
    image = parse_image(data, "a")
    table = image.directories[CERTIFICATE]
    assert authenticode_digest(image, cross_check=False) is not None
    loose = {
        "over the first section": entry(image, image.sections[0].raw_offset, len(data)),
        "not up to the end": entry(image, table.start, len(table) - 8),
        "beyond the end": entry(image, table.start, len(table) + 8),
        "not aligned": entry(image, table.start + 4, len(table) - 4),
        "empty but placed": entry(image, table.start, 0),
    }
    for why, changed in loose.items():
        assert authenticode_digest(changed, cross_check=False) is None, why


def test_section_beyond_the_file_has_no_digest(dll: Path) -> None:
    image = read_image(dll)
    assert authenticode_digest(replace(image, data=FileBytes.of(image.data[:-1])), cross_check=False) is None


def test_no_room_for_the_directory_entry_has_no_digest(dll: Path) -> None:
    image = read_image(dll)
    data = image.data.whole()
    few = put(data, optional(data) + 108, struct.pack("<I", 4))
    assert authenticode_digest(replace(image, data=FileBytes.of(few)), cross_check=False) is None


def test_disagreement_fail(dll: Path) -> None:
    """LIEF finds a certificate table in the bytes, the image says that there is none."""
    image = parse_image(with_certificates(dll.read_bytes(), TABLE), "a.dll")
    with pytest.raises(HpbuildError) as caught:
        authenticode_digest(entry(image, 0, 0), cross_check=True)
    assert caught.value.code is codes.AUTHENTICODE_DISAGREEMENT
    assert "LIEF" in caught.value.finding.cause


def test_unreadable_for_lief_fail(dll: Path) -> None:
    image = read_image(dll)
    data = image.data.whole()
    blank = put(data, int.from_bytes(data[0x3C:0x40], "little"), b"XX")
    with pytest.raises(HpbuildError) as caught:
        authenticode_digest(replace(image, data=FileBytes.of(blank)), cross_check=True)
    assert caught.value.code is codes.AUTHENTICODE_DISAGREEMENT
    assert "none" in caught.value.finding.cause
