"""Copies of a PE file that mean the same: other stamps, another preferred base, another signature.

The headers are read here anew, not by hpbuild: a copy made with the reader under test would agree with its
mistakes. Source: PE specification (headers, export and debug directories, base relocations, CheckSum).
"""

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DISTANCE = 0x1000_0000
"""How far a re-based copy lies from the original, bytes; a multiple of 64 KiB."""
STAMP = 0x1234_5678
_EXPORT, _RELOCATION, _DEBUG = 0, 5, 6
_DEBUG_ENTRY = 28
_DIR64 = 10
_STRIPPED = 0x0001


class CannotMutateError(Exception):
    """The file does not have what the copy needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """File offsets of the headers; ``sections`` are rows (RVA, mapped file bytes, file offset);
    ``directories`` rows (RVA, size)."""

    file_header: int
    optional: int
    sections: tuple[tuple[int, int, int], ...]
    directories: tuple[tuple[int, int], ...]

    def offset(self, rva: int) -> int:
        """File offset of ``rva``. Raises CannotMutateError when the file does not hold it."""
        for start, size, place in self.sections:
            if start <= rva < start + size:
                return place + rva - start
        raise CannotMutateError(f"the file does not hold RVA {rva:#x}")

    def directory(self, number: int) -> tuple[int, int]:
        """RVA and size of a data directory, (0, 0) when there is none."""
        return self.directories[number] if number < len(self.directories) else (0, 0)


def restamped(data: bytes) -> bytes:
    """A copy with another TimeDateStamp in the file header and in the export and debug directories, and with
    the CheckSum that goes with it."""
    layout, copy = _layout(data), bytearray(data)
    struct.pack_into("<I", copy, layout.file_header + 4, STAMP)
    for number, entry in ((_EXPORT, 0), (_DEBUG, _DEBUG_ENTRY)):
        rva, size = layout.directory(number)
        if rva:
            for start in range(0, size if entry else 1, entry or 1):
                struct.pack_into("<I", copy, layout.offset(rva + start) + 4, STAMP)
    return _with_checksum(copy, layout)


def rebased(data: bytes, distance: int = DISTANCE) -> bytes:
    """A copy that prefers a base ``distance`` bytes higher, every relocated address moved along.

    Raises CannotMutateError for a file without base relocations.
    """
    layout, copy = _layout(data), bytearray(data)
    rva, size = layout.directory(_RELOCATION)
    characteristics = struct.unpack_from("<H", data, layout.file_header + 18)[0]
    if not size or characteristics & _STRIPPED:
        raise CannotMutateError("no base relocations")
    (base,) = struct.unpack_from("<Q", data, layout.optional + 24)
    struct.pack_into("<Q", copy, layout.optional + 24, base + distance)
    table = layout.offset(rva)
    end = table + size
    while table < end:
        page, length = struct.unpack_from("<II", data, table)
        for entry in struct.unpack_from(f"<{(length - 8) // 2}H", data, table + 8):
            if entry >> 12 == _DIR64:
                site = layout.offset(page + (entry & 0xFFF))
                (value,) = struct.unpack_from("<Q", data, site)
                struct.pack_into("<Q", copy, site, (value + distance) & 0xFFFF_FFFF_FFFF_FFFF)
        table += length
    return _with_checksum(copy, layout)


def throw_away_key(folder: Path, openssl: str) -> tuple[Path, Path]:
    """A new self-signed certificate in ``folder``: (certificate, key), PEM."""
    certificate, key = folder / "signer.pem", folder / "signer.key"
    _run(
        openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=throw-away",
        "-addext", "extendedKeyUsage=codeSigning", "-keyout", str(key), "-out", str(certificate),
    )  # fmt: skip
    return certificate, key


def resign(source: Path, target: Path, signer: tuple[Path, Path], osslsigncode: str) -> None:
    """Write a copy of ``source`` with another Authenticode signature to ``target``; an old one is replaced.

    Raises CannotMutateError when the tool refuses.
    """
    certificate, key = (str(path) for path in signer)
    _run(
        osslsigncode, "sign", "-certs", certificate, "-key", key, "-h", "sha256", "-in", str(source),
        "-out", str(target),
    )  # fmt: skip


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMutateError((done.stderr or done.stdout).strip().splitlines()[-1:] or command[0])


def _layout(data: bytes) -> _Layout:
    (signature,) = struct.unpack_from("<I", data, 0x3C)
    file_header = signature + 4
    count, optional_size = struct.unpack_from("<2xH12xH", data, file_header)
    optional = file_header + 20
    (magic,) = struct.unpack_from("<H", data, optional)
    if magic != 0x20B:
        raise CannotMutateError("not PE32+")
    (directories,) = struct.unpack_from("<I", data, optional + 108)
    sections = []
    for place in range(optional + optional_size, optional + optional_size + 40 * count, 40):
        virtual, rva, raw, offset = struct.unpack_from("<8x4I", data, place)
        sections.append((rva, min(virtual or raw, raw), offset))
    return _Layout(
        file_header=file_header,
        optional=optional,
        sections=tuple(sections),
        directories=tuple(
            struct.unpack_from("<2I", data, optional + 112 + 8 * number)
            for number in range(min(directories, 16))
        ),
    )


def _with_checksum(copy: bytearray, layout: _Layout) -> bytes:
    """The image with its CheckSum: the folded 16-bit sum of all words but its own, plus the length."""
    struct.pack_into("<I", copy, layout.optional + 64, 0)
    words = np.frombuffer(copy + bytes(len(copy) % 2), dtype="<u2")
    total = int(words.sum(dtype=np.uint64))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("<I", copy, layout.optional + 64, total + len(copy))
    return bytes(copy)
