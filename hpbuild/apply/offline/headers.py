"""Where the header fields of an image file lie, what room there is behind its section table, and how they
are written.

Source: PE specification, sections "COFF File Header", "Optional Header", "Section Table", "Data Directories".
The bytes belong to an image that passed the pre-flight (``hpbuild.pe.preflight``), so every field is there.
"""

import struct
from typing import Final

from hpbuild.dataclass import dataclass
from hpbuild.pe.access import BOUND_IMPORT, DEBUG
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.image import Image
from hpbuild.values import Interval

ROW_SIZE: Final = 40
"""Bytes of one row of the section table."""
RELOCS_STRIPPED: Final = 0x0001
FORCE_INTEGRITY: Final = 0x0080
"""Bits of Characteristics and DllCharacteristics."""

CODE, INITIALIZED, UNINITIALIZED = 0x20, 0x40, 0x80
"""Content bits of a section's flags."""

VIRTUAL_SIZE: Final = 8
RAW_SIZE: Final = 16
RAW_POINTERS: Final = (20, 24, 28)
"""Offsets in a row of the section table; the pointers are file offsets, 0 for none."""

SIZES: Final = {CODE: 4, INITIALIZED: 8, UNINITIALIZED: 12}
"""Offsets of SizeOfCode and its like in the optional header, by the content that each counts."""
SIZE_OF_IMAGE: Final = 56
SIZE_OF_HEADERS: Final = 60
CHECKSUM: Final = 64
"""Offsets in the optional header."""
_DIRECTORIES: Final = 112
_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
_ROW: Final = struct.Struct("<8sIIIIIIHHI")


@dataclass(frozen=True, slots=True)
class Places:
    """File offsets: of the COFF header, the optional header, the section table and its end."""

    coff: int
    optional: int
    table: int
    table_end: int

    @property
    def section_count(self) -> int:
        """File offset of NumberOfSections."""
        return self.coff + 2

    @property
    def symbol_table(self) -> int:
        """File offset of PointerToSymbolTable; the number of symbols follows."""
        return self.coff + 8

    @property
    def directory_count(self) -> int:
        """File offset of NumberOfRvaAndSizes."""
        return self.optional + 108

    def directory(self, index: int) -> int:
        """File offset of the data directory ``index``."""
        return self.optional + _DIRECTORIES + 8 * index

    def row(self, index: int) -> int:
        """File offset of the row ``index`` of the section table."""
        return self.table + ROW_SIZE * index


def places(image: Image) -> Places:
    """The places in the file of ``image``."""
    coff = get_u32(image.data, 0x3C) + 4
    (size,) = image.data.unpack("<H", coff + 16)
    table = coff + 20 + size
    return Places(coff, coff + 20, table, table + ROW_SIZE * len(image.sections))


def get_u32(data: bytes | bytearray | FileBytes, offset: int) -> int:
    """The 32-bit field at ``offset``."""
    (value,) = _U32.unpack(data[offset : offset + _U32.size])
    return int(value)


def put_u16(data: bytearray, offset: int, value: int) -> None:
    """Write a 16-bit field."""
    _U16.pack_into(data, offset, value)


def put_u32(data: bytearray, offset: int, value: int) -> None:
    """Write a 32-bit field."""
    _U32.pack_into(data, offset, value)


def add_u32(data: bytearray, offset: int, value: int) -> None:
    """Add to a 32-bit field; the sums of sizes in the optional header are hints, and wrap."""
    put_u32(data, offset, (get_u32(data, offset) + value) % 2**32)


def section_row(name: str, size: int, rva: int, raw: tuple[int, int], characteristics: int) -> bytes:
    """A row of the section table; ``raw`` is (file offset, bytes in the file)."""
    return _ROW.pack(name.encode("ascii"), size, rva, raw[1], raw[0], 0, 0, 0, 0, characteristics)


def room_end(image: Image, at: Places) -> int:
    """File offset up to which the section table may grow inside the headers: the first byte that is not
    zero, or belongs to a directory that lies in the headers, else the end of the headers."""
    headers = image.size_of_headers
    tail = image.data[at.table_end : headers]
    used = len(tail) - len(tail.lstrip(b"\0"))
    inside = [
        extent.start
        for index, extent in enumerate(image.directories)
        if index in (DEBUG, BOUND_IMPORT) and len(extent) and extent.overlaps(Interval(at.table_end, headers))
    ]
    return max(at.table_end, min([at.table_end + used, *inside]))
