"""Source lines of code: the C13 line information of a PDB. Read only when somebody asks.

Source of the formats: Microsoft's published `cvinfo.h` (microsoft-pdb), CV_DebugSLinesHeader_t and the like,
and the LLVM project's "The PDB File Format" (string table).
"""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hpbuild.codes.pe_identity import PDB_STREAM_MALFORMED
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import printable
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.file import AUTO, Pdb, find_pdb
from hpbuild.pe.pdb.info import read_directory
from hpbuild.pe.pdb.streams import NO_STREAM

U32 = npt.NDArray[np.uint32]
NO_LINE = 0
"""Line of code that belongs to no source line: made by the compiler."""

_LINES = 0xF2
_CHECKSUMS = 0xF4
_HAVE_COLUMNS = 1
_LINE_MASK = 0xFFFFFF
_HIDDEN = (0xFEEFEE, 0xF00F00)
_HEADER = struct.Struct("<IHHI")
_BLOCK = struct.Struct("<III")
_NAMES_SIGNATURE = 0xEFFEEFFE


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Rows ascending by ``rva``: from there to the next row (or to ``end``, the RVA behind the function's
    code) the code is of ``line`` of ``files[file]``. Code that was inlined has the line of the call. Line 0:
    of no source line. ``files`` are names as the compiler recorded them, with forward slashes."""

    rva: U32
    end: U32
    line: U32
    file: U32
    files: tuple[str, ...]

    def at(self, rva: int) -> tuple[str, int] | None:
        """File and line of the instruction at ``rva``, None when the PDB has none for it."""
        index = int(np.searchsorted(self.rva, rva, side="right")) - 1
        if index < 0 or rva >= int(self.end[index]) or int(self.line[index]) == NO_LINE:
            return None
        return self.files[int(self.file[index])], int(self.line[index])


def load_lines(image: Image, path: Path | None, choice: str = AUTO) -> Lines:
    """The lines of ``image``, which was read from ``path``; no rows without a PDB or for one without lines.
    ``choice`` as in ``load_symbols``; raises the codes of ``find_pdb`` and ``read_lines``."""
    pdb, _ = find_pdb(image, path, choice)
    return read_lines(pdb) if pdb is not None else _lines([], [])


def read_lines(pdb: Pdb) -> Lines:
    """The lines of all object files. Raises HpbuildError PDB_STREAM_MALFORMED."""
    names = _StringTable(pdb.msf.stream(read_directory(pdb.msf).streams.get(b"/names", NO_STREAM)))
    files: dict[bytes, int] = {}
    parts: list[_Part] = []
    for module in pdb.dbi.modules:
        if module.stream == NO_STREAM or not module.line_bytes:
            continue
        start = module.symbol_bytes + module.old_line_bytes
        data = pdb.msf.stream(module.stream)[start : start + module.line_bytes]
        place = f"{pdb.msf.name}: lines of {module.name}"
        if len(data) < module.line_bytes:
            raise HpbuildError(PDB_STREAM_MALFORMED, place, f"{module.line_bytes} bytes leave the stream")
        try:
            parts += _module(pdb, data, names, files)
        except (struct.error, ValueError) as error:
            raise HpbuildError(PDB_STREAM_MALFORMED, place, str(error)) from None
    return _lines(parts, [printable(name.replace(b"\\", b"/")) for name in files])


@dataclass(frozen=True, slots=True)
class _Part:
    """Lines of one function in one file: RVAs of the rows' starts and of the function's end."""

    rvas: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    end: int
    file: int


def _lines(parts: list[_Part], files: list[str]) -> Lines:
    if not parts:
        none = np.zeros(0, dtype=np.uint32)
        return Lines(rva=none, end=none, line=none, file=none, files=())
    counts = [len(part.rvas) for part in parts]
    rva = np.concatenate([part.rvas for part in parts])
    order = np.argsort(rva, kind="stable")
    line = np.concatenate([part.lines for part in parts])
    line[np.isin(line, _HIDDEN)] = NO_LINE
    columns = (
        rva,
        np.repeat([part.end for part in parts], counts),
        line,
        np.repeat([part.file for part in parts], counts),
    )
    rva, end, line, file = (column[order].astype(np.uint32) for column in columns)
    return Lines(rva=rva, end=end, line=line, file=file, files=tuple(files))


def _module(pdb: Pdb, data: bytes, names: "_StringTable", files: dict[bytes, int]) -> list[_Part]:
    """The lines of one object file; new file names are added to ``files``."""
    tables = _subsections(data)
    checksums = next((part for kind, part in tables if kind == _CHECKSUMS), b"")
    parts: list[_Part] = []
    for kind, table in tables:
        if kind != _LINES:
            continue
        offset, segment, flags, size = _HEADER.unpack_from(table)
        if not 0 < segment <= len(pdb.dbi.section_rvas):
            continue
        if offset + size > int(pdb.dbi.section_sizes[segment - 1]):
            raise ValueError(f"{size} bytes of code at {segment}:{offset:#x} leave the section")
        start = int(pdb.dbi.section_rvas[segment - 1]) + offset
        for number, rows in _blocks(table, bool(flags & _HAVE_COLUMNS)):
            if int(rows[:, 0].max()) > size:
                raise ValueError(f"a line {int(rows[:, 0].max())} bytes into {size} bytes of code")
            (name,) = struct.unpack_from("<I", checksums, number)
            file = files.setdefault(names.at(name), len(files))
            parts.append(_Part(start + rows[:, 0], rows[:, 1] & _LINE_MASK, start + size, file))
    return parts


def _subsections(data: bytes) -> list[tuple[int, bytes]]:
    """(kind, content) of the parts of a module's C13 information."""
    found = []
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if size > len(data) - at - 8:
            raise ValueError(f"a part of {size} bytes in {len(data) - at - 8}")
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + (size + 3 & ~3)
    return found


def _blocks(table: bytes, columns: bool) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """(offset of the file's checksum, rows (offset, line and flags)) of each block behind the header."""
    found = []
    at = _HEADER.size
    while at < len(table):
        number, count, size = _BLOCK.unpack_from(table, at)
        least = _BLOCK.size + count * (12 if columns else 8)
        if size < least or size > len(table) - at:
            raise ValueError(f"{count} lines in a block of {size} bytes")
        if count:
            rows = np.frombuffer(table, dtype="<u4", count=2 * count, offset=at + _BLOCK.size)
            found.append((number, rows.reshape(-1, 2).astype(np.int64)))
        at += size
    return found


@dataclass(frozen=True, slots=True)
class _StringTable:
    """The strings that all object files share; an offset outside is the empty name."""

    data: bytes

    def at(self, offset: int) -> bytes:
        if len(self.data) < 12 or int.from_bytes(self.data[:4], "little") != _NAMES_SIGNATURE:
            return b""
        start = 12 + offset
        end = self.data.find(b"\0", start, start + 4096)
        return self.data[start:end] if end >= 0 else b""
