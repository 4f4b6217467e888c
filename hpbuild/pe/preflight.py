"""Header pre-flight with absolute limits, before any library sees the bytes.

Source: PE specification, sections "MS-DOS Stub", "COFF File Header", "Optional Header".
Nothing here allocates more than the section table. Stricter than Windows where tools are known to
disagree about an image; several hundred images of six linkers were measured to stay inside these limits.
"""

import struct
from typing import NoReturn

from hpbuild.codes import pe as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.access import BOUND_IMPORT, CERTIFICATE, CLR, DEBUG, backed
from hpbuild.pe.arrangement import RawRow
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.image import Section
from hpbuild.pe.section_table import ROW_SIZE, check_raw, check_virtual, read_sections
from hpbuild.values import Interval, Rva

MAX_SECTIONS = 96
MAX_IMAGE = 1 << 30
MAX_HEADERS = 1 << 20
PAGE = 0x1000
DIRECTORIES = 16
MACHINE_X64 = 0x8664
COMIMAGE_FLAGS_ILONLY = 1
_OPTIONAL_FIXED = 112
_MACHINES_32 = {0x14C: "i386", 0x1C0: "ARM", 0x1C4: "ARM Thumb-2"}
_MACHINES_ARM64 = {0xAA64: "ARM64 or ARM64X", 0xA641: "ARM64EC", 0xA64E: "ARM64X"}
_IMAGE_FILE_EXECUTABLE_IMAGE = 0x0002
_USER_ADDRESS_LIMIT = 1 << 47


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionalHeader:
    """Fields of the PE32+ optional header; meanings as in ``Image``."""

    linker_version: tuple[int, int]
    entry_point: Rva
    image_base: int
    section_alignment: int
    file_alignment: int
    size_of_image: int
    size_of_headers: int
    checksum: int
    subsystem: int
    dll_characteristics: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """Checked headers. ``raw_sections`` are the section rows as they stand in the file."""

    time_date_stamp: int
    characteristics: int
    optional: OptionalHeader
    sections: tuple[Section, ...]
    raw_sections: tuple[RawRow, ...]
    directories: tuple[Interval, ...]


def preflight(content: bytes | FileBytes, name: str, file_size: int | None = None) -> Headers:
    """Check the headers of the file bytes ``content``; ``name`` is only for messages. ``file_size`` is given
    when they are no more than the headers, as in a process: extents in the file are checked against it.

    Raises HpbuildError with HP1010 to HP1032.
    """
    data = FileBytes.of(content)
    coff = _coff_header(data, name)
    _, count, stamp, _, _, optional_size, characteristics = data.unpack("<HHIIIHH", coff)
    optional = _optional_header(data, coff + 20)
    table = slice(coff + 20 + optional_size, coff + 20 + optional_size + ROW_SIZE * count)
    _check_optional(data, name, optional, table.stop)
    sections, raw = read_sections(data, name, coff, table, optional.section_alignment)
    header_size = optional.size_of_headers
    check_virtual(name, sections, header_size, optional.size_of_image, optional.section_alignment)
    check_raw(name, raw, header_size, len(data) if file_size is None else file_size)
    directories = _directories(data, name, coff + 20, optional_size, sections, header_size, file_size)
    entry = optional.entry_point
    if entry and not any(s.executable and entry in s.range for s in sections):
        _fail(codes.BAD_ENTRY_POINT, name, f"entry point RVA {entry:#x}")
    return Headers(
        time_date_stamp=stamp,
        characteristics=characteristics,
        optional=optional,
        sections=sections,
        raw_sections=raw,
        directories=directories,
    )


def _fail(code: Code, name: str, cause: str) -> NoReturn:
    raise HpbuildError(code, name, cause)


def _coff_header(data: FileBytes, name: str) -> int:
    """File offset of the COFF header, after the checks that need no more than it."""
    if data[:2] != b"MZ":
        _fail(codes.NOT_A_PE, name, "the file does not begin with 'MZ'")
    if len(data) < 64:
        _fail(codes.TRUNCATED, name, f"the file has {len(data)} bytes, less than the MS-DOS header")
    (offset,) = data.unpack("<I", 0x3C)
    if offset < 64 or offset % 4 or offset > MAX_HEADERS:
        _fail(codes.NOT_A_PE, name, f"e_lfanew is {offset:#x}")
    if len(data) < offset + 4 + 20 + _OPTIONAL_FIXED:
        cut = data[offset : offset + 4] == b"PE\0\0"
        _fail(codes.TRUNCATED if cut else codes.NOT_A_PE, name, f"no room for headers at {offset:#x}")
    if data[offset : offset + 4] != b"PE\0\0":
        _fail(codes.NOT_A_PE, name, f"no PE signature at {offset:#x}")
    coff = int(offset) + 4
    machine, count, _, _, _, optional_size, characteristics = data.unpack("<HHIIIHH", coff)
    if machine in _MACHINES_32:
        _refuse_portable_assembly(data, name, coff)
        _fail(codes.MACHINE_32_BIT, name, f"machine {machine:#x} ({_MACHINES_32[machine]})")
    if machine in _MACHINES_ARM64:
        _fail(codes.MACHINE_ARM64, name, f"machine {machine:#x} ({_MACHINES_ARM64[machine]})")
    if machine != MACHINE_X64:
        _fail(codes.MACHINE_UNKNOWN, name, f"machine {machine:#x}")
    if not characteristics & _IMAGE_FILE_EXECUTABLE_IMAGE:
        _fail(codes.NOT_LINKED, name, f"file characteristics {characteristics:#x}")
    (magic,) = data.unpack("<H", coff + 20)
    if magic != 0x20B or optional_size < _OPTIONAL_FIXED:
        _fail(codes.NOT_PE32_PLUS, name, f"magic {magic:#x}, SizeOfOptionalHeader {optional_size:#x}")
    if not 1 <= count <= MAX_SECTIONS:
        _fail(codes.SECTION_COUNT, name, f"{count} sections")
    if coff + 20 + optional_size + ROW_SIZE * count > len(data):
        _fail(codes.TRUNCATED, name, "the file ends inside the section table")
    return coff


