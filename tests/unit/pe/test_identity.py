import hashlib
import struct
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest import model
from hpbuild.pe.access import BASERELOC
from hpbuild.pe.authenticode import authenticode_digest
from hpbuild.pe.debug import debug_info
from hpbuild.pe.identity import Identity, SectionIdentity, identity, masked_digest
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.values import Digest, Interval
from tests.minimal_pe import MinimalPe


@pytest.fixture
def image(binaries: Path) -> Image:
    return read_image(binaries / "baseline" / "codec.dll")


def test_fields_are_those_of_the_pin() -> None:
    assert [f.name for f in fields(Identity)] == [f.name for f in fields(model.Pin)]
    assert [f.name for f in fields(SectionIdentity)] == [f.name for f in fields(model.SectionPin)]


def test_identity(image: Image, binaries: Path) -> None:
    found = identity(image, cross_check=True)
    data = (binaries / "baseline" / "codec.dll").read_bytes()
    assert found.file_name == "codec.dll"
    assert found.size == len(data)
    assert found.sha256.hex == hashlib.sha256(data).hexdigest()
    assert found.authenticode == authenticode_digest(image, cross_check=False)
    assert found.machine == 0x8664
    assert found.time_date_stamp == image.time_date_stamp
    assert found.checksum == image.checksum
    assert found.size_of_image == image.size_of_image
    assert found.image_base == image.image_base
    codeview = debug_info(image).codeview
    assert codeview is not None
    assert (found.pdb_guid, found.pdb_age) == (codeview.guid, codeview.age)
    assert [s.name for s in found.sections] == [s.name for s in image.sections]
    for row, section in zip(found.sections, image.sections, strict=True):
        raw = data[section.raw_offset : section.raw_offset + section.raw_size]
        assert (row.rva, row.size, row.sha256) == (section.rva, len(raw), Digest.of(raw))


def test_no_debug_information(image: Image) -> None:
    directories = list(image.directories)
    directories[6] = Interval(0, 0)
    found = identity(replace(image, directories=tuple(directories)), cross_check=False)
    assert (found.pdb_guid, found.pdb_age) == ("", 0)


def test_two_builds_differ_in_what_changed(binaries: Path) -> None:
    baseline, fixed = (
        identity(read_image(binaries / side / "codec.dll"), False) for side in ("baseline", "fixed")
    )
    assert baseline.sha256 != fixed.sha256
    assert baseline.authenticode != fixed.authenticode
    assert baseline.pdb_guid != fixed.pdb_guid


def rebased(image: Image, delta: int) -> Image:
    """The mapped bytes as a loader leaves them ``delta`` bytes away from the preferred base."""
    memory = image.memory.copy()
    for site in relocation_sites(image).tolist():
        value = int.from_bytes(memory[site : site + 8].tobytes(), "little") + delta
        memory[site : site + 8] = np.frombuffer((value % (1 << 64)).to_bytes(8, "little"), dtype=np.uint8)
    return replace(image, memory=memory)


def test_masked_digest_does_not_see_where_the_image_lies(image: Image) -> None:
    sites = relocation_sites(image)
    assert len(sites) > 4
    first, last = int(sites[0]), int(sites[-1])
    moved = rebased(image, 0x7654_3210_0000)
    ranges = [
        Interval(first, last + 8),
        # Ranges that begin or end in the middle of a field.
        Interval(first + 3, first + 20),
        Interval(max(0, last - 20), last + 5),
        Interval(first + 1, first + 7),
        Interval(0x1000, 0x1000),
    ]
    for part in ranges:
        assert masked_digest(image, [part]) == masked_digest(moved, [part])
    assert masked_digest(image, ranges) == masked_digest(moved, ranges, sites)
    assert image.read(first, last + 8 - first) != moved.read(first, last + 8 - first)


def test_masked_digest_sees_everything_else(image: Image) -> None:
    sites = relocation_sites(image)
    first = int(sites[0])
    part = Interval(first - 1, first + 9)
    masks = {site + i for site in sites.tolist() for i in range(8)}
    for rva in range(part.start, part.end):
        memory = image.memory.copy()
        memory[rva] ^= 0xFF
        changed = replace(image, memory=memory)
        assert (masked_digest(changed, [part]) == masked_digest(image, [part])) == (rva in masks)


def test_masked_digest_is_in_the_order_given(image: Image) -> None:
    one, two = Interval(0x1000, 0x1010), Interval(0x1010, 0x1020)
    assert masked_digest(image, [one, two]) == masked_digest(image, [Interval(0x1000, 0x1020)])
    assert masked_digest(image, [two, one]) != masked_digest(image, [one, two])
    assert masked_digest(image, []) == Digest.of(b"")


def test_range_outside_fail(image: Image) -> None:
    with pytest.raises(HpbuildError) as caught:
        masked_digest(image, [Interval(image.size_of_image - 1, image.size_of_image + 1)])
    assert caught.value.code is codes.RANGE_OUTSIDE_IMAGE


def test_without_cross_check_lief_is_not_imported(binaries: Path) -> None:
    path = binaries / "baseline" / "codec.dll"
    script = (
        "import sys; from pathlib import Path; from hpbuild.pe.reader import read_image;"
        "from hpbuild.pe.identity import identity; from hpbuild.pe.symbols import load_symbols;"
        f"image = read_image(Path({str(path)!r})); identity(image, False);"
        f"load_symbols(image, Path({str(path)!r}), 'auto'); sys.exit('lief' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_masked_digest_of_a_large_range() -> None:
    """It is made in pieces; fields across their borders are masked all the same."""
    pe = MinimalPe()
    size = 9 << 20
    start = pe.section(b".data", bytes([7]) * size)
    borders = (start + (4 << 20) - 4, start + (8 << 20) - 1)
    blocks = [struct.pack("<IIHH", at & ~0xFFF, 12, 0xA000 | at & 0xFFF, 0) for at in borders]
    pe.table(BASERELOC, b"".join(blocks))
    wanted = bytearray([7]) * size
    for at in borders:
        wanted[at - start : at - start + 8] = bytes(8)
    assert masked_digest(pe.image(), [Interval(start, start + size)]) == Digest.of(wanted)
