"""The patched copy of a baseline: one file from another, all in memory.

What stays: every byte of the baseline's sections but the redirected entries, and every header field but the
section count, the sizes, file offsets, the checksum and four data directories (exceptions, base relocations,
load configuration, certificates). What comes: sections above the baseline's image (``sections``, ``tables``)
and the undo record. What goes: the certificate table.

The copy is an ordinary image. Its load configuration does not lead to the native hotpatch table in ``.hotp``:
with it Windows would take the file for a hotpatch of its own kind.
"""

from collections.abc import Sequence

from hpbuild.apply.offline import headers, undo
from hpbuild.apply.offline.headers import get_u32, put_u32
from hpbuild.apply.offline.jumps import Jump, jumps
from hpbuild.apply.offline.moves import Moves, moves_for
from hpbuild.apply.offline.remarks import warnings
from hpbuild.apply.offline.sections import UNDO, NewSection, new_sections
from hpbuild.apply.offline.tables import Tables, merged_tables
from hpbuild.codes import apply_offline as codes
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import Finding, HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.patchimage.container import checksum
from hpbuild.patchimage.format import round_up
from hpbuild.patchimage.read import PatchImage
from hpbuild.pe.access import CERTIFICATE
from hpbuild.pe.files import MAX_FILE
from hpbuild.pe.image import Image
from hpbuild.pe.preflight import MAX_IMAGE
from hpbuild.values import Interval


@dataclass(frozen=True, slots=True)
class AddedSection:
    """A section that was added: ``size`` bytes in memory from RVA ``rva`` on, ``file_size`` in the file."""

    name: str
    rva: int
    size: int
    file_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedCopy:
    """``data`` is the file. ``sections`` are the new ones; ``redirections`` counts entries, the next
    three count rows that were added to the loader's tables: of the exception directory, of the table of call
    targets, of the base relocations; ``certificate`` are the bytes of the certificate table that was removed;
    ``findings`` warnings."""

    data: bytes
    sections: tuple[AddedSection, ...]
    redirections: int
    unwind_rows: int
    call_targets: int
    relocations: int
    certificate: int
    findings: tuple[Finding, ...]


def patched_copy(module: Module, baseline: Image, patch: PatchImage) -> PatchedCopy:
    """``baseline`` with the package's ``module`` written into it, whose patch image is ``patch``.

    The verifier must have found that the file is the module's baseline. Raises HpbuildError HP7205 to HP7209,
    HP7216, HP7217, and HP1xxx for a table of the baseline that cannot be read.
    """
    written = jumps(module, baseline)
    tables = merged_tables(baseline, patch, patch.range.end)
    sections = new_sections(baseline, patch, tables)
    moves = moves_for(baseline, len(sections))
    record_size = undo.size_of(_parts(baseline, moves, written))
    raw = _raw_extents(baseline, moves, sections, record_size)
    moves = replace(moves, overlay=max(offset + size for offset, size in raw))
    record = undo.encode(baseline.data, module.image.sha256, _parts(baseline, moves, written))
    sections = (*sections[:-1], replace(sections[-1], size=record_size, content=record))
    data = _assemble(baseline, moves, sections, raw, tables, written)
    return PatchedCopy(
        data=data,
        sections=tuple(
            AddedSection(section.name, section.rva, section.size, size)
            for section, (_, size) in zip(sections, raw, strict=True)
        ),
        redirections=len(module.redirections),
        unwind_rows=tables.unwind_rows,
        call_targets=tables.call_targets,
        relocations=tables.relocations,
        certificate=len(moves.certificate),
        findings=warnings(baseline, patch, moves),
    )


def _raw_extents(
    baseline: Image, moves: Moves, sections: Sequence[NewSection], record_size: int
) -> list[tuple[int, int]]:
    """(file offset, bytes in the file) of the new sections, (0, 0) for one without bytes. HP7208 when file or
    image would be larger than what is read back."""
    extents = []
    cursor = round_up(moves.body.end + moves.grown, baseline.file_alignment)
    for section in sections:
        content = record_size if section.name == UNDO else len(section.content)
        size = round_up(content, baseline.file_alignment)
        extents.append((cursor if size else 0, size))
        cursor += size
    if cursor + len(baseline.data) - moves.body.end > MAX_FILE:
        raise HpbuildError(codes.IMAGE_TOO_LARGE, baseline.name, f"it would have over {MAX_FILE} bytes")
    end = round_up(sections[-1].rva + record_size, baseline.section_alignment)
    if end > MAX_IMAGE:
        cause = f"it would end {end:#x} bytes above the image base"
        raise HpbuildError(codes.IMAGE_TOO_LARGE, baseline.name, cause)
    return extents


