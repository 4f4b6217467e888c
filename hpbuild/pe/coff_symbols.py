"""The COFF symbol table that mingw linkers leave in an image.

Source of the format: PE specification, section "COFF Symbol Table". Values are offsets into the section.
An auxiliary record of a section symbol holds the length of that object's contribution; GNU names such
contributions ``.text$name`` when every function has its own, and then the length is the exact extent.
"""

import re

from hpbuild.codes.pe_identity import COFF_SYMBOLS_MALFORMED
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import NAME_LIMIT, printable
from hpbuild.pe.image import IMAGE_SCN_MEM_DISCARDABLE, Image, Section
from hpbuild.pe.symbol_model import Symbol, SymbolKind, SymbolScope, base_name, sorted_symbols
from hpbuild.values import Rva

_ROW_SIZE = 18
MAX_ROWS = 1 << 22
_CLASS_EXTERNAL, _CLASS_STATIC, _CLASS_FILE = 2, 3, 103
_TYPE_FUNCTION = 0x20
# One contribution per function or datum: the name after the group is that of the only thing inside.
_CONTRIBUTION = re.compile(r"\.(?:text|r?data|bss)(?:\.(?:startup|unlikely|exit|hot))?[.$](.+)", re.DOTALL)
_IDENT_STRINGS = "zzz"


@dataclass(frozen=True, slots=True)
class _Row:
    index: int
    name: str
    value: int
    section: int
    type: int
    storage: int
    auxiliary: bytes


def coff_symbols(image: Image) -> tuple[Symbol, ...]:
    """Functions and data of the COFF symbol table, () when the image has none.

    Static functions that have no symbol but a contribution of their own (``.text$name``) are named by it.
    Left out: undefined and absolute symbols, labels, debugging sections. Raises HpbuildError
    COFF_SYMBOLS_MALFORMED for a table that leaves the file or contradicts the section table.
    """
    rows = _rows(image)
    found: dict[Symbol, None] = {}
    contributions: dict[int, tuple[int, str, str]] = {}
    file, file_end = "", 0
    for row in rows:
        if row.storage == _CLASS_FILE:
            # The value is the index of the next file row, or of the first symbol that belongs to no file.
            file, file_end = _file_name(row), row.value
            continue
        section = _section(image, row)
        if section is None or row.storage not in (_CLASS_EXTERNAL, _CLASS_STATIC):
            continue
        rva = section.rva + row.value
        where = file if row.index < file_end else ""
        if _is_section_symbol(row):
            size = _contribution_size(image, row, section)
            match = _CONTRIBUTION.fullmatch(row.name)
            if match and size > contributions.get(rva, (0, "", ""))[0]:
                contributions[rva] = (size, match[1], where)
            continue
        if not row.name.startswith(".L"):
            found[_symbol(row, section, where)] = None
    return sorted_symbols(_with_contributions(image, found, contributions))


def has_coff_symbols(image: Image) -> bool:
    """True when the file header points at a symbol table that is not empty."""
    pointer, count = _header_fields(image)
    return pointer != 0 and count != 0


def _with_contributions(
    image: Image, found: dict[Symbol, None], contributions: dict[int, tuple[int, str, str]]
) -> set[Symbol]:
    symbols = set()
    for symbol in found:
        size = contributions.get(symbol.rva, (0,))[0]
        symbols.add(replace(symbol, size=size) if size else symbol)
    named = {symbol.rva for symbol in found}
    for rva, (size, name, file) in contributions.items():
        section = image.section_at(rva)
        if rva in named or name == _IDENT_STRINGS or section is None:
            continue
        kind = SymbolKind.FUNCTION if section.executable else SymbolKind.DATA
        symbols.add(
            Symbol(
                rva=Rva(rva),
                size=size,
                name=name,
                kind=kind,
                scope=SymbolScope.LOCAL,
                file=file,
                linkage_name=name,
            )
        )
    return symbols


