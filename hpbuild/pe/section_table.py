"""The section table and its checks. Source: PE specification, section "Section Table"."""

import struct

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import printable
from hpbuild.pe.arrangement import RawRow, mapped_size
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.image import Section
from hpbuild.values import Rva

ROW_SIZE = 40
_ROW = "<8sIIII12xI"
_LONG_NAME = 256
_RAW_ALIGNMENT = 0x200


def read_sections(
    data: FileBytes, name: str, coff: int, table: slice, alignment: int
) -> tuple[tuple[Section, ...], tuple[RawRow, ...]]:
    """The rows in ``table`` (file offsets) as sections and as they stand in the file.

    ``coff`` is the file offset of the COFF header, ``alignment`` the section alignment. Raises
    HpbuildError with HP1027 for a section without bytes.
    """
    sections, raw = [], []
    for label, virtual_size, rva, raw_size, raw_offset, flags in struct.iter_unpack(_ROW, data[table]):
        size = virtual_size or raw_size
        if not size:
            raise HpbuildError(codes.SECTION_OUTSIDE, name, f"section at RVA {rva:#x} has no bytes")
        raw.append((virtual_size, rva, raw_size, raw_offset))
        sections.append(
            Section(
                name=_name(data, coff, label),
                rva=Rva(rva),
                virtual_size=size,
                raw_offset=raw_offset,
                raw_size=mapped_size(virtual_size, raw_size, alignment),
                characteristics=flags,
            )
        )
    return tuple(sections), tuple(raw)


def check_virtual(
    name: str, sections: tuple[Section, ...], header_size: int, image_size: int, alignment: int
) -> None:
    """Ascending, aligned, disjoint and inside the image: HP1021, HP1024, HP1025, HP1027."""
    end, highest = header_size, 0
    for section in sections:
        place = f"section {section.name} at RVA {section.rva:#x}"
        if section.rva % alignment:
            raise HpbuildError(codes.BAD_ALIGNMENT, name, f"{place} is not aligned to {alignment:#x}")
        if section.rva < end:
            code = codes.SECTIONS_UNSORTED if section.rva < highest else codes.SECTIONS_OVERLAP
            raise HpbuildError(code, name, f"{place} begins before {end:#x}, where the previous one ends")
        end, highest = section.rva + section.virtual_size, section.rva
        if end > image_size:
            raise HpbuildError(
                codes.SECTION_OUTSIDE, name, f"{place} ends at {end:#x}, SizeOfImage is {image_size:#x}"
            )


def check_raw(name: str, rows: tuple[RawRow, ...], header_size: int, file_size: int) -> None:
    """File extents aligned, disjoint, behind the headers and inside the file: HP1011, HP1021, HP1026."""
    previous = header_size
    for start, end in sorted((offset, offset + size) for _, _, size, offset in rows if size):
        if start % _RAW_ALIGNMENT:
            raise HpbuildError(codes.BAD_ALIGNMENT, name, f"raw data at file offset {start:#x}")
        if start < previous:
            raise HpbuildError(
                codes.RAW_OVERLAP, name, f"raw data at file offset {start:#x} begins before {previous:#x}"
            )
        if end > file_size:
            raise HpbuildError(
                codes.TRUNCATED, name, f"raw data ends at {end:#x}, the file at {file_size:#x}"
            )
        previous = end


def _name(data: FileBytes, coff: int, label: bytes) -> str:
    """Section name; ``/123`` leads into the COFF string table, as GNU and LLVM linkers write it."""
    short = label.rstrip(b"\0")
    symbols, symbol_count = data.unpack("<II", coff + 8)
    if short[:1] == b"/" and short[1:].isdigit() and symbols:
        table = symbols + 18 * symbol_count
        start = table + int(short[1:])
        text, mark, _ = data[start : start + _LONG_NAME].partition(b"\0")
        if start >= table + 4 and mark:
            return printable(text)
    return printable(short)
