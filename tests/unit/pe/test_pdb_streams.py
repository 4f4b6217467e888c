import struct
from pathlib import Path

import pytest

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.pdb.msf import Msf, open_msf
from hpbuild.pe.pdb.streams import DBI_STREAM, INFO_STREAM, read_dbi, read_info
from hpbuild.pe.reader import read_image

SECTION_CONTRIBUTIONS_VERSION = 0xF12EBA2D


@pytest.fixture(scope="module")
def data(binaries: Path) -> bytes:
    return (binaries / "baseline" / "codec.pdb").read_bytes()


def patched(data: bytes, stream: int, at: int, new: bytes) -> Msf:
    """The container with the bytes at offset ``at`` of ``stream`` replaced, all inside one block."""
    whole = open_msf(data, "codec.pdb")
    block = int(whole.blocks[int(whole.first[stream]) + at // whole.block_size])
    start = block * whole.block_size + at % whole.block_size
    return open_msf(data[:start] + new + data[start + len(new) :], "codec.pdb")


def resized(data: bytes, stream: int, size: int) -> Msf:
    """The container with ``stream`` cut to ``size`` bytes of its first block."""
    whole = open_msf(data, "codec.pdb")
    sizes = whole.sizes.copy()
    sizes[stream] = size
    return Msf(
        name="codec.pdb",
        data=data,
        block_size=whole.block_size,
        sizes=sizes,
        first=whole.first,
        blocks=whole.blocks,
    )


def refused(msf: Msf) -> tuple[Code, str]:
    with pytest.raises(HpbuildError) as caught:
        read_dbi(msf)
    return caught.value.code, caught.value.finding.cause


def test_info(data: bytes, binaries: Path) -> None:
    info = read_info(open_msf(data, "codec.pdb"))
    image = (binaries / "baseline" / "codec.dll").read_bytes()
    raw = bytes.fromhex(info.guid)
    assert b"RSDS" + raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:] + struct.pack("<I", info.age) in image


def test_debug_information(data: bytes, binaries: Path) -> None:
    dbi = read_dbi(open_msf(data, "codec.pdb"))
    image = read_image(binaries / "baseline" / "codec.dll")
    assert dbi.machine == image.machine
    assert dbi.section_rvas.tolist() == [s.rva for s in image.sections]
    assert dbi.section_sizes.tolist() == [s.virtual_size for s in image.sections]
    names = [module.name for module in dbi.modules]
    assert "registry.obj" in names
    assert not any("/" in name or "\\" in name for name in names)
    assert dbi.contributions.shape[1] == 3
    assert len(dbi.contributions) > len(names)


def test_info_too_short_fail(data: bytes) -> None:
    with pytest.raises(HpbuildError) as caught:
        read_info(resized(data, INFO_STREAM, 27))
    assert caught.value.code is codes.PDB_STREAM_MALFORMED


@pytest.mark.parametrize("size", [0, 63])
def test_debug_information_too_short_fail(data: bytes, size: int) -> None:
    assert refused(resized(data, DBI_STREAM, size))[0] is codes.PDB_STREAM_MALFORMED


@pytest.mark.parametrize(("at", "value"), [(0, 0), (4, 19970606)])
def test_old_version_fail(data: bytes, at: int, value: int) -> None:
    assert refused(patched(data, DBI_STREAM, at, struct.pack("<I", value)))[0] is codes.PDB_UNSUPPORTED


@pytest.mark.parametrize("value", [-1, 1 << 30])
def test_substream_size_fail(data: bytes, value: int) -> None:
    for at in (24, 28, 32, 36, 40, 48, 52):
        code, cause = refused(patched(data, DBI_STREAM, at, struct.pack("<i", value)))
        assert code is codes.PDB_STREAM_MALFORMED
        assert "substreams" in cause


def module_row(data: bytes, at: int, new: bytes) -> Msf:
    return patched(data, DBI_STREAM, 64 + at, new)


def test_module_symbols_leave_their_stream_fail(data: bytes) -> None:
    for new in (struct.pack("<HI", 60000, 4), struct.pack("<HI", INFO_STREAM, 1 << 30)):
        code, cause = refused(module_row(data, 34, new))
        assert code is codes.PDB_STREAM_MALFORMED
        assert "symbols in stream" in cause


def test_stream_of_two_modules_fail(data: bytes) -> None:
    dbi = read_dbi(open_msf(data, "codec.pdb"))
    other = dbi.modules[1]
    code, cause = refused(module_row(data, 34, struct.pack("<HI", other.stream, other.symbol_bytes)))
    assert code is codes.PDB_STREAM_MALFORMED
    assert "two modules" in cause


def test_module_list_cut_fail(data: bytes) -> None:
    # The sizes of the first two substreams, their sum kept.
    msf = open_msf(data, "codec.pdb")
    modules, contributions = struct.unpack_from("<2i", msf.stream(DBI_STREAM), 24)
    for cut, cause in ((60, "leaves it"), (66, "not ended")):
        code, said = refused(
            patched(data, DBI_STREAM, 24, struct.pack("<2i", cut, modules + contributions - cut))
        )
        assert code is codes.PDB_STREAM_MALFORMED
        assert cause in said


def test_contributions_fail(data: bytes) -> None:
    msf = open_msf(data, "codec.pdb")
    stream = msf.stream(DBI_STREAM)
    modules, contributions, section_map = struct.unpack_from("<3i", stream, 24)
    code, cause = refused(patched(data, DBI_STREAM, 64 + modules, struct.pack("<I", 1)))
    assert code is codes.PDB_UNSUPPORTED
    assert "section contributions" in cause
    for size in (contributions - 4, 3):
        new = struct.pack("<2i", size, section_map + contributions - size)
        code, _ = refused(patched(data, DBI_STREAM, 28, new))
        assert code is codes.PDB_STREAM_MALFORMED


def optional_header(data: bytes) -> int:
    """Offset of the optional debug header in the debug information stream."""
    stream = open_msf(data, "codec.pdb").stream(DBI_STREAM)
    modules, contributions, section_map, source, servers, _, optional, editing = struct.unpack_from(
        "<8i", stream, 24
    )
    assert optional >= 12
    return 64 + modules + contributions + section_map + source + servers + editing


def test_rearranged_image_fail(data: bytes) -> None:
    code, cause = refused(
        patched(data, DBI_STREAM, optional_header(data) + 8, struct.pack("<H", INFO_STREAM))
    )
    assert code is codes.PDB_UNSUPPORTED
    assert "OMAP" in cause


def test_no_section_headers_fail(data: bytes) -> None:
    code, cause = refused(patched(data, DBI_STREAM, optional_header(data) + 10, b"\xff\xff"))
    assert code is codes.PDB_UNSUPPORTED
    assert "section headers" in cause


def test_section_headers_cut_fail(data: bytes) -> None:
    at = optional_header(data) + 10
    index = int.from_bytes(open_msf(data, "codec.pdb").stream(DBI_STREAM)[at : at + 2], "little")
    assert refused(resized(data, index, 41))[0] is codes.PDB_STREAM_MALFORMED