def _symbol(row: _Row, section: Section, file: str) -> Symbol:
    code = row.type == _TYPE_FUNCTION or section.executable
    return Symbol(
        rva=Rva(section.rva + row.value),
        size=0,
        name=row.name,
        kind=SymbolKind.FUNCTION if code else SymbolKind.DATA,
        scope=SymbolScope.GLOBAL if row.storage == _CLASS_EXTERNAL else SymbolScope.LOCAL,
        file=file,
        linkage_name=row.name,
    )


def _is_section_symbol(row: _Row) -> bool:
    return (
        row.storage == _CLASS_STATIC
        and row.type == 0
        and len(row.auxiliary) == _ROW_SIZE
        and row.name.startswith(".")
    )


def _contribution_size(image: Image, row: _Row, section: Section) -> int:
    size = int.from_bytes(row.auxiliary[:4], "little")
    if row.value + size > section.virtual_size:
        raise _damaged(image, f"{row.name} at {section.name}+{row.value:#x}: {size} bytes leave the section")
    return size


def _section(image: Image, row: _Row) -> Section | None:
    """The section a row lies in, None for undefined, absolute, debugging and discarded ones."""
    if row.section <= 0:
        return None
    if row.section > len(image.sections):
        raise _damaged(image, f"row {row.index} names section {row.section} of {len(image.sections)}")
    section = image.sections[row.section - 1]
    if section.characteristics & IMAGE_SCN_MEM_DISCARDABLE or row.value >= section.virtual_size:
        return None
    return section


def _file_name(row: _Row) -> str:
    name = base_name(row.auxiliary.split(b"\0", 1)[0])
    # GNU as and ld write "fake" where an object had no file record.
    return "" if name == "fake" else name


def _header_fields(image: Image) -> tuple[int, int]:
    header = int.from_bytes(image.data[0x3C:0x40], "little") + 4
    return (
        int.from_bytes(image.data[header + 8 : header + 12], "little"),
        int.from_bytes(image.data[header + 12 : header + 16], "little"),
    )


def _rows(image: Image) -> list[_Row]:
    pointer, count = _header_fields(image)
    if pointer == 0 or count == 0:
        return []
    strings = pointer + count * _ROW_SIZE
    if strings + 4 > len(image.data):
        raise _damaged(image, f"{count} rows at {pointer:#x} leave the file")
    if count > MAX_ROWS:
        raise _damaged(image, f"{count} rows, at most {MAX_ROWS} are read")
    table = image.data[pointer:strings]
    size = int.from_bytes(image.data[strings : strings + 4], "little")
    if size < 4 or strings + size > len(image.data):
        raise _damaged(image, f"string table of {size} bytes at {strings:#x} leaves the file")
    names = image.data[strings : strings + size]
    rows: list[_Row] = []
    at = length = 0
    while at < count:
        row = table[at * _ROW_SIZE : (at + 1) * _ROW_SIZE]
        extra = row[17]
        if at + 1 + extra > count:
            raise _damaged(image, f"auxiliary rows of row {at} leave the table")
        name = _name(image, row, names)
        # Names that share bytes could exceed every memory.
        length += len(name)
        if length > 2 * len(image.data) + NAME_LIMIT:
            raise _damaged(image, "the names are longer than the file")
        rows.append(
            _Row(
                at,
                name,
                int.from_bytes(row[8:12], "little"),
                int.from_bytes(row[12:14], "little", signed=True),
                int.from_bytes(row[14:16], "little"),
                row[16],
                table[(at + 1) * _ROW_SIZE : (at + 1 + extra) * _ROW_SIZE],
            )
        )
        at += 1 + extra
    return rows


def _name(image: Image, row: bytes, names: bytes) -> str:
    if row[:4] != b"\0\0\0\0":
        return printable(row[:8].rstrip(b"\0"))
    start = int.from_bytes(row[4:8], "little")
    end = names.find(b"\0", start, start + NAME_LIMIT)
    if start < 4 or end < 0:
        raise _damaged(image, f"name at {start:#x} of the string table is not ended inside it")
    return printable(names[start:end])


def _damaged(image: Image, cause: str) -> HpbuildError:
    return HpbuildError(COFF_SYMBOLS_MALFORMED, image.name, cause)
