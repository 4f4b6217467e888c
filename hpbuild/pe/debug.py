"""The debug directory. Source: PE specification, section "The .debug Section"; CodeView RSDS records as
in the LLVM document "The PDB File Format"."""

from hpbuild.codes import pe as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import DEBUG, NAME_LIMIT, mapped_bytes, merged_intervals, printable, unpack
from hpbuild.pe.image import Image
from hpbuild.values import Interval

TYPE_CODEVIEW = 2
TYPE_POGO = 13
TYPE_REPRO = 16
TYPE_EX_DLLCHARACTERISTICS = 20
EX_HOTPATCH_COMPATIBLE = 0x80
MAX_ENTRIES = 256
_ENTRY_SIZE = 28


@dataclass(frozen=True, slots=True)
class CodeView:
    """PDB identity. ``guid``: 32 lower-case hex digits in the usual printed order; ``path`` as linked."""

    guid: str
    age: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugInfo:
    """``extents``: RVAs of the directory and its mapped records, sorted, disjoint; ``types``: the type of
    each entry in order; ``ex_dll_characteristics``: bits of the type 20 entry (0x80: may be hotpatched),
    0 without one."""

    codeview: CodeView | None
    extents: tuple[Interval, ...]
    types: tuple[int, ...]
    ex_dll_characteristics: int


def debug_info(image: Image) -> DebugInfo:
    """The debug directory; all fields empty when there is none. Raises HpbuildError with HP1321."""
    directory = image.directories[DEBUG]
    count, rest = divmod(len(directory), _ENTRY_SIZE)
    if rest or count > MAX_ENTRIES:
        raise HpbuildError(codes.DEBUG_MALFORMED, image.name, f"directory of {len(directory)} bytes")
    codeview = None
    extents, types = [directory], []
    characteristics = 0
    for index in range(count):
        _, _, _, _, kind, size, rva, _ = unpack(
            image, "IIHHIIII", directory.start + index * _ENTRY_SIZE, codes.DEBUG_MALFORMED, "debug entry"
        )
        types.append(kind)
        if not rva or not size:
            continue
        if rva + size > image.size_of_image:
            raise HpbuildError(
                codes.DEBUG_MALFORMED, image.name, f"entry {index}: {size:#x} bytes at {rva:#x}"
            )
        extents.append(Interval(rva, rva + size))
        if kind == TYPE_CODEVIEW and codeview is None:
            codeview = _codeview(image, rva, size)
        elif kind == TYPE_EX_DLLCHARACTERISTICS and size >= 4:
            characteristics = image.u32(rva)
    return DebugInfo(
        codeview=codeview,
        extents=merged_intervals(extents),
        types=tuple(types),
        ex_dll_characteristics=characteristics,
    )


def _codeview(image: Image, rva: int, size: int) -> CodeView | None:
    """An RSDS record: signature, GUID, age, path. Older CodeView signatures have no GUID: None."""
    record = mapped_bytes(image, rva, min(size, 24 + NAME_LIMIT), codes.DEBUG_MALFORMED, "CodeView record")
    if record[:4] != b"RSDS":
        return None
    path, mark, _ = record[24:].partition(b"\0")
    if not mark:
        raise HpbuildError(
            codes.DEBUG_MALFORMED, image.name, f"CodeView record at RVA {rva:#x}, {size} bytes"
        )
    guid = record[4:8][::-1] + record[8:10][::-1] + record[10:12][::-1] + record[12:20]
    return CodeView(guid.hex(), int.from_bytes(record[20:24], "little"), printable(path))
