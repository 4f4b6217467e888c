"""Where loader metadata lies: the named classes of the byte account that are not program code or data."""

import numpy as np
import numpy.typing as npt

from hpbuild.dataclass import dataclass
from hpbuild.pe.access import (
    BASERELOC,
    EXCEPTION,
    LOAD_CONFIG,
    RESOURCE,
    TLS,
    Places,
    distinct,
    merged_intervals,
    merged_runs,
)
from hpbuild.pe.debug import debug_info
from hpbuild.pe.exports import export_runs
from hpbuild.pe.image import IMAGE_SCN_MEM_DISCARDABLE, Image
from hpbuild.pe.imports import import_extents
from hpbuild.pe.load_config import load_config
from hpbuild.pe.tls import DIRECTORY_SIZE, tls
from hpbuild.pe.unwind import MAX_CHAIN, UNW_FLAG_CHAININFO, runtime_functions, unwind_table
from hpbuild.values import Interval

CLASSES = (
    "headers",
    "exception-directory",
    "unwind-information",
    "relocations",
    "exports",
    "import-address-table",
    "imports",
    "delay-imports",
    "resources",
    "load-configuration",
    "guard-tables",
    "tls-directory",
    "debug",
)
"""Class names in order of precedence: a byte that two classes claim belongs to the earlier one."""

_UNWIND = "unwind-information"
Extents = tuple[Interval, ...]
_DWARF_PREFIXES = (".debug_", ".zdebug_")


@dataclass(frozen=True, slots=True)
class MetadataRuns:
    """Disjoint half-open RVA ranges sorted by start; ``kinds`` index ``CLASSES``."""

    starts: npt.NDArray[np.uint32]
    ends: npt.NDArray[np.uint32]
    kinds: npt.NDArray[np.uint8]


def metadata_extents(image: Image) -> tuple[tuple[str, Interval], ...]:
    """(class name, RVAs) sorted by address, disjoint. Raises HpbuildError as the table readers do."""
    return tuple((name, Interval(start, end)) for name, start, end in _rows(metadata_runs(image)))


def loader_structures(image: Image) -> tuple[tuple[str, int, int], ...]:
    """(class name, RVA of the first byte, RVA behind the last) of the same, without unwind information: a
    row for every record would be very many."""
    classes = _classes(image)
    starts, ends = classes[_UNWIND]
    others = [classes[name] for name in CLASSES if name != _UNWIND]
    low, high = merged_runs(*(np.concatenate(columns) for columns in zip(*others, strict=True)))
    # Of unwind information only what another class claims too makes a difference: nothing, nearly always.
    place = np.searchsorted(high, starts, side="right")
    touched = np.append(low, image.size_of_image)[place] < ends
    runs = _apart({**classes, _UNWIND: (starts[touched], ends[touched])})
    kept = runs.kinds != CLASSES.index(_UNWIND)
    return _rows(MetadataRuns(runs.starts[kept], runs.ends[kept], runs.kinds[kept]))


def _rows(runs: MetadataRuns) -> tuple[tuple[str, int, int], ...]:
    rows = zip(runs.kinds.tolist(), runs.starts.tolist(), runs.ends.tolist(), strict=True)
    return tuple((CLASSES[kind], start, end) for kind, start, end in rows)


def metadata_runs(image: Image) -> MetadataRuns:
    """The same as arrays, for images with very many records."""
    return _apart(_classes(image))


def _apart(classes: dict[str, tuple[Places, Places]]) -> MetadataRuns:
    """What belongs to each of the classes."""
    # Elementary segments between all borders; each goes to the first class that covers it.
    borders = distinct(np.concatenate([column for name in CLASSES for column in classes[name]]))
    owner = np.full(len(borders), len(CLASSES), dtype=np.uint8)
    for kind in reversed(range(len(CLASSES))):
        starts, ends = classes[CLASSES[kind]]
        if len(starts):
            depth = np.zeros(len(borders), dtype=np.int8)
            depth[np.searchsorted(borders, starts)] += 1
            depth[np.searchsorted(borders, ends)] -= 1
            owner[np.cumsum(depth) > 0] = kind
    first = np.flatnonzero(np.concatenate(([True], owner[1:] != owner[:-1])))
    stop = np.append(borders[first[1:]], borders[-1])
    used = owner[first] < len(CLASSES)
    return MetadataRuns(
        borders[first][used].astype(np.uint32), stop[used].astype(np.uint32), owner[first][used]
    )


