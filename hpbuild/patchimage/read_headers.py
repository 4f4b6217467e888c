"""Check every header field of a patch image (PE specification, "COFF File Header", "Optional Header").

A field either has one legal value, or one that follows from the sections; only the image base, the
subsystem, the time stamp and the checksum are free, and the last two are checked elsewhere.
"""

import struct
from typing import Final

from hpbuild.codes import patchimage as codes
from hpbuild.errors import HpbuildError
from hpbuild.patchimage import format as shape
from hpbuild.pe.image import Image
from hpbuild.values import Interval

_FIELDS: Final = (
    ("Machine", "H"),
    ("NumberOfSections", "H"),
    ("TimeDateStamp", "I"),
    ("PointerToSymbolTable", "I"),
    ("NumberOfSymbols", "I"),
    ("SizeOfOptionalHeader", "H"),
    ("Characteristics", "H"),
    ("Magic", "H"),
    ("MajorLinkerVersion", "B"),
    ("MinorLinkerVersion", "B"),
    ("SizeOfCode", "I"),
    ("SizeOfInitializedData", "I"),
    ("SizeOfUninitializedData", "I"),
    ("AddressOfEntryPoint", "I"),
    ("BaseOfCode", "I"),
    ("ImageBase", "Q"),
    ("SectionAlignment", "I"),
    ("FileAlignment", "I"),
    ("MajorOperatingSystemVersion", "H"),
    ("MinorOperatingSystemVersion", "H"),
    ("MajorImageVersion", "H"),
    ("MinorImageVersion", "H"),
    ("MajorSubsystemVersion", "H"),
    ("MinorSubsystemVersion", "H"),
    ("Win32VersionValue", "I"),
    ("SizeOfImage", "I"),
    ("SizeOfHeaders", "I"),
    ("CheckSum", "I"),
    ("Subsystem", "H"),
    ("DllCharacteristics", "H"),
    ("SizeOfStackReserve", "Q"),
    ("SizeOfStackCommit", "Q"),
    ("SizeOfHeapReserve", "Q"),
    ("SizeOfHeapCommit", "Q"),
    ("LoaderFlags", "I"),
    ("NumberOfRvaAndSizes", "I"),
)
"""COFF file header and the fixed part of the optional header that follows it: name, ``struct`` type."""
_FREE: Final = {"TimeDateStamp", "ImageBase", "CheckSum", "Subsystem"}
_LINKER_FIELDS: Final = slice(24, 36)
"""Of a section header: relocation and line number pointers and counts, which images do not have."""


def check_headers(image: Image) -> None:
    """HP3601 for a header field, HP3603 for a directory, HP3604 for bytes between the headers.

    The sections of ``image`` must have been checked before.
    """
    data = image.data.whole()
    (pe_offset,) = struct.unpack_from("<I", data, 0x3C)
    if pe_offset != shape.PE_OFFSET:
        raise HpbuildError(codes.PATCH_HEADERS, image.name, f"e_lfanew is {pe_offset:#x}")
    values = struct.unpack_from("<" + "".join(kind for _, kind in _FIELDS), data, shape.PE_OFFSET + 4)
    found = {name: value for (name, _), value in zip(_FIELDS, values, strict=True)}
    _compare(image, found, _expected(image))
    _check_directories(image)
    at = shape.PE_OFFSET + 24 + shape.OPTIONAL_HEADER_SIZE
    gaps = [data[2:0x3C], data[0x40 : shape.PE_OFFSET]]
    for section in image.sections:
        (size,) = struct.unpack_from("<I", data, at + 8)
        _compare(image, {"VirtualSize": size}, {"VirtualSize": section.virtual_size})
        gaps.append(data[at : at + shape.SECTION_HEADER_SIZE][_LINKER_FIELDS])
        at += shape.SECTION_HEADER_SIZE
    gaps.append(data[at : image.size_of_headers])
    if any(any(gap) for gap in gaps):
        raise HpbuildError(codes.PATCH_HIDDEN_BYTES, image.name, "the headers hold bytes without a meaning")


def _compare(image: Image, found: dict[str, int], expected: dict[str, int]) -> None:
    for field, value in found.items():
        if field not in _FREE and value != expected.get(field, 0):
            cause = f"{field} is {value:#x}, not {expected.get(field, 0):#x}"
            raise HpbuildError(codes.PATCH_HEADERS, image.name, cause)


def _expected(image: Image) -> dict[str, int]:
    """Fields that are not zero."""
    sizes = {section.name: section.raw_size for section in image.sections}
    code = sizes.get(shape.TEXT, 0)
    table_end = (
        shape.PE_OFFSET + 24 + shape.OPTIONAL_HEADER_SIZE + shape.SECTION_HEADER_SIZE * len(image.sections)
    )
    return {
        "Machine": shape.MACHINE_AMD64,
        "NumberOfSections": len(image.sections),
        "SizeOfOptionalHeader": shape.OPTIONAL_HEADER_SIZE,
        "Characteristics": shape.CHARACTERISTICS,
        "Magic": shape.PE32_PLUS,
        "SizeOfCode": code,
        "SizeOfInitializedData": sum(sizes.values()) - code - sizes.get(shape.BSS, 0),
        "SizeOfUninitializedData": sum(s.virtual_size for s in image.sections if s.name == shape.BSS),
        "BaseOfCode": image.sections[0].rva if code else 0,
        "SectionAlignment": shape.PAGE,
        "FileAlignment": shape.FILE_ALIGNMENT,
        "MajorOperatingSystemVersion": shape.SYSTEM_VERSION,
        "MajorSubsystemVersion": shape.SYSTEM_VERSION,
        "SizeOfImage": image.size_of_image,
        "SizeOfHeaders": shape.round_up(table_end, shape.FILE_ALIGNMENT),
        "DllCharacteristics": shape.DLL_CHARACTERISTICS,
        "NumberOfRvaAndSizes": len(image.directories),
    }


def _check_directories(image: Image) -> None:
    """Each directory is its own section, the load configuration the first bytes of its section."""
    sections = {section.name: section.range for section in image.sections}
    nothing = Interval(0, 0)
    expected = {
        shape.DIRECTORY_EXCEPTION: sections.get(shape.PDATA, nothing),
        shape.DIRECTORY_RELOCATIONS: sections.get(shape.RELOC, nothing),
    }
    hotpatch = sections.get(shape.HOTP)
    if hotpatch is None or len(hotpatch) < shape.LOAD_CONFIG_SIZE:
        raise HpbuildError(codes.PATCH_LOAD_CONFIG, image.name, "there is no load configuration")
    expected[shape.DIRECTORY_LOAD_CONFIG] = Interval(hotpatch.start, hotpatch.start + shape.LOAD_CONFIG_SIZE)
    for number, extent in enumerate(image.directories):
        if extent != expected.get(number, nothing):
            cause = f"directory {number} is {extent}, not {expected.get(number, nothing)}"
            raise HpbuildError(codes.PATCH_DIRECTORIES, image.name, cause)
