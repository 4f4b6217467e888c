"""The patched copy: an ordinary image that holds the baseline, the new code and what loaders need."""

import dataclasses
import struct
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import lief
import numpy as np
import pefile
import pytest

from hpbuild.apply.offline.copy import patched_copy
from hpbuild.apply.offline.revert import original_of
from hpbuild.codes import apply_offline as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import BASERELOC, CERTIFICATE, EXCEPTION, LOAD_CONFIG
from hpbuild.pe.image import Image
from hpbuild.pe.load_config import load_config
from hpbuild.pe.reader import parse_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.unwind import runtime_functions
from hpbuild.values import Interval
from hpbuild.verify.baseline import subject_of
from hpbuild.verify.module import compare
from hpbuild.verify.states import ModuleState, Tier

from .conftest import Packaged, crowded, optional_header, put, section_table, signed

LIMIT = 1 << 24


def read(data: bytes) -> Image:
    return parse_image(data, "copy")


def rows(data: bytes) -> list[tuple[int, ...]]:
    """(VirtualSize, VirtualAddress, SizeOfRawData, PointerToRawData) of every section."""
    table = section_table(data)
    count = struct.unpack_from("<H", data, optional_header(data) - 18)[0]
    return [struct.unpack_from("<4I", data, table + 40 * index + 8) for index in range(count)]


