"""Base relocations, real and hostile."""

import struct

import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe.relocations import relocation_sites


def block(page, entries, size=None):
    body = b"".join(struct.pack("<H", e) for e in entries)
    return struct.pack("<II", page, 8 + len(body) if size is None else size) + body


def test_none(pe):
    assert len(relocation_sites(pe.image())) == 0


def test_real_table_agrees_with_pefile(codec):
    pefile = pytest.importorskip("pefile")
    other = pefile.PE(data=codec.data.whole(), fast_load=True)
    other.parse_data_directories([5])
    sites = [e.rva for b in other.DIRECTORY_ENTRY_BASERELOC for e in b.entries if e.type == 10]
    assert relocation_sites(codec).tolist() == sorted(sites)
    assert sites


def test_real_sites_hold_addresses_of_the_image(codec):
    for site in relocation_sites(codec).tolist():
        assert codec.image_base <= codec.u64(site) < codec.image_base + codec.size_of_image


def test_sites_are_sorted_and_padding_is_left_out(pe):
    pe.table(5, block(0x1000, [0xA108, 0xA100]) + block(0x1000, [0xA010, 0]))
    assert relocation_sites(pe.image()).tolist() == [0x1010, 0x1100, 0x1108]


def test_empty_block(pe):
    pe.table(5, block(0x1000, []) + block(0x1000, [0xA010, 0]))
    assert relocation_sites(pe.image()).tolist() == [0x1010]


@pytest.mark.parametrize(
    "table",
    [
        b"\0" * 4,
        b"\0" * 8,
        block(0x1000, [0xA000, 0], size=4),
        block(0x1000, [0xA000, 0], size=10),
        block(0x1000, [0xA000, 0], size=0x1000),
        block(0x1000, [0xA000, 0], size=0xFFFFFFFC),
        block(0x1004, [0xA000, 0]),
        block(0x1000, [0xA000, 0]) + b"\0" * 6,
    ],
)
def test_hostile_block(pe, refuses, table):
    pe.table(5, table)
    refuses(codes.RELOCATION_BLOCK, relocation_sites, pe.image())


def test_a_million_blocks(pe, refuses):
    pe.table(5, block(0x1000, []) * 1_000_000)
    refuses(codes.RELOCATION_BLOCKS, relocation_sites, pe.image())


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 9, 15])
def test_type_of_another_machine(pe, refuses, kind):
    pe.table(5, block(0x1000, [kind << 12 | 8, 0]))
    error = refuses(codes.RELOCATION_TYPE, relocation_sites, pe.image())
    assert "0x1008" in error.finding.cause


@pytest.mark.parametrize("page", [0, 0x8000, 0xFFFFF000])
def test_site_outside_sections(pe, refuses, page):
    pe.table(5, block(page, [0xA010, 0]))
    refuses(codes.RELOCATION_SITE, relocation_sites, pe.image())


def test_site_across_the_end_of_a_section(pe, refuses):
    pe.table(5, block(0x1000, [0xAFF9, 0]))
    refuses(codes.RELOCATION_SITE, relocation_sites, pe.image())


@pytest.mark.parametrize("second", [0xA010, 0xA014])
def test_overlapping_sites(pe, refuses, second):
    pe.table(5, block(0x1000, [0xA010, second]))
    refuses(codes.RELOCATION_OVERLAP, relocation_sites, pe.image())
