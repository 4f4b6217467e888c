import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.exports import exports
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.msf import open_msf
from hpbuild.pe.pdb.reader import PdbSymbols, Placed
from hpbuild.pe.pdb.records import S_GPROC32, S_LDATA32, S_LPROC32, S_PUB32, S_TRAMPOLINE, Record
from hpbuild.pe.pdb.streams import read_dbi
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.pe.symbols import SymbolKind, Symbols, SymbolScope, joined_symbols, load_symbols


@pytest.fixture
def module(binaries: Path, tmp_path: Path) -> Path:
    """A copy of a module with its PDB."""
    for name in ("codec.dll", "codec.pdb"):
        shutil.copy(binaries / "baseline" / name, tmp_path / name)
    return tmp_path / "codec.dll"


def with_coff_table(data: bytes, row: bytes) -> bytes:
    header = int.from_bytes(data[0x3C:0x40], "little") + 4
    fields = struct.pack("<II", len(data), 1)
    return data[: header + 8] + fields + data[header + 16 :] + row + struct.pack("<I", 4)


FUNCTION_ROW = b"decode\0\0" + struct.pack("<IhHBB", 0x10, 1, 0x20, 2, 0)


def test_auto_takes_the_pdb_next_to_the_image(module: Path) -> None:
    image = read_image(module)
    symbols = load_symbols(image, module, "auto")
    assert symbols.source == "pdb"
    assert symbols.note == ""
    by_name = {s.name: s for s in symbols.items}
    for export in exports(image):
        assert by_name[export.name].rva == export.rva
        assert by_name[export.name].scope is SymbolScope.GLOBAL
        assert by_name[export.name].linkage_name == export.name
        assert by_name[export.name].size > 0
    assert by_name["lookups"].kind is SymbolKind.DATA
    assert by_name["lookups"].scope is SymbolScope.LOCAL
    assert list(symbols.items) == sorted(symbols.items, key=lambda s: (s.rva, s.name))
    assert len(set(symbols.items)) == len(symbols.items)


def test_same_input_same_symbols(module: Path) -> None:
    image = read_image(module)
    assert load_symbols(image, module, "auto") == load_symbols(image, module, "auto")


def test_auto_takes_the_recorded_name(module: Path) -> None:
    renamed = module.with_name("other.dll")
    module.rename(renamed)
    assert load_symbols(read_image(renamed), renamed, "auto").source == "pdb"


def test_explicit_path(module: Path, tmp_path: Path) -> None:
    moved = tmp_path / "store" / "any.name"
    moved.parent.mkdir()
    module.with_suffix(".pdb").rename(moved)
    assert load_symbols(read_image(module), module, "auto").source == "none"
    assert load_symbols(read_image(module), module, str(moved)).source == "pdb"


def test_none_and_no_path(module: Path) -> None:
    image = read_image(module)
    assert load_symbols(image, module, "none") == Symbols(source="none", items=())
    assert load_symbols(image, None, "auto") == Symbols(source="none", items=())


def test_auto_of_another_build_says_so(module: Path, binaries: Path) -> None:
    shutil.copy(binaries / "fixed" / "codec.pdb", module.with_suffix(".pdb"))
    symbols = load_symbols(read_image(module), module, "auto")
    assert symbols.source == "none"
    assert symbols.items == ()
    assert "codec.pdb was not used: GUID" in symbols.note


def test_auto_falls_back_to_the_symbol_table(module: Path, binaries: Path) -> None:
    image = parse_image(with_coff_table(module.read_bytes(), FUNCTION_ROW), "codec.dll")
    assert load_symbols(image, module, "auto").source == "pdb"
    shutil.copy(binaries / "fixed" / "codec.pdb", module.with_suffix(".pdb"))
    symbols = load_symbols(image, module, "auto")
    assert symbols.source == "coff"
    assert [s.name for s in symbols.items] == ["decode"]
    assert "was not used" in symbols.note


def test_auto_with_a_damaged_symbol_table_says_so(module: Path) -> None:
    bad = FUNCTION_ROW[:12] + struct.pack("<h", 90) + FUNCTION_ROW[14:]
    image = parse_image(with_coff_table(module.read_bytes(), bad), "codec.dll")
    symbols = load_symbols(image, None, "auto")
    assert symbols.source == "none"
    assert "names section 90" in symbols.note


def test_explicit_mismatch_fail(module: Path, binaries: Path) -> None:
    with pytest.raises(HpbuildError) as caught:
        load_symbols(read_image(module), module, str(binaries / "fixed" / "codec.pdb"))
    assert caught.value.code is codes.PDB_MISMATCH


def test_image_without_a_recorded_pdb_fail(module: Path) -> None:
    image = read_image(module)
    directories = list(image.directories)
    directories[6] = type(directories[6])(0, 0)
    bare = replace(image, directories=tuple(directories))
    with pytest.raises(HpbuildError) as caught:
        load_symbols(bare, module, str(module.with_suffix(".pdb")))
    assert caught.value.code is codes.PDB_MISMATCH
    assert load_symbols(bare, module, "auto").source == "none"


