"""The loader's tables of a patched image: those of the baseline with the patch image's rows added.

Exception directory, call targets of Control Flow Guard with the load configuration that leads to them, and
base relocations. Sources: PE specification, sections "The .pdata Section", "The .reloc Section", "The Load
Configuration Structure"; Microsoft Learn, "Control Flow Guard for platform security" and "PE metadata" for
the rows of guard tables. The baseline's own tables stay where they are, unused.
"""

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from hpbuild.apply.offline.headers import RELOCS_STRIPPED
from hpbuild.dataclass import dataclass, field
from hpbuild.patchimage.format import round_up
from hpbuild.patchimage.read import PatchImage
from hpbuild.patchimage.relocations import relocation_table
from hpbuild.pe import hotpatch_format as native
from hpbuild.pe.access import BASERELOC, EXCEPTION, LOAD_CONFIG
from hpbuild.pe.image import Image
from hpbuild.pe.load_config import LoadConfig, load_config
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.unwind import runtime_functions
from hpbuild.values import Interval, Rva

_ALIGNMENT: Final = 16
_RUNTIME_FUNCTION: Final = struct.Struct("<III")
_GUARD_FUNCTION_TABLE, _GUARD_FUNCTION_COUNT = 0x80, 0x88
"""Offsets in ``IMAGE_LOAD_CONFIG_DIRECTORY64``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """``content`` lies at RVA ``start``; ``directories`` are the data directories that lead into it.
    The counts are those of added rows: functions with unwind information, call targets, base relocations."""

    start: int
    content: bytes
    directories: dict[int, Interval]
    unwind_rows: int
    call_targets: int
    relocations: int


@dataclass(slots=True)
class _Writer:
    """Tables one behind the other, each aligned."""

    start: int
    content: bytearray = field(default_factory=bytearray)

    def next(self) -> int:
        return self.start + round_up(len(self.content), _ALIGNMENT)

    def append(self, table: bytes) -> Interval:
        self.content += bytes(self.next() - self.start - len(self.content))
        at = self.start + len(self.content)
        self.content += table
        return Interval(at, at + len(table))


def merged_tables(baseline: Image, patch: PatchImage, start: int) -> Tables:
    """The tables for ``baseline`` with ``patch``, at RVA ``start``. Raises HpbuildError as the readers of the
    baseline's tables do (HP11xx, HP13xx)."""
    writer = _Writer(start)
    directories: dict[int, Interval] = {}
    rows = [_RUNTIME_FUNCTION.pack(row.begin, row.end, row.unwind) for row in patch.runtime_functions]
    if rows:
        directories[EXCEPTION] = writer.append(_baseline_rows(baseline) + b"".join(rows))
    sites = list(patch.address_sites)
    config = load_config(baseline)
    targets = call_targets(patch)
    guarded = config is not None and bool(len(config.guard_functions)) and bool(targets)
    if config is not None and guarded:
        directories[LOAD_CONFIG], further = _append_load_config(writer, baseline, config, targets)
        sites += further
    movable = not baseline.characteristics & RELOCS_STRIPPED or bool(len(baseline.directories[BASERELOC]))
    if sites and movable:
        directories[BASERELOC] = writer.append(_baseline_relocations(baseline) + relocation_table(sites))
    return Tables(
        start=start,
        content=bytes(writer.content),
        directories=directories,
        unwind_rows=len(rows),
        call_targets=len(targets) if guarded else 0,
        relocations=len(sites) if movable else 0,
    )


def call_targets(patch: PatchImage) -> list[int]:
    """Entries of carried functions that may be called through a pointer, ascending: the CALL_TARGET records
    of the native table."""
    (base,) = patch.hotpatch.bases
    chunks = (chunk for chunk in base.chunks if chunk.kind == native.KIND_CALL_TARGET)
    return sorted({int(record.written) for chunk in chunks for record in chunk.records})


def _baseline_rows(baseline: Image) -> bytes:
    """The exception directory without its trailing zero rows. All of it lies below the patch image."""
    rows = runtime_functions(baseline)
    if not len(rows):
        return b""
    return np.stack((rows.begin, rows.end, rows.unwind), axis=1).astype("<u4").tobytes()


def _baseline_relocations(baseline: Image) -> bytes:
    """The table as it is, after it was found sound. Its blocks stay whole: some loaders know the padding."""
    relocation_sites(baseline)
    extent = baseline.directories[BASERELOC]
    return baseline.read(extent.start, len(extent)) if len(extent) else b""


def _append_load_config(
    writer: _Writer, baseline: Image, config: LoadConfig, targets: Sequence[int]
) -> tuple[Interval, list[Rva]]:
    """The longer table of call targets, and a copy of the load configuration that leads to it. Returns where
    the copy lies and the addresses in it that move with the image."""
    table = writer.append(_guard_rows(baseline, config, targets))
    old = baseline.directories[LOAD_CONFIG]
    size = max(config.size, config.directory_size)
    copy = bytearray(baseline.read(old.start, size))
    struct.pack_into("<Q", copy, _GUARD_FUNCTION_TABLE, baseline.image_base + table.start)
    struct.pack_into("<Q", copy, _GUARD_FUNCTION_COUNT, len(config.guard_functions) + len(targets))
    place = writer.append(bytes(copy))
    sites = relocation_sites(baseline)
    inside = sites[(sites >= old.start) & (sites + 8 <= old.start + config.size)].tolist()
    moved = [Rva(site - old.start + place.start) for site in inside]
    return Interval(place.start, place.start + config.directory_size), moved


def _guard_rows(baseline: Image, config: LoadConfig, targets: Sequence[int]) -> bytes:
    """Rows of an RVA and ``GuardFlags >> 28`` further bytes, ascending; the further bytes of a new row are 0,
    an ordinary call target."""
    stride = 4 + (config.guard_flags >> 28)
    extent = config.guard_functions_table
    raw = baseline.read(extent.start, len(extent))
    rows = [raw[begin : begin + stride] for begin in range(0, len(raw), stride)]
    rows += [target.to_bytes(4, "little") + bytes(stride - 4) for target in targets]
    rows.sort(key=lambda row: row[3::-1])
    return b"".join(rows)