def _parts(baseline: Image, moves: Moves, written: Sequence[Jump]) -> list[undo.Part]:
    """The original file in terms of the patched one."""
    data, body, certificate = baseline.data, moves.body, moves.certificate
    parts = [undo.Part(None, data[: body.start])]
    cursor = body.start
    for offset, new in written:
        parts.append(_kept(moves, cursor, offset))
        parts.append(undo.Part(None, data[offset : offset + len(new)]))
        cursor = offset + len(new)
    parts += [
        _kept(moves, cursor, body.end),
        _kept(moves, body.end, certificate.start),
        undo.Part(None, data[certificate.start : certificate.end]),
        _kept(moves, certificate.end, len(data)),
    ]
    return [part for part in parts if part.size]


def _kept(moves: Moves, start: int, end: int) -> undo.Part:
    new = moves.offset(start) if start < end else 0
    return undo.Part(Interval(new, new + end - start))


def _assemble(
    baseline: Image,
    moves: Moves,
    sections: Sequence[NewSection],
    raw: Sequence[tuple[int, int]],
    tables: Tables,
    written: Sequence[Jump],
) -> bytes:
    """The file: headers, the old sections with the jumps, the new ones, what followed the old ones."""
    at = headers.places(baseline)
    body = bytearray(baseline.data[moves.body.start : moves.body.end])
    for offset, new in written:
        body[offset - moves.body.start : offset - moves.body.start + len(new)] = new
    data = _headers(baseline, moves, sections, raw)
    count = get_u32(data, at.directory_count)
    for index, extent in tables.directories.items():
        if index >= count:
            cause = f"directory {index} is needed, the headers have {count}"
            raise HpbuildError(codes.NO_HEADER_ROOM, baseline.name, cause)
        put_u32(data, at.directory(index), extent.start)
        put_u32(data, at.directory(index) + 4, len(extent))
    data += body
    for section, (offset, size) in zip(sections, raw, strict=True):
        if size:
            data += bytes(offset - len(data)) + section.content.ljust(size, b"\0")
    data += baseline.data[moves.body.end : moves.certificate.start] + baseline.data[moves.certificate.end :]
    put_u32(data, at.optional + headers.CHECKSUM, checksum(bytes(data)))
    return bytes(data)


def _headers(
    baseline: Image,
    moves: Moves,
    sections: Sequence[NewSection],
    raw: Sequence[tuple[int, int]],
) -> bytearray:
    """The new headers, the checksum 0 and the directories of the merged tables still the old ones."""
    at = headers.places(baseline)
    data = bytearray(baseline.data[: moves.body.start]) + bytes(moves.grown)
    old = len(baseline.sections)
    last = baseline.sections[-1]
    if round_up(last.rva + last.virtual_size, baseline.section_alignment) < sections[0].rva:
        put_u32(data, at.row(old - 1) + headers.VIRTUAL_SIZE, sections[0].rva - last.rva)
    _move(data, at.symbol_table, moves)
    for index in range(old):
        for pointer in headers.RAW_POINTERS:
            _move(data, at.row(index) + pointer, moves)
    for index, (section, extent) in enumerate(zip(sections, raw, strict=True), start=old):
        flags = section.characteristics
        row = headers.section_row(section.name, section.size, section.rva, extent, flags)
        data[at.row(index) : at.row(index) + headers.ROW_SIZE] = row
        for kind, field in headers.SIZES.items():
            if flags & kind:
                size = section.size if kind == headers.UNINITIALIZED else extent[1]
                headers.add_u32(data, at.optional + field, size)
    headers.put_u16(data, at.section_count, old + len(sections))
    end = round_up(sections[-1].end, baseline.section_alignment)
    put_u32(data, at.optional + headers.SIZE_OF_IMAGE, end)
    put_u32(data, at.optional + headers.SIZE_OF_HEADERS, moves.body.start + moves.grown)
    put_u32(data, at.optional + headers.CHECKSUM, 0)
    if len(moves.certificate):
        data[at.directory(CERTIFICATE) : at.directory(CERTIFICATE) + 8] = bytes(8)
    return data


def _move(data: bytearray, field: int, moves: Moves) -> None:
    """Adjust a file offset; 0 stands for nothing."""
    if old := get_u32(data, field):
        put_u32(data, field, moves.offset(old) % 2**32)