@pytest.mark.parametrize("name", ["absent.pdb", "folder", "nul\0.pdb"])
def test_unreadable_fail(module: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(HpbuildError) as caught:
        load_symbols(read_image(module), module, str(tmp_path / name))
    assert caught.value.code is codes.SYMBOL_FILE_UNREADABLE


def test_too_large_fail(module: Path, tmp_path: Path) -> None:
    huge = tmp_path / "huge.pdb"
    with huge.open("wb") as stream:
        stream.truncate((2 << 30) + 1)
    with pytest.raises(HpbuildError) as caught:
        load_symbols(read_image(module), module, str(huge))
    assert caught.value.code is codes.PDB_LIMIT


def placed(rva: int, kind: int, name: str, size: int = 0, flags: int = 0) -> Placed:
    return Placed(rva, Record(kind, 1, 0, size, name, flags), "" if kind == S_PUB32 else "m.obj")


def joined(
    image: Image, symbols: list[Placed], publics: list[Placed], **rest: dict[int, int]
) -> list[tuple[object, ...]]:
    pdb = PdbSymbols(
        placed=tuple(symbols),
        publics=tuple(publics),
        contributions=rest.get("contributions", {}),
        thunk_targets=rest.get("targets", {}),
    )
    return [(s.rva, s.size, s.name, s.linkage_name, s.file) for s in joined_symbols(image, pdb)]


def test_public_names_become_linkage_names(module: Path) -> None:
    image = read_image(module)
    symbols = [
        placed(0x1000, S_GPROC32, "A::f", 9),
        placed(0x1010, S_GPROC32, "g", 5),
        placed(0x1020, S_LPROC32, "h", 4),
    ]
    publics = [
        placed(0x1000, S_PUB32, "?f@A@@", flags=2),
        placed(0x1000, S_PUB32, "?folded@B@@", flags=2),
        placed(0x1010, S_PUB32, "g", flags=2),
        placed(0x1020, S_PUB32, "alias", flags=2),
    ]
    assert joined(image, symbols, publics) == [
        (0x1000, 9, "?folded@B@@", "?folded@B@@", ""),
        (0x1000, 9, "A::f", "?f@A@@", "m.obj"),
        (0x1010, 5, "g", "g", "m.obj"),
        (0x1020, 4, "alias", "alias", ""),
        (0x1020, 4, "h", "", "m.obj"),
    ]


def test_folded_functions_keep_all_their_names(module: Path) -> None:
    image = read_image(module)
    symbols = [placed(0x1000, S_GPROC32, "A::f", 9), placed(0x1000, S_GPROC32, "B::f", 9)]
    publics = [placed(0x1000, S_PUB32, "?f@A@@", flags=2), placed(0x1000, S_PUB32, "?f@B@@", flags=2)]
    names = [name for _, _, name, _, _ in joined(image, symbols, publics)]
    assert names == ["?f@A@@", "?f@B@@", "A::f", "B::f"]


def test_variables_of_functions_are_told_apart(module: Path) -> None:
    """Only where one file has several of the name; one that two functions inlined keeps its own."""

    def variable(rva: int, name: str, procedure: str) -> Placed:
        return Placed(rva, Record(S_LDATA32, 2, 0, 0, name, procedure=procedure), "m.obj")

    symbols = [
        variable(0x3000, "count", "f"),
        variable(0x3004, "count", "g"),
        variable(0x3008, "count", "f"),
        variable(0x3008, "count", "g"),
        variable(0x300C, "single", "f"),
    ]
    names = [(rva, name) for rva, _, name, _, _ in joined(read_image(module), symbols, [])]
    assert names == [(0x3000, "f.count"), (0x3004, "g.count"), (0x3008, "count"), (0x300C, "single")]


def test_auto_with_damaged_records_says_so(module: Path) -> None:
    """The PDB is of this build and its records are not to be read: no symbols; by path it refuses."""
    file = module.with_suffix(".pdb")
    data = file.read_bytes()
    msf = open_msf(data, "codec.pdb")
    row = next(row for row in read_dbi(msf).modules if row.name == "registry.obj")
    start = int(msf.blocks[int(msf.first[row.stream])]) * msf.block_size
    file.write_bytes(data[:start] + b"\1" + data[start + 1 :])
    symbols = load_symbols(read_image(module), module, "auto")
    assert (symbols.source, symbols.items) == ("none", ())
    assert "codec.pdb was not used: symbols are not in the C13 format" in symbols.note
    with pytest.raises(HpbuildError) as caught:
        load_symbols(read_image(module), module, str(file))
    assert caught.value.code is codes.PDB_UNSUPPORTED


def test_data_gets_the_contribution_it_is_alone_in(module: Path) -> None:
    image = read_image(module)
    symbols = [placed(0x3000, S_LDATA32, "a"), placed(0x3010, S_LDATA32, "b"), placed(0x3018, S_LDATA32, "c")]
    contributions = {0x3000: 0x10, 0x3010: 0x10}
    sizes = [size for _, size, _, _, _ in joined(image, symbols, [], contributions=contributions)]
    assert sizes == [0x10, 0, 0]


def test_trampolines_are_named_by_their_goal(module: Path) -> None:
    image = read_image(module)
    symbols = [
        placed(0x1000, S_TRAMPOLINE, "", 5),
        placed(0x1005, S_TRAMPOLINE, "", 5),
        placed(0x1100, S_GPROC32, "A::f", 9),
    ]
    publics = [placed(0x1100, S_PUB32, "?f@A@@", flags=2)]
    assert joined(image, symbols, publics, targets={0x1000: 0x1100, 0x1005: 0x1200}) == [
        (0x1000, 5, "ilt:?f@A@@", "", "m.obj"),
        (0x1100, 9, "A::f", "?f@A@@", "m.obj"),
    ]
