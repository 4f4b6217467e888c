"""The places of an image that the loader or the program's own start-up writes, apart from base relocations.

Sources: PE specification, sections "Import Address Table", "The .tls Section", "The Load Configuration
Structure"; ``IMAGE_LOAD_CONFIG_DIRECTORY64`` in ``winnt.h`` for the guard pointers; for runtime
pseudo-relocations the list that GNU ld writes for auto-imported data, version 2: a mark of 12 bytes (0, 0,
1), then rows of import slot, target and width in bits.
"""

import struct

from hpbuild.errors import HpbuildError
from hpbuild.pe.access import LOAD_CONFIG, backed, merged_intervals
from hpbuild.pe.image import Image
from hpbuild.pe.imports import slot_tables
from hpbuild.pe.load_config import MAXIMUM_SIZE, load_config
from hpbuild.pe.tls import tls
from hpbuild.values import Interval

_POINTER_FIELDS = (0x70, 0x78, 0xD8, 0xE8, 0x118, 0x120, 0x128, 0x130, 0x138)
"""Fields of the load configuration that hold the address of an 8-byte pointer which the loader may set:
GuardCFCheck, GuardCFDispatch, GuardRFFailureRoutine, GuardRFVerifyStackPointer, the three of XFG,
CastGuardOsDeterminedFailureMode, GuardMemcpy."""
_LIST_MARK = bytes.fromhex("000000000000000001000000")
_ROW = struct.Struct("<III")
_WIDTHS = {8: 1, 16: 2, 32: 4, 64: 8}
MAX_PSEUDO_RELOCATIONS = 1 << 16
_MARKS_TRIED = 1 << 12
"""In one section; a linker writes one list for an image."""


def loader_written(image: Image) -> tuple[Interval, ...]:
    """RVAs of those places, sorted and disjoint, writable sections included: import slots (delay-loaded ones
    too), guard pointers, security cookie, TLS index, targets of pseudo-relocations. A table that cannot be
    read adds nothing: what it would explain then shows as a difference."""
    places = [*_slots(image), *_guard_pointers(image), *_thread_index(image)]
    return merged_intervals([*places, *_pseudo_relocations(image)])


def _slots(image: Image) -> list[Interval]:
    try:
        return [table.slots for table in slot_tables(image)]
    except HpbuildError:
        return []


def _guard_pointers(image: Image) -> list[Interval]:
    directory = image.directories[LOAD_CONFIG]
    try:
        config = load_config(image)
    except HpbuildError:
        return []
    if config is None:
        return []
    found = [] if config.security_cookie is None else [int(config.security_cookie)]
    for field in _POINTER_FIELDS:
        if field + 8 <= min(config.size, MAXIMUM_SIZE):
            address = image.u64(directory.start + field) - image.image_base
            found += [address] if 0 < address <= image.size_of_image - 8 else []
    return [Interval(at, at + 8) for at in found]


def _thread_index(image: Image) -> list[Interval]:
    try:
        found = tls(image)
    except HpbuildError:
        return []
    return [] if found is None else [Interval(found.index, found.index + 4)]


def _pseudo_relocations(image: Image) -> list[Interval]:
    """Targets of every list whose first row is one: its slot is an import slot, its width a width."""
    slots = {at for table in _slots(image) for at in range(table.start, table.end, 8)}
    if not slots:
        return []
    found: list[Interval] = []
    for section in image.sections:
        if section.executable:
            continue
        extent = backed(section)
        content = image.memory[extent.start : extent.end].tobytes()
        at = content.find(_LIST_MARK)
        for _ in range(_MARKS_TRIED):
            if at < 0 or len(found) >= MAX_PSEUDO_RELOCATIONS:
                break
            found += _targets(image, content, at + len(_LIST_MARK), slots)
            at = content.find(_LIST_MARK, at + 4)
    return found


def _targets(image: Image, content: bytes, at: int, slots: set[int]) -> list[Interval]:
    found: list[Interval] = []
    while at + _ROW.size <= len(content) and len(found) < MAX_PSEUDO_RELOCATIONS:
        slot, target, flags = _ROW.unpack_from(content, at)
        width = _WIDTHS.get(flags & 0xFF)
        section = image.section_at(target)
        if slot not in slots or width is None or section is None or target + width > section.range.end:
            break
        found.append(Interval(target, target + width))
        at += _ROW.size
    return found