def check_loads(item: Packaged, data: bytes) -> None:
    """What Windows' loader demands of an image, and that the package is applied and can be taken out."""
    image = read(data)
    assert image.checksum == pefile.PE(data=data, fast_load=True).generate_checksum()
    first = image.sections[0].rva
    assert first >= image.size_of_headers
    ends = [
        -(-(rva + size) // image.section_alignment) * image.section_alignment
        for size, rva, _, _ in rows(data)
    ]
    begins = [rva for _, rva, _, _ in rows(data)]
    old = len(item.baseline.sections)
    assert ends[old - 1 : -1] == begins[old:]
    assert ends[-1] == image.size_of_image
    files = sorted((offset, offset + size) for _, _, size, offset in rows(data) if size)
    assert all(offset % image.file_alignment == 0 and end <= len(data) for offset, end in files[-3:])
    assert all(one[1] <= other[0] for one, other in pairwise(files))
    assert not any(section.writable and section.executable for section in image.sections[old:])
    compared = compare(
        item.module, subject_of(image), item.patch.image, lowest=Tier.AUTHENTICODE, sequence=item.sequence
    )
    assert compared.state is ModuleState.APPLIED
    assert original_of(image, item.module, LIMIT) == item.baseline.data.whole()


@pytest.mark.parametrize("stem", ["codec", "throwing"])
def test_a_built_package(built: Callable[[str], Packaged], stem: str) -> None:
    item = built(stem)
    copy = item.copy()
    check_loads(item, copy.data)
    assert copy.findings == ()
    assert copy.redirections == len(item.module.redirections)
    assert lief.PE.check_layout(lief.PE.parse(copy.data)) == (True, "")
    assert copy == item.copy()


def test_only_the_jumps_change_in_the_old_sections(built: Callable[[str], Packaged]) -> None:
    item = built("codec")
    image = read(item.copy().data)
    expected = item.baseline.memory.copy()
    for redirection in item.module.redirections:
        expected[redirection.window.start : redirection.window.end] = memoryview(redirection.new)
    start, end = item.baseline.sections[0].rva, item.baseline.size_of_image
    assert np.array_equal(image.memory[start:end], expected[start:end])


def test_the_new_code_lies_at_its_nominal_place(built: Callable[[str], Packaged]) -> None:
    item = built("throwing")
    image = read(item.copy().data)
    for section in item.patch.image.sections:
        if section.name != ".pdata":  # the merged table replaces it
            extent = slice(section.range.start, section.range.end)
            assert np.array_equal(image.memory[extent], item.patch.image.memory[extent]), section.name


@pytest.mark.parametrize("stem", ["codec", "throwing"])
def test_the_loader_tables_are_the_union(built: Callable[[str], Packaged], stem: str) -> None:
    item = built(stem)
    copy = item.copy()
    image = read(copy.data)
    old, new = runtime_functions(item.baseline), runtime_functions(image)
    added = item.patch.runtime_functions
    assert new.begin.tolist() == old.begin.tolist() + [row.begin for row in added]
    assert new.end.tolist() == old.end.tolist() + [row.end for row in added]
    assert new.unwind.tolist() == old.unwind.tolist() + [row.unwind for row in added]
    assert copy.unwind_rows == len(added) > 0
    sites = relocation_sites(image).tolist()
    before = relocation_sites(item.baseline).tolist()
    assert sites[: len(before)] == before
    assert set(item.patch.address_sites) <= set(sites[len(before) :])
    assert len(sites) - len(before) == copy.relocations
    for index in (EXCEPTION, BASERELOC):
        host = image.section_at(image.directories[index].start)
        assert host is not None
        assert not host.writable
        assert host.rva >= item.baseline.size_of_image


def test_sizes_in_the_optional_header(built: Callable[[str], Packaged]) -> None:
    item = built("throwing")
    copy = item.copy()
    at = optional_header(copy.data) + 4
    old = struct.unpack_from("<3I", item.baseline.data.whole(), at)
    new = struct.unpack_from("<3I", copy.data, at)
    sizes = {section.name: section.file_size for section in copy.sections}
    assert new[0] - old[0] == sizes[".hptext"]
    assert new[1] - old[1] == sum(size for name, size in sizes.items() if name != ".hptext")
    assert new[2] == old[2]


def test_call_targets_and_the_copied_load_configuration(built: Callable[[str], Packaged]) -> None:
    item = built("throwing")
    copy = item.copy()
    image = read(copy.data)
    old, new = load_config(item.baseline), load_config(image)
    assert old is not None
    assert new is not None
    entries = sorted(function.patch[0].start for function in item.module.functions)
    assert new.guard_functions.tolist() == sorted(old.guard_functions.tolist() + entries)
    assert copy.call_targets == len(entries)
    start, there = item.baseline.directories[LOAD_CONFIG].start, image.directories[LOAD_CONFIG].start
    one, other = item.baseline.read(start, old.size), image.read(there, old.size)
    assert [at for at in range(0, old.size, 8) if one[at : at + 8] != other[at : at + 8]] == [0x80, 0x88]
    assert image.read(start, old.size) == one
    moved = {
        site - start + there
        for site in relocation_sites(item.baseline).tolist()
        if start <= site < start + old.size
    }
    assert moved
    assert moved <= set(relocation_sites(image).tolist())
    assert new.hot_patch_table is None


def test_wide_rows_of_the_table_of_call_targets(
    package_for: Callable[..., Packaged], throwing: bytes
) -> None:
    """GuardFlags say that every row has a further byte."""
    image = read(throwing)
    config = load_config(image)
    assert config is not None
    at = image.directories[LOAD_CONFIG].start
    section = image.section_at(at)
    assert section is not None
    offset = section.raw_offset + at - section.rva
    count = len(config.guard_functions) * 4 // 5
    data = put(throwing, "I", offset + 0x90, config.guard_flags | 0x10000000)
    data = put(data, "Q", offset + 0x88, count)
    table = config.guard_functions_table.start - section.rva + section.raw_offset
    given = b"".join(struct.pack("<IB", 0x1000 + 16 * index, 3) for index in range(count))
    data = data[:table] + given + data[table + len(given) :]
    item = package_for(data, "throwing.dll")
    patched = read(item.copy().data)
    new = load_config(patched)
    assert new is not None
    extent = new.guard_functions_table
    raw = patched.read(extent.start, len(extent))
    entries = sorted(function.patch[0].start for function in item.module.functions)
    assert raw == given + b"".join(struct.pack("<IB", entry, 0) for entry in entries)
    check_loads(item, item.copy().data)


def test_the_old_signature_goes_and_comes_back(package_for: Callable[..., Packaged], codec: bytes) -> None:
    item = package_for(signed(codec))
    copy = item.copy()
    check_loads(item, copy.data)
    assert [finding.code for finding in copy.findings] == [codes.SIGNATURE_REMOVED]
    assert copy.certificate == 0x108
    assert len(read(copy.data).directories[CERTIFICATE]) == 0
    assert bytes(range(256)) not in copy.data.replace(item.baseline.data[-0x108:], b"")


def test_data_behind_the_sections_stays_behind_them(
    package_for: Callable[..., Packaged], codec: bytes
) -> None:
    item = package_for(codec + b"payload" * 9)
    copy = item.copy()
    check_loads(item, copy.data)
    assert copy.data.endswith(b"payload" * 9)
    assert [finding.code for finding in copy.findings] == [codes.OVERLAY_MOVED]


def test_data_around_the_signature(package_for: Callable[..., Packaged], codec: bytes) -> None:
    item = package_for(signed(codec + b"before  ", b"behind"))
    copy = item.copy()
    check_loads(item, copy.data)
    assert copy.data.endswith(b"before  behind")
    assert {finding.code for finding in copy.findings} == {codes.SIGNATURE_REMOVED, codes.OVERLAY_MOVED}


def test_the_symbol_table_is_found_where_it_went(package_for: Callable[..., Packaged], codec: bytes) -> None:
    """As GNU linkers write it: symbols and section names behind the sections."""
    at = optional_header(codec) - 20
    strings = struct.pack("<I", 4 + 12) + b".long_name\0\0"
    data = put(codec, "II", at + 8, len(codec), 2) + bytes(36) + strings
    data = data[: section_table(data)] + b"/4\0\0\0\0\0\0" + data[section_table(data) + 8 :]
    item = package_for(data)
    copy = item.copy()
    check_loads(item, copy.data)
    assert copy.findings == ()
    assert read(copy.data).sections[0].name == ".long_name"
    (pointer,) = struct.unpack_from("<I", copy.data, at + 8)
    assert copy.data[pointer + 36 :] == strings


def test_full_headers_grow(package_for: Callable[..., Packaged], codec: bytes, making: ModuleType) -> None:
    item = package_for(crowded(codec, making, 8))
    copy = item.copy()
    check_loads(item, copy.data)
    assert [finding.code for finding in copy.findings] == [codes.HEADERS_GREW]
    assert read(copy.data).size_of_headers == item.baseline.size_of_headers + item.baseline.file_alignment


def test_grown_headers_with_everything_behind_them(
    package_for: Callable[..., Packaged], codec: bytes, making: ModuleType
) -> None:
    item = package_for(signed(crowded(codec, making, 9) + b"before  ", b"behind"))
    copy = item.copy()
    check_loads(item, copy.data)
    assert copy.data.endswith(b"before  behind")


@pytest.mark.parametrize("flags", [0xC0000040, 0x60000020])
def test_a_last_section_that_is_not_made_longer(
    package_for: Callable[..., Packaged], codec: bytes, flags: int
) -> None:
    """Neither writable nor executable memory grows."""
    last = section_table(codec) + 40 * (len(rows(codec)) - 1)
    item = package_for(put(codec, "I", last + 36, flags))
    copy = item.copy()
    check_loads(item, copy.data)
    assert copy.sections[0].name == ".hpgap"
    assert rows(copy.data)[len(item.baseline.sections) - 1][0] == item.baseline.sections[-1].virtual_size


def test_file_bytes_that_were_not_mapped_stay_unmapped(
    package_for: Callable[..., Packaged], codec: bytes
) -> None:
    last = section_table(codec) + 40 * (len(rows(codec)) - 1)
    size = rows(codec)[-1][2] + 0x1200
    item = package_for(put(codec + b"\xaa" * 0x1200, "I", last + 16, size))
    copy = item.copy()
    check_loads(item, copy.data)
    assert copy.sections[0].name == ".hpgap"
    gap = copy.sections[0]
    assert not read(copy.data).memory[gap.rva : gap.rva + gap.size].any()


def test_no_gap_to_bridge(package_for: Callable[..., Packaged], codec: bytes, making: ModuleType) -> None:
    """The baseline ends where the new code begins."""
    image = read(codec)
    row = making.Section(
        name=".big", rva=image.size_of_image, virtual_size=0x10000 - image.size_of_image, raw_offset=0,
        raw_size=0x200, characteristics=0xC0000040,
    )  # fmt: skip
    item = package_for(making.with_sections(codec, [(row, bytes(0x200))], 0x10000))
    copy = item.copy()
    check_loads(item, copy.data)
    assert copy.sections[0].name == ".hptext"


def test_an_image_that_cannot_be_moved_stays_so(package_for: Callable[..., Packaged], codec: bytes) -> None:
    """Without base relocations in the baseline the ones of the new code would wrongly promise that."""
    at = optional_header(codec)
    (flags,) = struct.unpack_from("<H", codec, at - 2)
    data = put(put(codec, "H", at - 2, flags | 1), "II", at + 112 + 8 * BASERELOC, 0, 0)
    item = package_for(data)
    copy = item.copy()
    check_loads(item, copy.data)
    assert copy.relocations == 0
    assert len(read(copy.data).directories[BASERELOC]) == 0


def test_a_movable_image_without_addresses_gets_its_first_relocations(
    package_for: Callable[..., Packaged], codec: bytes
) -> None:
    data = put(codec, "II", optional_header(codec) + 112 + 8 * BASERELOC, 0, 0)
    item = package_for(data)
    copy = item.copy()
    check_loads(item, copy.data)
    assert relocation_sites(read(copy.data)).tolist() == list(item.patch.address_sites)


def test_the_first_exception_directory(built: Callable[[str], Packaged]) -> None:
    item = built("codec")
    at = optional_header(item.baseline.data.whole()) + 112 + 8 * EXCEPTION
    baseline = read(put(item.baseline.data.whole(), "II", at, 0, 0))
    new = runtime_functions(read(patched_copy(item.module, baseline, item.patch).data))
    assert new.begin.tolist() == [row.begin for row in item.patch.runtime_functions]


def test_an_image_that_must_be_signed(package_for: Callable[..., Packaged], codec: bytes) -> None:
    at = optional_header(codec) + 70
    (flags,) = struct.unpack_from("<H", codec, at)
    copy = package_for(put(codec, "H", at, flags | 0x80)).copy()
    assert [finding.code for finding in copy.findings] == [codes.INTEGRITY_FLAG]


def with_load_config(data: bytes, field: int, layout: str, *values: int) -> bytes:
    """throwing.dll with other fields in its load configuration."""
    image = read(data)
    at = image.directories[LOAD_CONFIG].start
    section = image.section_at(at)
    assert section is not None
    return put(data, layout, section.raw_offset + at - section.rva + field, *values)


def test_handlers_in_new_code_where_continuations_are_listed(built: Callable[[str], Packaged]) -> None:
    item = built("throwing")
    config = load_config(item.baseline)
    assert config is not None
    table = item.baseline.image_base + config.guard_functions_table.start
    baseline = read(with_load_config(item.baseline.data.whole(), 0x108, "QQ", table, 1))
    copy = patched_copy(item.module, baseline, item.patch)
    assert [finding.code for finding in copy.findings] == [codes.CONTINUATIONS_UNKNOWN]


def refused(item: Packaged, **changes: Any) -> HpbuildError:
    changed = dataclasses.replace(item, **changes)
    with pytest.raises(HpbuildError) as caught:
        changed.copy()
    return caught.value


def test_something_follows_the_section_table(package_for: Callable[..., Packaged], codec: bytes) -> None:
    end = section_table(codec) + 40 * len(rows(codec))
    assert refused(package_for(put(codec, "B", end + 50, 1))).code is codes.NO_HEADER_ROOM


def test_a_directory_follows_the_section_table(package_for: Callable[..., Packaged], codec: bytes) -> None:
    """Bound imports lie in the headers; an empty table of them is all zeros."""
    end = section_table(codec) + 40 * len(rows(codec))
    data = put(codec, "II", optional_header(codec) + 112 + 8 * 11, end + 8, 8)
    assert refused(package_for(data)).code is codes.NO_HEADER_ROOM


def test_headers_that_fill_their_page(package_for: Callable[..., Packaged], codec: bytes) -> None:
    """The headers end where the first section begins, and the section table ends just before."""
    old, new = struct.unpack_from("<I", codec, 0x3C)[0], 0xE00
    size, end = read(codec).size_of_headers, section_table(codec) + 40 * len(rows(codec))
    head = codec[:old] + bytes(new - old) + codec[old:end]
    data = put(head.ljust(0x1000, b"\0") + codec[size:], "I", 0x3C, new)
    data = put(data, "I", optional_header(data) + 60, 0x1000)
    for index, (_, _, _, offset) in enumerate(rows(data)):
        data = put(data, "I", section_table(data) + 40 * index + 20, offset + 0x1000 - size)
    assert refused(package_for(data)).code is codes.NO_HEADER_ROOM


def test_too_few_directories(package_for: Callable[..., Packaged], built: Callable[[str], Packaged]) -> None:
    item = built("throwing")
    data = item.baseline.data.whole()
    at = optional_header(data) + 108
    cut = put(data, "I", at, 5)
    cut = cut[: at + 4 + 40] + bytes(88) + cut[at + 4 + 128 :]
    assert refused(item, baseline=read(cut)).code is codes.NO_HEADER_ROOM


def redirected_at(item: Packaged, rva: int) -> dict[str, Any]:
    """The module with its first redirection at another place."""
    redirection = item.module.redirections[0]
    old = item.baseline.read(rva, 5)
    other = dataclasses.replace(
        redirection, entry=rva, window=Interval(rva, rva + 5), old=old, new=bytes(byte ^ 0xFF for byte in old)
    )
    redirections = (other, *item.module.redirections[1:])
    return {"module": dataclasses.replace(item.module, redirections=redirections)}


@pytest.mark.parametrize("distance", [0, 4])
def test_an_entry_without_bytes_in_the_file(built: Callable[[str], Packaged], distance: int) -> None:
    item = built("codec")
    last = item.baseline.sections[-1]
    row = section_table(item.baseline.data.whole()) + 40 * (len(item.baseline.sections) - 1)
    longer = read(put(item.baseline.data.whole(), "I", row + 8, last.raw_size + 8))
    changes = redirected_at(item, last.rva + last.raw_size - distance)
    assert refused(item, baseline=longer, **changes).code is codes.WINDOW_NOT_IN_FILE


@pytest.mark.parametrize("distance", [-4, 0, 7])
def test_a_relocation_under_a_jump(built: Callable[[str], Packaged], distance: int) -> None:
    item = built("codec")
    site = relocation_sites(item.baseline).tolist()[0]
    assert refused(item, **redirected_at(item, site + distance)).code is codes.RELOCATION_IN_JUMP


@pytest.mark.parametrize("distance", [-5, 8])
def test_a_relocation_beside_a_jump(built: Callable[[str], Packaged], distance: int) -> None:
    item = built("codec")
    sites = relocation_sites(item.baseline).tolist()
    site = sites[0] if distance < 0 else sites[-1]
    dataclasses.replace(item, **redirected_at(item, site + distance)).copy()


def test_a_certificate_table_over_sections(built: Callable[[str], Packaged]) -> None:
    item = built("codec")
    at = optional_header(item.baseline.data.whole()) + 112 + 8 * CERTIFICATE
    baseline = read(put(item.baseline.data.whole(), "II", at, 0x600, 8))
    assert refused(item, baseline=baseline).code is codes.CERTIFICATE_IN_IMAGE


def dynamic_relocations(item: Packaged, table: bytes) -> Image:
    """throwing.dll with a dynamic relocation table at the end of its first section with room."""
    data = item.baseline.data.whole()
    for index, (size, _, raw, offset) in enumerate(rows(data)):
        if raw - size >= len(table) + 8:
            data = data[: offset + raw - len(table)] + table + data[offset + raw :]
            data = put(data, "I", section_table(data) + 40 * index + 8, raw)
            return read(with_load_config(data, 0xE0, "IH", raw - len(table), index + 1))
    raise AssertionError("no section has room")


def dynamic_table(symbol: int, site: int, width: int, version: int = 1) -> bytes:
    """A table with one block that names one site."""
    entry = (site & 0xFFF).to_bytes(width, "little").ljust(4, b"\0")
    block = struct.pack("<II", site & ~0xFFF, 8 + len(entry)) + entry
    if symbol == 7:
        override = struct.pack("<IIII", 0x1000, 0, 4, len(block)) + bytes(4) + block
        block = struct.pack("<I", len(override)) + override + b"BDD."
    body = struct.pack("<QI", symbol, len(block)) + block
    return struct.pack("<II", version, len(body)) + body


@pytest.mark.parametrize(("symbol", "width"), [(3, 4), (4, 2), (5, 2), (7, 2)])
@pytest.mark.parametrize("distance", [-7, 0, 4])
def test_an_instruction_under_a_jump_that_windows_rewrites(
    built: Callable[[str], Packaged], symbol: int, width: int, distance: int
) -> None:
    item = built("throwing")
    entry = item.module.redirections[0].entry
    baseline = dynamic_relocations(item, dynamic_table(symbol, entry + distance, width))
    assert refused(item, baseline=baseline).code is codes.DYNAMIC_RELOCATION_IN_JUMP


@pytest.mark.parametrize("distance", [-8, 5])
def test_an_instruction_beside_a_jump_that_windows_rewrites(
    built: Callable[[str], Packaged], distance: int
) -> None:
    item = built("throwing")
    entry = item.module.redirections[0].entry
    baseline = dynamic_relocations(item, dynamic_table(4, entry + distance, 2))
    assert patched_copy(item.module, baseline, item.patch).findings == ()


@pytest.mark.parametrize(("symbol", "version"), [(6, 1), (3, 2)])
def test_dynamic_relocations_of_another_kind(
    built: Callable[[str], Packaged], symbol: int, version: int
) -> None:
    item = built("throwing")
    baseline = dynamic_relocations(item, dynamic_table(symbol, 0x1000, 4, version))
    copy = patched_copy(item.module, baseline, item.patch)
    assert [finding.code for finding in copy.findings] == [codes.DYNAMIC_RELOCATIONS_UNKNOWN]


@pytest.mark.parametrize(("bound", "limit"), [("MAX_IMAGE", 0x17000), ("MAX_FILE", 0x4000)])
def test_a_copy_that_could_not_be_read_back(
    built: Callable[[str], Packaged], monkeypatch: pytest.MonkeyPatch, bound: str, limit: int
) -> None:
    """Real bounds are 1 GiB of image and 2 GiB of file."""
    item = built("codec")
    monkeypatch.setattr(f"hpbuild.apply.offline.copy.{bound}", limit)
    assert refused(item).code is codes.IMAGE_TOO_LARGE
