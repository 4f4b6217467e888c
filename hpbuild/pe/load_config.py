"""The load configuration: guard tables, security cookie, hotpatch table address.

Source: ``IMAGE_LOAD_CONFIG_DIRECTORY64``, ``IMAGE_DYNAMIC_RELOCATION_TABLE`` and
``IMAGE_VOLATILE_METADATA`` in ``winnt.h``; PE specification, section "The Load Configuration Structure";
Microsoft Learn, "Control Flow Guard for platform security" and "PE metadata" for the guard tables.
"""

import numpy as np

from hpbuild.codes import pe as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import LOAD_CONFIG, Words, backed, to_rva, unpack
from hpbuild.pe.image import Image
from hpbuild.values import Interval, Rva

MINIMUM_SIZE = 0x60
MAXIMUM_SIZE = 0x1000
MAX_GUARD_ROWS = 1 << 20
"""Rows of one guard table; Qt6Gui.dll, the richest image known here, has 12,491."""
_SECURITY_COOKIE = 0x58
_GUARD_CHECK, _GUARD_DISPATCH = 0x70, 0x78
_GUARD_FUNCTIONS, _GUARD_FLAGS = 0x80, 0x90
_GUARD_IAT, _GUARD_LONGJUMP = 0xA0, 0xB0
_DYNAMIC_OFFSET, _DYNAMIC_SECTION = 0xE0, 0xE4
_HOT_PATCH_TABLE = 0xF0
_VOLATILE_METADATA, _GUARD_EH_CONT = 0x100, 0x108


@dataclass(frozen=True, slots=True)
class GuardTable:
    """``targets``: the RVAs of a guard table, in table order; ``extent``: where the table lies."""

    targets: Words
    extent: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadConfig:
    """The fields that matter to a patch; RVAs, None or empty when absent or beyond ``size``.

    ``size`` is the structure's own Size field in bytes, ``directory_size`` what the data directory says.
    ``guard_*`` are RVAs as uint32 arrays with their tables in ``*_table`` (``Interval(0, 0)`` if absent).
    ``guard_check`` and ``guard_dispatch`` are the pointers' own RVAs. ``dynamic_relocations`` and
    ``volatile_metadata`` are the extents of those structures and the tables they own.
    """

    size: int
    directory_size: int
    security_cookie: Rva | None
    guard_flags: int
    guard_check: Rva | None
    guard_dispatch: Rva | None
    guard_functions: Words
    guard_functions_table: Interval
    guard_iat: Words
    guard_iat_table: Interval
    guard_longjump: Words
    guard_longjump_table: Interval
    guard_eh_cont: Words
    guard_eh_cont_table: Interval
    hot_patch_table: Rva | None
    dynamic_relocations: Interval | None
    volatile_metadata: tuple[Interval, ...]


def load_config(image: Image) -> LoadConfig | None:
    """The load configuration, or None when the image has none.

    Raises HpbuildError: HP1301 impossible size, HP1302 address outside the image, HP1303 guard table.
    """
    directory = image.directories[LOAD_CONFIG]
    if not len(directory):
        return None
    size = _field(image, directory.start, 0, 1 << 16, "I")
    section = image.section_at(directory.start)
    if (
        section is None
        or not MINIMUM_SIZE <= size <= MAXIMUM_SIZE
        or not backed(section).covers(Interval(directory.start, directory.start + size))
    ):
        raise HpbuildError(codes.LOAD_CONFIG_SIZE, image.name, f"Size {size:#x}, directory {directory}")
    at = directory.start
    flags = _field(image, at, _GUARD_FLAGS, size, "I")
    functions, iat, longjump, eh_cont = (
        _guard_table(image, at, size, field, flags)
        for field in (_GUARD_FUNCTIONS, _GUARD_IAT, _GUARD_LONGJUMP, _GUARD_EH_CONT)
    )
    hot_patch = _field(image, at, _HOT_PATCH_TABLE, size, "I")
    if hot_patch >= image.size_of_image:
        raise HpbuildError(codes.LOAD_CONFIG_ADDRESS, image.name, f"HotPatchTableOffset {hot_patch:#x}")
    return LoadConfig(
        size=size,
        directory_size=len(directory),
        security_cookie=_pointer(image, at, _SECURITY_COOKIE, size),
        guard_flags=flags,
        guard_check=_pointer(image, at, _GUARD_CHECK, size),
        guard_dispatch=_pointer(image, at, _GUARD_DISPATCH, size),
        guard_functions=functions.targets,
        guard_functions_table=functions.extent,
        guard_iat=iat.targets,
        guard_iat_table=iat.extent,
        guard_longjump=longjump.targets,
        guard_longjump_table=longjump.extent,
        guard_eh_cont=eh_cont.targets,
        guard_eh_cont_table=eh_cont.extent,
        hot_patch_table=Rva(hot_patch) if hot_patch else None,
        dynamic_relocations=_dynamic_relocations(image, at, size),
        volatile_metadata=_volatile_metadata(image, _pointer(image, at, _VOLATILE_METADATA, size)),
    )