def _columns(extents: Extents) -> tuple[Places, Places]:
    """Starts and ends of intervals."""
    rows = np.array([(run.start, run.end) for run in extents], dtype=np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def unwind_extents(image: Image) -> Extents:
    """RVAs of every unwind record that the exception directory reaches, chained ones included, without
    language data; sorted, disjoint."""
    starts, ends = _unwind_runs(image)
    return tuple(Interval(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True))


def _unwind_runs(image: Image) -> tuple[Places, Places]:
    pending = distinct(runtime_functions(image).unwind)
    known = np.zeros(0, dtype=np.int64)
    ends = [known]
    starts = [known]
    for _ in range(MAX_CHAIN + 1):
        if not len(pending):
            break
        table = unwind_table(image, pending)
        starts.append(pending.astype(np.int64))
        ends.append(pending.astype(np.int64) + table.size)
        known = np.sort(np.concatenate((known, starts[-1])))
        linked = (table.flags & UNW_FLAG_CHAININFO) != 0
        pending = distinct(table.chained[linked, 2])
        place = np.minimum(np.searchsorted(known, pending), len(known) - 1)
        pending = pending[known[place] != pending]
    return merged_runs(np.concatenate(starts), np.concatenate(ends))


def _classes(image: Image) -> dict[str, tuple[Places, Places]]:
    """Each class' starts and ends, sorted and disjoint within the class."""
    found = import_extents(image)
    directories = image.directories
    return {
        "headers": _columns((Interval(0, image.size_of_headers),)),
        "exception-directory": _columns(_present(directories[EXCEPTION])),
        _UNWIND: _unwind_runs(image),
        "relocations": _columns(_present(directories[BASERELOC])),
        "exports": export_runs(image),
        "import-address-table": _columns(found.slots),
        "imports": _columns(found.tables),
        "delay-imports": _columns(found.delay),
        "resources": _columns(_present(directories[RESOURCE])),
        "tls-directory": _columns(_tls(image)),
        "debug": _columns(merged_intervals([*debug_info(image).extents, *_dwarf(image)])),
        **{name: _columns(extents) for name, extents in _load_config(image).items()},
    }


def _present(directory: Interval) -> Extents:
    return (directory,) if len(directory) else ()


def _tls(image: Image) -> Extents:
    start = image.directories[TLS].start
    return () if tls(image) is None else (Interval(start, start + DIRECTORY_SIZE),)


def _load_config(image: Image) -> dict[str, Extents]:
    config = load_config(image)
    if config is None:
        return {"load-configuration": (), "guard-tables": ()}
    start = image.directories[LOAD_CONFIG].start
    own = [Interval(start, start + config.size), *config.volatile_metadata]
    if config.dynamic_relocations is not None:
        own.append(config.dynamic_relocations)
    tables = (
        config.guard_functions_table, config.guard_iat_table, config.guard_longjump_table,
        config.guard_eh_cont_table,
    )  # fmt: skip
    return {"load-configuration": merged_intervals(own), "guard-tables": merged_intervals(tables)}


def _dwarf(image: Image) -> list[Interval]:
    """Sections with DWARF records of GNU and LLVM tools: discardable, neither code nor writable."""
    return [
        section.range
        for section in image.sections
        if section.name.startswith(_DWARF_PREFIXES)
        and section.characteristics & IMAGE_SCN_MEM_DISCARDABLE
        and not section.executable
        and not section.writable
    ]
