"""Where loader metadata lies."""

import itertools
import struct

import numpy as np

from hpbuild.pe.metadata import CLASSES, loader_structures, metadata_extents, metadata_runs, unwind_extents
from hpbuild.pe.unwind import runtime_functions, unwind_info
from hpbuild.values import Interval


def test_real_extents_are_disjoint_sorted_and_named(codec, throwing):
    for image in (codec, throwing):
        found = metadata_extents(image)
        assert {name for name, _ in found} <= set(CLASSES)
        assert all(a.end <= b.start for (_, a), (_, b) in itertools.pairwise(found))
        assert all(0 <= i.start < i.end <= image.size_of_image for _, i in found)


def test_real_directories_are_covered(codec):
    size = dict.fromkeys(CLASSES, 0)
    for name, extent in metadata_extents(codec):
        size[name] += len(extent)
    directories = codec.directories
    assert size["headers"] == codec.size_of_headers
    assert size["exports"] == len(directories[0])
    assert size["resources"] == len(directories[2])
    assert size["exception-directory"] == len(directories[3])
    assert size["relocations"] == len(directories[5])
    assert size["import-address-table"] == len(directories[12])


def test_language_data_is_not_unwind_information(throwing):
    covered = np.zeros(throwing.size_of_image, dtype=bool)
    for extent in unwind_extents(throwing):
        covered[extent.start : extent.end] = True
    for rva in runtime_functions(throwing).unwind.tolist():
        info = unwind_info(throwing, rva)
        assert covered[rva : rva + info.size].all()
    last = max(runtime_functions(throwing).unwind.tolist())
    info = unwind_info(throwing, last)
    assert info.handler_data is None or not covered[info.handler_data]


def test_guard_tables_and_load_configuration(throwing):
    found = dict(metadata_extents(throwing))
    assert found["load-configuration"].start == throwing.directories[10].start
    assert len(found["guard-tables"]) > 0


def test_chained_records_outside_the_directory_count(pe):
    chained = bytes([1 | 4 << 3, 0, 0, 0]) + struct.pack("<III", 0x1000, 0x1010, 0x2020)
    pe.section(b".xdata", chained.ljust(0x20, b"\0") + bytes([1, 0, 0, 0]))
    pe.table(3, struct.pack("<III", 0x1000, 0x1010, 0x2000))
    assert unwind_extents(pe.image()) == (Interval(0x2000, 0x2010), Interval(0x2020, 0x2024))


def test_structures_without_unwind_information(codec, throwing):
    for image in (codec, throwing):
        rows = [(name, run.start, run.end) for name, run in metadata_extents(image)]
        kept = [row for row in rows if row[0] != "unwind-information"]
        assert len(kept) < len(rows)
        assert list(loader_structures(image)) == kept


def test_first_class_wins_where_two_overlap(pe):
    # Exception directory and resources claim the same bytes.
    pe.section(b".xdata", bytes([1, 0, 0, 0]))
    rva = pe.table(3, struct.pack("<III", 0x1000, 0x1010, 0x2000) + bytes(24))
    pe.directories[5] = (rva + 28, 8)
    image = pe.image()
    runs = metadata_runs(image)
    names = [CLASSES[k] for k in runs.kinds.tolist()]
    assert names == ["headers", "unwind-information", "exception-directory"]


def test_dwarf_sections_are_debug(pe):
    pe.section(b".debug_x", b"dwarf", flags=0x42000040)
    pe.section(b".debug_y", b"data!", flags=0xC2000040)
    assert metadata_extents(pe.image()) == (
        ("headers", Interval(0, 0x400)),
        ("debug", Interval(0x2000, 0x2005)),
    )
