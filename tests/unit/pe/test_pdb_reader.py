import re
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.debug import debug_info
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.msf import open_msf
from hpbuild.pe.pdb.reader import PdbSymbols, read_pdb
from hpbuild.pe.pdb.records import PROCEDURES, S_GPROC32, S_LDATA32, S_LPROC32, S_THUNK32
from hpbuild.pe.pdb.streams import read_dbi
from hpbuild.pe.reader import read_image

# Kinds as llvm-pdbutil prints them.
NAMES = {S_GPROC32: "S_GPROC32", S_LPROC32: "S_LPROC32", S_THUNK32: "S_THUNK32"}


def load(path: Path) -> tuple[Image, PdbSymbols]:
    image = read_image(path.with_suffix(".dll"))
    codeview = debug_info(image).codeview
    assert codeview is not None
    return image, read_pdb(path.read_bytes(), path.name, image, codeview.guid, codeview.age)


def agrees_with_llvm_pdbutil(tool: str, path: Path) -> None:
    """Counts of procedures, thunks and public names are those that llvm-pdbutil dumps."""
    command = [tool, "dump", "-symbols", "-publics", str(path)]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    told = Counter(kind for kind in re.findall(r"\| (S_\w+) \[size", dump) if kind in NAMES.values())
    image, pdb = load(path)
    assert Counter(NAMES[symbol.record.kind] for symbol in pdb.placed if symbol.record.kind in NAMES) == told
    assert told["S_GPROC32"] > 10
    places = [(int(s), int(o)) for s, o in re.findall(r"S_PUB32 .*\n\s+flags = .*addr = (\d+):(\d+)", dump)]
    sections = image.sections
    inside = [(s, o) for s, o in places if 0 < s <= len(sections) and o < sections[s - 1].virtual_size]
    assert sorted(sections[s - 1].rva + o for s, o in inside) == sorted(public.rva for public in pdb.publics)
    assert inside


@pytest.mark.parametrize("name", ["baseline/codec.pdb", "fixed/codec.pdb", "baseline/throwing.pdb"])
def test_counts_of_llvm_pdbutil(binaries: Path, name: str, require_tool: Callable[[str], str]) -> None:
    agrees_with_llvm_pdbutil(require_tool("llvm-pdbutil"), binaries / name)


def test_pdb_of_the_microsoft_linker(root: Path, require_tool: Callable[[str], str]) -> None:
    folder = root / "corpus" / "pairs" / "debugpy"
    found = sorted(folder.rglob("attach_amd64.pdb")) + sorted(folder.rglob("run_code_on_dllmain_amd64.pdb"))
    if not found:
        pytest.skip("no corpus of releases (make corpus)")
    for path in found:
        agrees_with_llvm_pdbutil(require_tool("llvm-pdbutil"), path)


def test_extents_are_those_of_the_exception_directory(binaries: Path) -> None:
    """A procedure with an unwind entry has exactly that entry's range."""
    from hpbuild.pe.unwind import runtime_functions

    image, pdb = load(binaries / "baseline" / "codec.pdb")
    table = runtime_functions(image)
    ranges = dict(zip(table.begin.tolist(), table.end.tolist(), strict=True))
    procedures = {s.rva: s.record.size for s in pdb.placed if s.record.kind in PROCEDURES}
    both = procedures.keys() & ranges.keys()
    assert len(both) > 10
    assert {rva: rva + procedures[rva] for rva in both} == {rva: ranges[rva] for rva in both}


def test_static_variable_has_its_module(binaries: Path) -> None:
    _, pdb = load(binaries / "baseline" / "codec.pdb")
    local = {s.record.name: s.file for s in pdb.placed if s.record.kind == S_LDATA32}
    assert local["lookups"] == "registry.obj"


def test_contributions_lie_in_sections(binaries: Path) -> None:
    image, pdb = load(binaries / "baseline" / "codec.pdb")
    for rva, size in pdb.contributions.items():
        section = image.section_at(rva)
        assert section is not None
        assert rva + size <= section.range.end


def test_other_build_fail(binaries: Path) -> None:
    image = read_image(binaries / "baseline" / "codec.dll")
    data = (binaries / "baseline" / "codec.pdb").read_bytes()
    codeview = debug_info(image).codeview
    assert codeview is not None
    moved = replace(image, sections=(replace(image.sections[0], rva=0x5000), *image.sections[1:]))
    for guid, age, module, cause in (
        ("0" * 32, codeview.age, image, "GUID"),
        (codeview.guid, codeview.age + 7, image, "age"),
        (codeview.guid, codeview.age, moved, "section addresses"),
    ):
        with pytest.raises(HpbuildError) as caught:
            read_pdb(data, "codec.pdb", module, guid, age)
        assert caught.value.code is codes.PDB_MISMATCH
        assert cause in caught.value.finding.cause


def test_procedure_leaves_its_section_fail(binaries: Path) -> None:
    path = binaries / "baseline" / "codec.pdb"
    data = path.read_bytes()
    msf = open_msf(data, "codec.pdb")
    module = next(m for m in read_dbi(msf).modules if m.name == "registry.obj")
    symbols = msf.stream(module.stream, module.symbol_bytes)
    record = symbols.index(S_GPROC32.to_bytes(2, "little")) - 2
    at = record + 16
    block = int(msf.blocks[int(msf.first[module.stream]) + at // msf.block_size])
    start = block * msf.block_size + at % msf.block_size
    image = read_image(path.with_suffix(".dll"))
    codeview = debug_info(image).codeview
    assert codeview is not None
    with pytest.raises(HpbuildError) as caught:
        read_pdb(
            data[:start] + b"\xff\xff\xff\x7f" + data[start + 4 :],
            "x.pdb",
            image,
            codeview.guid,
            codeview.age,
        )
    assert caught.value.code is codes.PDB_STREAM_MALFORMED
    assert "leave the section" in caught.value.finding.cause


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(choice=st.data())
def test_damaged_file_is_refused_or_read(binaries: Path, choice: st.DataObject) -> None:
    """Whatever is flipped or cut, only HpbuildError comes out, and every address lies in the image."""
    image, data = _hostile_input(binaries)
    codeview = debug_info(image).codeview
    assert codeview is not None
    changed = bytearray(data)
    msf = open_msf(data, "x")
    interesting = [0, int(msf.blocks[int(msf.first[1])]), int(msf.blocks[int(msf.first[3])])]
    for _ in range(choice.draw(st.integers(1, 4))):
        block = choice.draw(st.sampled_from(interesting) | st.integers(0, len(data) // msf.block_size - 1))
        at = block * msf.block_size + choice.draw(st.integers(0, 127) | st.integers(0, msf.block_size - 1))
        changed[at] = choice.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    cut = choice.draw(st.just(len(changed)) | st.integers(0, len(changed)))
    try:
        pdb = read_pdb(bytes(changed[:cut]), "x.pdb", image, codeview.guid, codeview.age)
    except HpbuildError:
        return
    for symbol in pdb.placed + pdb.publics:
        assert symbol.rva + symbol.record.size <= image.size_of_image


def _hostile_input(binaries: Path) -> tuple[Image, bytes]:
    path = binaries / "baseline" / "codec.pdb"
    return read_image(path.with_suffix(".dll")), path.read_bytes()
