"""Base relocations. Source: PE specification, section "The .reloc Section (Image Only)"."""

import struct

import numpy as np
import numpy.typing as npt

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import BASERELOC, Words
from hpbuild.pe.image import Image

_ABSOLUTE, _DIR64 = 0, 10
_PAGE = 0x1000
MAX_TABLE = 8 << 20
"""Bytes of the whole table; that of node.exe, an image of 112 MiB, has 184 KiB."""


def relocation_sites(image: Image) -> Words:
    """RVAs of all 8-byte fields that hold an absolute address (DIR64), sorted.

    Raises HpbuildError: HP1111 torn block, HP1112 too many blocks or bytes, HP1113 type, HP1114 site outside
    every section, HP1115 overlapping sites.
    """
    directory = image.directories[BASERELOC]
    if not len(directory):
        return np.zeros(0, dtype=np.uint32)
    if len(directory) > MAX_TABLE:
        raise HpbuildError(codes.RELOCATION_BLOCKS, image.name, f"{len(directory)} bytes of blocks")
    table = image.memory[directory.start : directory.end].tobytes()
    starts, sizes, pages = _blocks(image, table)
    entries = np.frombuffer(table, dtype="<u2").astype(np.int64)
    page = np.repeat(pages, sizes // 2)
    is_entry = np.ones(len(entries), dtype=bool)
    for word in range(4):
        is_entry[starts // 2 + word] = False
    kind = entries >> 12
    wrong = np.flatnonzero(is_entry & (kind != _ABSOLUTE) & (kind != _DIR64))
    if len(wrong):
        raise HpbuildError(
            codes.RELOCATION_TYPE, image.name,
            f"type {kind[wrong[0]]} at RVA {page[wrong[0]] + (entries[wrong[0]] & 0xFFF):#x}",
        )  # fmt: skip
    chosen = is_entry & (kind == _DIR64)
    sites = np.sort(page[chosen] + (entries[chosen] & 0xFFF))
    _check_sites(image, sites)
    return sites.astype(np.uint32)


def _blocks(image: Image, table: bytes) -> tuple[npt.NDArray[np.int64], ...]:
    """Offset, size and page RVA of every block of the table."""
    limit = 2 * (image.size_of_image // _PAGE) + 16
    starts: list[int] = []
    sizes: list[int] = []
    pages: list[int] = []
    at = 0
    while at < len(table):
        if len(starts) == limit:
            raise HpbuildError(codes.RELOCATION_BLOCKS, image.name, f"more than {limit} blocks")
        if at + 8 > len(table):
            raise HpbuildError(codes.RELOCATION_BLOCK, image.name, f"block at offset {at:#x} is cut off")
        page, size = struct.unpack_from("<II", table, at)
        if size < 8 or size % 4 or size > len(table) - at or page % _PAGE:
            raise HpbuildError(
                codes.RELOCATION_BLOCK, image.name, f"block at offset {at:#x}: page {page:#x}, size {size:#x}"
            )
        starts.append(at)
        sizes.append(size)
        pages.append(page)
        at += size
    return np.array(starts, dtype=np.int64), np.array(sizes, dtype=np.int64), np.array(pages, dtype=np.int64)


def _check_sites(image: Image, sites: npt.NDArray[np.int64]) -> None:
    inside = np.zeros(len(sites), dtype=bool)
    for section in image.sections:
        inside |= (sites >= section.rva) & (sites + 8 <= section.rva + section.virtual_size)
    bad = np.flatnonzero(~inside)
    if len(bad):
        raise HpbuildError(codes.RELOCATION_SITE, image.name, f"site at RVA {sites[bad[0]]:#x}")
    bad = np.flatnonzero(np.diff(sites) < 8)
    if len(bad):
        raise HpbuildError(
            codes.RELOCATION_OVERLAP,
            image.name,
            f"sites at RVAs {sites[bad[0]]:#x} and {sites[bad[0] + 1]:#x}",
        )
