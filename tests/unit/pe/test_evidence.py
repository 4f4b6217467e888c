"""How an image was made: PDB, compilers, linker, type records."""

import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.evidence import load_evidence
from hpbuild.pe.pdb.compilers import S_COMPILE2, S_COMPILE3, Compiler, read_compilers
from hpbuild.pe.pdb.file import Pdb, find_pdb, open_pdb
from hpbuild.pe.pdb.info import MAX_NAMED, MINIMAL_DEBUG_INFO, read_directory
from hpbuild.pe.pdb.msf import open_msf
from hpbuild.pe.pdb.streams import Module
from hpbuild.pe.reader import read_image
from hpbuild.pe.symbols import load_symbols
from tests.type_streams import container


@pytest.fixture
def codec_path(binaries: Path) -> Path:
    return binaries / "baseline" / "codec.dll"


def one_module(pdb: Pdb, symbols: bytes) -> Pdb:
    """The PDB with one module, ``a.obj``, whose stream is ``symbols``."""
    dbi = replace(pdb.dbi, modules=(Module("a.obj", 0, len(symbols)),))
    return Pdb(container([symbols]), dbi)


def opened(path: Path) -> Pdb:
    pdb, note = find_pdb(read_image(path), path)
    assert pdb is not None, note
    return pdb


def test_evidence_of_a_real_image(codec_path: Path) -> None:
    image = read_image(codec_path)
    evidence = load_evidence(image, codec_path)
    assert evidence.symbols == load_symbols(image, codec_path)
    assert evidence.build.types is not None
    assert evidence.build.types_note == ""
    compilers = {item.object: item for item in evidence.build.toolchain.compilers}
    assert compilers["registry.obj"].language == "C"
    assert compilers["registry.obj"].machine == 0xD0
    assert compilers["registry.obj"].name.startswith("clang version")
    assert compilers["* Linker *"].language == "LINK"
    assert evidence.build.toolchain.linker == (14, 0)


def test_no_evidence(codec_path: Path) -> None:
    build = load_evidence(read_image(codec_path), codec_path, "none").build
    assert build.types is None
    assert build.types_note == "no PDB"
    assert build.toolchain.compilers == ()
    assert build.toolchain.linker == (14, 0)


def test_damaged_types_are_told(codec_path: Path, tmp_path: Path) -> None:
    data = codec_path.with_suffix(".pdb").read_bytes()
    msf = open_msf(data, "x")
    start = int(msf.blocks[int(msf.first[2])]) * msf.block_size
    (tmp_path / "codec.pdb").write_bytes(data[:start] + b"\1\0\0\0" + data[start + 4 :])
    evidence = load_evidence(read_image(codec_path), None, str(tmp_path / "codec.pdb"))
    assert evidence.symbols.source == "pdb"
    assert evidence.build.types is None
    assert "version 1" in evidence.build.types_note


def test_stripped_types_are_told(codec_path: Path, tmp_path: Path) -> None:
    data = codec_path.with_suffix(".pdb").read_bytes()
    msf = open_msf(data, "x")
    start = int(msf.blocks[int(msf.first[2])]) * msf.block_size
    empty = struct.pack("<5I", 20040203, 56, 0x1000, 0x1000, 0)
    (tmp_path / "codec.pdb").write_bytes(data[:start] + empty + data[start + 20 :])
    evidence = load_evidence(read_image(codec_path), None, str(tmp_path / "codec.pdb"))
    assert evidence.build.types_note == "the PDB has no type records"