def _refuse_portable_assembly(data: FileBytes, name: str, coff: int) -> None:
    """HP1017 for a .NET assembly that runs on any processor: it has the headers of a 32-bit image."""
    count, optional_size = data.unpack("<2xH12xH", coff)
    optional = coff + 20
    table = optional + optional_size
    entry = optional + 96 + 8 * CLR
    magic, directories = data.unpack("<H90xI", optional)
    rows = data[table : table + ROW_SIZE * min(count, MAX_SECTIONS)]
    whole = entry + 8 <= min(table, len(data)) and not len(rows) % ROW_SIZE
    if magic != 0x10B or directories <= CLR or not whole:
        return
    (rva,) = data.unpack("<I", entry)
    for start, size, offset in struct.iter_unpack("<12x3I16x", rows):
        flags = offset + rva - start + 16  # file offset of the field in the CLR header
        inside = 0 < start <= rva < start + size and flags < len(data)
        if inside and data[flags] & COMIMAGE_FLAGS_ILONLY:
            _fail(codes.DOTNET_ONLY, name, "the CLR header has the ILONLY flag")


def _optional_header(data: FileBytes, at: int) -> OptionalHeader:
    major, minor, entry = data.unpack("<2xBB12xI4x", at)
    base, section_alignment, file_alignment = data.unpack("<QII", at + 24)
    size, header_size, checksum, subsystem, characteristics = data.unpack("<IIIHH", at + 56)
    return OptionalHeader(
        linker_version=(major, minor),
        entry_point=Rva(entry),
        image_base=base,
        section_alignment=section_alignment,
        file_alignment=file_alignment,
        size_of_image=size,
        size_of_headers=header_size,
        checksum=checksum,
        subsystem=subsystem,
        dll_characteristics=characteristics,
    )


def _check_optional(data: FileBytes, name: str, header: OptionalHeader, table_end: int) -> None:
    """Alignments, sizes and image base; ``table_end`` is where the section table ends in the file."""
    section, file, size = header.section_alignment, header.file_alignment, header.size_of_image
    aligned = not section & (section - 1) and not file & (file - 1)
    if not aligned or not PAGE <= section <= 1 << 22 or not 0x200 <= file <= min(section, 0x10000):
        _fail(codes.BAD_ALIGNMENT, name, f"section alignment {section:#x}, file alignment {file:#x}")
    if size > MAX_IMAGE:
        _fail(codes.IMAGE_TOO_LARGE, name, f"SizeOfImage {size:#x}, limit {MAX_IMAGE:#x}")
    if not size or size % section:
        _fail(codes.BAD_ALIGNMENT, name, f"SizeOfImage {size:#x} is no multiple of {section:#x}")
    headers = header.size_of_headers
    if not table_end <= headers <= min(MAX_HEADERS, size):
        _fail(
            codes.BAD_HEADER_SIZE,
            name,
            f"SizeOfHeaders is {headers:#x}, the section table ends at {table_end:#x}",
        )
    if headers > len(data):
        _fail(codes.TRUNCATED, name, f"SizeOfHeaders is {headers:#x}, the file has {len(data):#x} bytes")
    base = header.image_base
    if base % 0x10000 or not 0x10000 <= base <= _USER_ADDRESS_LIMIT - size:
        _fail(codes.BAD_IMAGE_BASE, name, f"image base {base:#x}")


def _directories(
    data: FileBytes,
    name: str,
    optional: int,
    optional_size: int,
    sections: tuple[Section, ...],
    header_size: int,
    file_size: int | None,
) -> tuple[Interval, ...]:
    (count,) = data.unpack("<I", optional + 108)
    if count > DIRECTORIES or _OPTIONAL_FIXED + 8 * count > optional_size:
        _fail(codes.DIRECTORY_COUNT, name, f"{count} directories, SizeOfOptionalHeader {optional_size:#x}")
    found = [Interval(0, 0)] * DIRECTORIES
    for index in range(count):
        start, size = data.unpack("<II", optional + _OPTIONAL_FIXED + 8 * index)
        if not start and not size:
            continue
        if not start or not size:
            _fail(codes.DIRECTORY_HALF_EMPTY, name, f"directory {index}: address {start:#x}, size {size:#x}")
        found[index] = extent = Interval(start, start + size)
        if index == CERTIFICATE:
            size = len(data) if file_size is None else file_size
            if extent.end > size:
                _fail(codes.CERTIFICATES_OUTSIDE, name, f"{extent} in a file of {size:#x} bytes")
            continue
        in_headers = index in (DEBUG, BOUND_IMPORT) and extent.end <= header_size
        if not in_headers and not any(backed(s).covers(extent) for s in sections):
            _fail(codes.DIRECTORY_OUTSIDE, name, f"directory {index}: RVAs {extent}")
    return tuple(found)