def _field(image: Image, at: int, offset: int, size: int, layout: str) -> int:
    """The field at ``offset``, 0 when the structure of ``size`` bytes does not reach so far."""
    width = {"H": 2, "I": 4, "Q": 8}[layout]
    if offset + width > size:
        return 0
    (value,) = unpack(image, layout, at + offset, codes.LOAD_CONFIG_SIZE, "load configuration")
    return int(value)


def _pointer(image: Image, at: int, offset: int, size: int) -> Rva | None:
    address = _field(image, at, offset, size, "Q")
    if not address:
        return None
    return to_rva(image, address, codes.LOAD_CONFIG_ADDRESS, f"load configuration field {offset:#x}:")


def _guard_table(image: Image, at: int, size: int, offset: int, flags: int) -> GuardTable:
    """A pointer at ``offset`` and a count after it; rows of an RVA and ``flags >> 28`` further bytes."""
    count = _field(image, at, offset + 8, size, "Q")
    start = _pointer(image, at, offset, size)
    if not count or start is None:
        if count:
            raise HpbuildError(codes.GUARD_TABLE, image.name, f"{count} rows at no address")
        return GuardTable(np.zeros(0, dtype=np.uint32), Interval(0, 0))
    stride = 4 + (flags >> 28)
    section = image.section_at(start)
    if section is None or count > min(MAX_GUARD_ROWS, (backed(section).end - start) // stride):
        raise HpbuildError(codes.GUARD_TABLE, image.name, f"{count} rows of {stride} bytes at RVA {start:#x}")
    extent = Interval(start, start + count * stride)
    rows = image.memory[extent.start : extent.end].reshape(count, stride)[:, :4]
    targets = np.ascontiguousarray(rows).view("<u4").reshape(count).astype(np.uint32, copy=False)
    if (targets >= image.size_of_image).any():
        raise HpbuildError(codes.GUARD_TABLE, image.name, f"a target of the table at {start:#x} is outside")
    return GuardTable(targets, extent)


def _dynamic_relocations(image: Image, at: int, size: int) -> Interval | None:
    """IMAGE_DYNAMIC_RELOCATION_TABLE: Version, Size, then ``Size`` bytes; at an offset into a section."""
    number = _field(image, at, _DYNAMIC_SECTION, size, "H")
    offset = _field(image, at, _DYNAMIC_OFFSET, size, "I")
    if not number:
        return None
    if number > len(image.sections):
        raise HpbuildError(codes.LOAD_CONFIG_ADDRESS, image.name, f"dynamic relocations in section {number}")
    section = image.sections[number - 1]
    start = section.rva + offset
    _, length = unpack(image, "II", start, codes.LOAD_CONFIG_ADDRESS, "dynamic relocation table")
    extent = Interval(start, start + 8 + length)
    if not backed(section).covers(extent):
        raise HpbuildError(codes.LOAD_CONFIG_ADDRESS, image.name, f"dynamic relocation table {extent}")
    return extent


def _volatile_metadata(image: Image, start: Rva | None) -> tuple[Interval, ...]:
    """IMAGE_VOLATILE_METADATA (6 DWORDs) and its two tables, each given by RVA and size in bytes."""
    if start is None:
        return ()
    length, _, access, access_size, ranges, range_size = unpack(
        image, "IIIIII", start, codes.LOAD_CONFIG_ADDRESS, "volatile metadata"
    )
    found = [Interval(start, start + max(length, 24))]
    found += [Interval(at, at + count) for at, count in ((access, access_size), (ranges, range_size)) if at]
    for extent in found:
        section = image.section_at(extent.start)
        if section is None or not backed(section).covers(extent):
            raise HpbuildError(codes.LOAD_CONFIG_ADDRESS, image.name, f"volatile metadata {extent}")
    return tuple(found)
