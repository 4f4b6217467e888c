"""Source lines of code."""

import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.exports import exports
from hpbuild.pe.pdb.file import Pdb, find_pdb
from hpbuild.pe.pdb.info import read_directory
from hpbuild.pe.pdb.lines import load_lines, read_lines
from hpbuild.pe.reader import read_image


def opened(path: Path) -> Pdb:
    pdb, note = find_pdb(read_image(path), path)
    assert pdb is not None, note
    return pdb


@pytest.fixture(scope="module")
def codec_pdb(binaries: Path) -> Pdb:
    return opened(binaries / "baseline" / "codec.dll")


def changed(pdb: Pdb, module: int, at: int, new: bytes) -> Pdb:
    """The PDB with the bytes ``at`` of the line information of a module replaced."""
    row = pdb.dbi.modules[module]
    at += row.symbol_bytes + row.old_line_bytes
    msf = pdb.msf
    block = int(msf.blocks[int(msf.first[row.stream]) + at // msf.block_size])
    start = block * msf.block_size + at % msf.block_size
    data = msf.data[:start] + new + msf.data[start + len(new) :]
    return replace(pdb, msf=replace(msf, data=data))


@pytest.mark.parametrize("name", ["codec", "throwing"])
def test_lines_of_llvm_pdbutil(binaries: Path, name: str, require_tool: Callable[[str], str]) -> None:
    path = binaries / "baseline" / f"{name}.dll"
    command = [require_tool("llvm-pdbutil"), "dump", "-l", str(path.with_suffix(".pdb"))]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    text = read_image(path).sections[0].rva
    told = [(text + int(at, 16), int(line)) for line, at in re.findall(r" (\d+) ([0-9A-F]{8}) [! ]", dump)]
    lines = load_lines(read_image(path), path)
    found = list(zip(lines.rva.tolist(), lines.line.tolist(), strict=True))
    assert {row for row in found if row[1]} == {row for row in told if 0 < row[1] < 0xF00F00}
    assert len(told) > 20


def test_an_instruction_has_file_and_line(binaries: Path, root: Path) -> None:
    path = binaries / "baseline" / "codec.dll"
    image = read_image(path)
    lines = load_lines(image, path)
    assert np.all(np.diff(lines.rva.astype(np.int64)) >= 0)
    for export in exports(image):
        section = image.section_at(export.rva)
        assert section is not None
        if not section.executable:
            continue
        where = lines.at(export.rva)
        assert where is not None
        file, line = where
        source = (root / "testdata" / "src" / "codec" / file).read_text().splitlines()
        assert export.name in " ".join(source[line - 2 : line + 1])
    assert lines.at(0) is None
    assert lines.at(int(lines.end.max())) is None


def test_no_rows_without_a_pdb(binaries: Path) -> None:
    path = binaries / "baseline" / "codec.dll"
    for lines in (load_lines(read_image(path), path, "none"), load_lines(read_image(path), None)):
        assert len(lines.rva) == 0
        assert lines.at(0x1000) is None


def test_names_that_are_nowhere_are_empty(codec_pdb: Pdb) -> None:
    """Without the table of strings the lines are there and their files have no names."""
    msf = codec_pdb.msf
    number = read_directory(msf).streams[b"/names"]
    stream = int(msf.blocks[int(msf.first[number])]) * msf.block_size
    bare = replace(msf, data=msf.data[:stream] + b"\0\0\0\0" + msf.data[stream + 4 :])
    lines = read_lines(replace(codec_pdb, msf=bare))
    assert lines.files == ("",)
    assert len(lines.rva) == len(read_lines(codec_pdb).rva)


def first_part(pdb: Pdb, module: int, kind: int) -> int:
    """Offset of the first part of ``kind`` in a module's line information."""
    row = pdb.dbi.modules[module]
    data = pdb.msf.stream(row.stream)[row.symbol_bytes + row.old_line_bytes :]
    at = 0
    while True:
        found, size = struct.unpack_from("<II", data, at)
        if found == kind:
            return at
        at += 8 + (size + 3 & ~3)


@pytest.mark.parametrize(
    ("at", "new", "cause"),
    [
        (4, struct.pack("<I", 1 << 20), "a part of"),
        (8, struct.pack("<I", 1 << 20), "leave the section") ,
        (16, struct.pack("<I", 1 << 20), "leave the section"),
        (16, struct.pack("<I", 1), "bytes into 1 bytes"),
        (20, struct.pack("<I", 1 << 20), "unpack_from"),
        (24, struct.pack("<I", 1 << 30), "lines in a block"),
        (28, struct.pack("<I", 4), "lines in a block"),
    ],
)  # fmt: skip
def test_damaged_lines_fail(codec_pdb: Pdb, at: int, new: bytes, cause: str) -> None:
    bad = changed(codec_pdb, 0, first_part(codec_pdb, 0, 0xF2) + at, new)
    with pytest.raises(HpbuildError) as caught:
        read_lines(bad)
    assert caught.value.code is codes.PDB_STREAM_MALFORMED
    assert cause in caught.value.finding.cause


def test_lines_leave_their_stream_fail(codec_pdb: Pdb) -> None:
    first, *rest = codec_pdb.dbi.modules
    dbi = replace(codec_pdb.dbi, modules=(replace(first, line_bytes=1 << 30), *rest))
    with pytest.raises(HpbuildError) as caught:
        read_lines(replace(codec_pdb, dbi=dbi))
    assert caught.value.code is codes.PDB_STREAM_MALFORMED
    assert "leave the stream" in caught.value.finding.cause


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(choice=st.data())
def test_damaged_bytes_are_refused_or_read(codec_pdb: Pdb, choice: st.DataObject) -> None:
    pdb = codec_pdb
    for _ in range(choice.draw(st.integers(1, 5))):
        module = choice.draw(st.integers(0, 5))
        size = pdb.dbi.modules[module].line_bytes
        at = choice.draw(st.integers(0, min(63, size - 1)) | st.integers(0, size - 1))
        pdb = changed(pdb, module, at, bytes([choice.draw(st.integers(0, 255))]))
    try:
        lines = read_lines(pdb)
    except HpbuildError:
        return
    assert len(lines.rva) == len(lines.line) == len(lines.file) == len(lines.end)
