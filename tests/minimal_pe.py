"""A builder of tiny PE files, whole ones and broken ones."""

import struct
from dataclasses import dataclass, field

from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image

BASE = 0x180000000
CODE = 0x60000020
DATA = 0x40000040
TEXT, RDATA = 0x1000, 0x2000
_PE, _COFF, _OPTIONAL = 0x80, 0x84, 0x98
_DIRECTORIES, _TABLE = _OPTIONAL + 112, _OPTIONAL + 240
_HEADERS = 0x400
FIELDS = {
    "mz": (0, "2s"),
    "e_lfanew": (0x3C, "I"),
    "signature": (_PE, "4s"),
    "machine": (_COFF, "H"),
    "section_count": (_COFF + 2, "H"),
    "symbol_table": (_COFF + 8, "I"),
    "symbol_count": (_COFF + 12, "I"),
    "optional_size": (_COFF + 16, "H"),
    "characteristics": (_COFF + 18, "H"),
    "magic": (_OPTIONAL, "H"),
    "entry_point": (_OPTIONAL + 16, "I"),
    "image_base": (_OPTIONAL + 24, "Q"),
    "section_alignment": (_OPTIONAL + 32, "I"),
    "file_alignment": (_OPTIONAL + 36, "I"),
    "size_of_image": (_OPTIONAL + 56, "I"),
    "size_of_headers": (_OPTIONAL + 60, "I"),
    "directory_count": (_OPTIONAL + 108, "I"),
}


@dataclass
class MinimalPe:
    """A PE32+ file with one page of code at RVA 0x1000; data sections follow page by page."""

    sections: list[tuple[bytes, int, int, bytes, int]] = field(default_factory=list)
    directories: dict[int, tuple[int, int]] = field(default_factory=dict)
    overlay: bytes = b""
    name: str = "minimal.dll"

    def __post_init__(self) -> None:
        self.section(b".text", b"\xcc" * 0x1000, CODE)

    def section(self, name: bytes, content: bytes, flags: int = DATA, size: int | None = None) -> int:
        """Add a section behind the last and return its RVA."""
        rva = 0x1000
        if self.sections:
            _, last, last_size, _, _ = self.sections[-1]
            rva = (last + last_size + 0xFFF) & ~0xFFF
        self.sections.append((name, rva, len(content) if size is None else size, content, flags))
        return rva

    def table(self, index: int, content: bytes, size: int | None = None) -> int:
        """Add a section for directory ``index`` and return its RVA."""
        rva = self.section(b".rdata", content)
        self.directories[index] = (rva, len(content) if size is None else size)
        return rva

    def build(self, **fields: int | bytes) -> bytes:
        """The file bytes with header ``fields`` overwritten."""
        data = bytearray(_HEADERS)
        end = max(rva + size for _, rva, size, _, _ in self.sections)
        values: dict[str, int | bytes] = {
            "mz": b"MZ", "e_lfanew": _PE, "signature": b"PE\0\0", "machine": 0x8664,
            "section_count": len(self.sections), "optional_size": 240, "characteristics": 0x2022,
            "magic": 0x20B, "entry_point": TEXT, "image_base": BASE, "section_alignment": 0x1000,
            "file_alignment": 0x200, "size_of_image": (end + 0xFFF) & ~0xFFF, "size_of_headers": _HEADERS,
            "directory_count": 16,
        }  # fmt: skip
        for key, value in (values | fields).items():
            at, layout = FIELDS[key]
            struct.pack_into("<" + layout, data, at, value)
        for index, (rva, size) in self.directories.items():
            struct.pack_into("<II", data, _DIRECTORIES + 8 * index, rva, size)
        for index, (name, rva, size, content, flags) in enumerate(self.sections):
            raw = (len(content) + 0x1FF) & ~0x1FF
            row = struct.pack("<8sIIII12xI", name, size, rva, raw, len(data) if raw else 0, flags)
            data[_TABLE + 40 * index : _TABLE + 40 * index + 40] = row
            data += content.ljust(raw, b"\0")
        return bytes(data + self.overlay)

    def image(self, **fields: int | bytes) -> Image:
        """The parsed file."""
        return parse_image(self.build(**fields), self.name)