@pytest.mark.parametrize(
    ("kind", "layout", "values"),
    [
        (S_COMPILE2, "<IH3H3H", (3, 0xD0, 1, 2, 3, 19, 29, 30133)),
        (S_COMPILE3, "<IH4H4H", (0x100 | 3, 0xD0, 1, 2, 3, 4, 19, 29, 30133, 0)),
    ],
)
def test_both_records(codec_path: Path, kind: int, layout: str, values: tuple[int, ...]) -> None:
    body = struct.pack(layout, *values) + b"ml\x1b\0"
    body += bytes(-len(body) % 4)
    symbols = struct.pack("<IHHI", 4, 6, 0x1101, 0) + struct.pack("<HH", len(body) + 2, kind) + body
    version = ".".join(map(str, values[5 if kind == S_COMPILE2 else 6 :]))
    assert read_compilers(one_module(opened(codec_path), symbols)) == (
        Compiler("a.obj", "MASM", "ml\\x1b", version, 0xD0),
    )
    for cut in range(4, len(symbols) - 1):
        assert read_compilers(one_module(opened(codec_path), symbols[:cut])) in (
            (),
            read_compilers(one_module(opened(codec_path), symbols)),
        )


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(symbols=st.binary(min_size=1, max_size=200))
def test_any_bytes_as_compiler_records(codec_path: Path, symbols: bytes) -> None:
    record = struct.pack("<IHH", 4, 40, S_COMPILE3)
    for data in (symbols, record + symbols):
        assert len(read_compilers(one_module(opened(codec_path), data))) <= 1


def fastlink(data: bytes) -> bytes:
    """The PDB with the feature code that /DEBUG:FASTLINK leaves in place of its first."""
    msf = open_msf(data, "x")
    feature = struct.pack("<I", read_directory(msf).features[0])
    start = int(msf.blocks[int(msf.first[1])]) * msf.block_size
    at = data.index(feature, start)
    return data[:at] + struct.pack("<I", MINIMAL_DEBUG_INFO) + data[at + 4 :]


def test_fastlink_fail(codec_path: Path, tmp_path: Path) -> None:
    shutil.copy(codec_path, tmp_path / "codec.dll")
    (tmp_path / "codec.pdb").write_bytes(fastlink(codec_path.with_suffix(".pdb").read_bytes()))
    image = read_image(codec_path)
    with pytest.raises(HpbuildError) as caught:
        load_evidence(image, None, str(tmp_path / "codec.pdb"))
    assert caught.value.code is codes.PDB_UNSUPPORTED
    symbols = load_evidence(image, tmp_path / "codec.dll").symbols
    assert symbols.source == "none"
    assert "FASTLINK" in symbols.note


def test_too_many_named_streams_fail() -> None:
    count = MAX_NAMED + 1
    table = struct.pack("<III", count, count, 0) + bytes(4) + bytes(8 * count) + bytes(4)
    with pytest.raises(HpbuildError) as caught:
        read_directory(container([b"", bytes(28) + struct.pack("<I", 2) + b"a\0" + table]))
    assert caught.value.code is codes.PDB_STREAM_MALFORMED


def test_named_streams(codec_path: Path) -> None:
    pdb = opened(codec_path)
    directory = read_directory(pdb.msf)
    assert pdb.msf.stream(directory.streams[b"/names"]).startswith(struct.pack("<I", 0xEFFEEFFE))
    assert directory.features == (20140508,)


@pytest.mark.parametrize("at", [28, 32])
def test_damaged_directory_fail(codec_path: Path, at: int) -> None:
    data = open_msf(codec_path.with_suffix(".pdb").read_bytes(), "x").stream(1)
    bad = (
        data[:28] + b"\xff\xff\xff\x7f"
        if at == 28
        else data[:28] + bytes(4) + b"\xff\xff\xff\x7f" + bytes(12)
    )
    with pytest.raises(HpbuildError) as caught:
        read_directory(container([b"", bad]))
    assert caught.value.code is codes.PDB_STREAM_MALFORMED
    assert read_directory(container([b"", data[:28]])).streams == {}


def test_another_build_fail(codec_path: Path) -> None:
    with pytest.raises(HpbuildError) as caught:
        open_pdb(codec_path.with_suffix(".pdb").read_bytes(), "x", read_image(codec_path), "0" * 32, 1)
    assert caught.value.code is codes.PDB_MISMATCH
