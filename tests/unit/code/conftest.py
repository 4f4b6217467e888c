"""Tiny images with hand-assembled code, for the tests of what hpbuild finds in machine code."""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from hpbuild.code.program import Program, load_program
from hpbuild.pe.files import read_file
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.pe.symbols import load_symbols

BASE = 0x180000000
TEXT, CONST, ROWS, SITES = 0x1000, 0x3000, 0x5000, 0x6000
"""RVAs of the sections: code, constants (with unwind records), exception directory, base relocations."""
_HEADERS = 0x400
_OPTIONAL = 0x98
_EXCEPTION, _RELOCATION = 3, 5
_CODE_FLAGS, _CONST_FLAGS = 0x60000020, 0x40000040


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What lies in a tiny image: ``rows`` are (begin, end, unwind record), ``pointers`` the RVAs of 8-byte
    fields with a base relocation; ``filled`` is how much of the code section the file holds."""

    text: bytes
    const: bytes = b""
    rows: tuple[tuple[int, int, int], ...] = ()
    pointers: tuple[int, ...] = ()
    entry: int = TEXT
    virtual: int | None = None

    def file(self) -> bytes:
        """The bytes of the PE file."""
        rows = b"".join(struct.pack("<III", *row) for row in self.rows)
        sections = [
            (b".text", TEXT, self.text, _CODE_FLAGS, self.virtual or len(self.text)),
            (b".rdata", CONST, self.const or bytes(16), _CONST_FLAGS, len(self.const) or 16),
        ]
        directories = {}
        if rows:
            sections.append((b".pdata", ROWS, rows, _CONST_FLAGS, len(rows)))
            directories[_EXCEPTION] = (ROWS, len(rows))
        if self.pointers:
            blocks = _relocations(self.pointers)
            sections.append((b".reloc", SITES, blocks, _CONST_FLAGS, len(blocks)))
            directories[_RELOCATION] = (SITES, len(blocks))
        return _file(sections, directories, self.entry)


def _relocations(sites: Iterable[int]) -> bytes:
    pages: dict[int, list[int]] = {}
    for site in sorted(sites):
        pages.setdefault(site & ~0xFFF, []).append(0xA000 | site & 0xFFF)
    blocks = b""
    for page, entries in pages.items():
        entries += [0] * (len(entries) % 2)
        blocks += struct.pack(f"<II{len(entries)}H", page, 8 + 2 * len(entries), *entries)
    return blocks


def _file(
    sections: list[tuple[bytes, int, bytes, int, int]], directories: dict[int, tuple[int, int]], entry: int
) -> bytes:
    end = max(rva + size for _, rva, _, _, size in sections)
    data = bytearray(_HEADERS)
    data[:2] = b"MZ"
    struct.pack_into("<I", data, 0x3C, 0x80)
    struct.pack_into("<4sHHIIIHH", data, 0x80, b"PE\0\0", 0x8664, len(sections), 0, 0, 0, 240, 0x2022)
    struct.pack_into("<H14xI4xQII", data, _OPTIONAL, 0x20B, entry, BASE, 0x1000, 0x200)
    struct.pack_into("<II", data, _OPTIONAL + 56, (end + 0xFFF) & ~0xFFF, _HEADERS)
    struct.pack_into("<I", data, _OPTIONAL + 108, 16)
    for index, directory in directories.items():
        struct.pack_into("<II", data, _OPTIONAL + 112 + 8 * index, *directory)
    for index, (name, rva, content, flags, size) in enumerate(sections):
        raw = (len(content) + 0x1FF) & ~0x1FF
        row = struct.pack("<8sIIII12xI", name, size, rva, raw, len(data), flags)
        data[_OPTIONAL + 240 + 40 * index : _OPTIONAL + 280 + 40 * index] = row
        data += content.ljust(raw, b"\0")
    return bytes(data)


@pytest.fixture(scope="session")
def build() -> Callable[..., Image]:
    """``build(text=..., const=..., rows=..., pointers=...)``: the parsed image of those ``Parts``."""

    def make(**parts: object) -> Image:
        return parse_image(Parts(**parts).file(), "tiny.dll")  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def damaged(binaries: Path) -> Callable[..., Image]:
    """``damaged("baseline/codec.dll", [(offset in the file, bytes), ...])``."""

    def make(name: str, edits: Iterable[tuple[int, bytes]]) -> Image:
        data = bytearray(read_file(binaries / name).whole())
        for at, content in edits:
            data[at : at + len(content)] = content[: len(data) - at]
        return parse_image(bytes(data), name)

    return make


@pytest.fixture(scope="session")
def with_constants() -> Callable[[bytes], Image]:
    """A quick way to an image of 256 bytes of code and a page that begins with the given constants."""
    plain = parse_image(Parts(text=b"\xc3" * 0x100, const=bytes(0x1000)).file(), "tiny.dll")

    def make(const: bytes) -> Image:
        memory = plain.memory.copy()
        memory[CONST : CONST + len(const)] = np.frombuffer(const, dtype=np.uint8)
        return replace(plain, memory=memory)

    return make


@pytest.fixture
def analyse(build: Callable[..., Image]) -> Callable[..., Program]:
    """The same with the whole analysis, without symbols."""

    def make(**parts: object) -> Program:
        image = build(**parts)
        return load_program(image, load_symbols(image, None))

    return make


@pytest.fixture(scope="session")
def program_of(binaries: Path) -> Callable[..., Program]:
    """``program_of("baseline/codec.dll", symbols)`` analyses an example binary, each only once."""
    known: dict[tuple[str, str], Program] = {}

    def make(name: str, symbols: str = "auto") -> Program:
        if (name, symbols) not in known:
            path = binaries / name
            image = read_image(path)
            known[name, symbols] = load_program(image, load_symbols(image, path, symbols))
        return known[name, symbols]

    return make
