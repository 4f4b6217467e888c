import json
import lzma
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe import coff_symbols as module
from hpbuild.pe.coff_symbols import coff_symbols, has_coff_symbols
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.pe.symbol_model import Symbol, SymbolKind, SymbolScope
from hpbuild.values import Rva

EXTERNAL, STATIC, LABEL, FILE, WEAK = 2, 3, 6, 103, 105
FUNCTION = 0x20


@dataclass(frozen=True)
class Row:
    name: bytes
    value: int = 0
    section: int = 1
    type: int = 0
    storage: int = STATIC
    auxiliary: tuple[bytes, ...] = ()


def with_table(
    data: bytes, rows: list[Row], strings_size: int | None = None, count: int | None = None
) -> bytes:
    """``data`` with a symbol table and string table behind its last byte."""
    strings = bytearray(4)
    table = bytearray()
    for row in rows:
        if len(row.name) > 8:
            name = struct.pack("<II", 0, len(strings))
            strings += row.name + b"\0"
        else:
            name = row.name.ljust(8, b"\0")
        table += name + struct.pack(
            "<IhHBB", row.value, row.section, row.type, row.storage, len(row.auxiliary)
        )
        table += b"".join(part.ljust(18, b"\0") for part in row.auxiliary)
    strings[:4] = struct.pack("<I", len(strings) if strings_size is None else strings_size)
    header = int.from_bytes(data[0x3C:0x40], "little") + 4
    fields = struct.pack("<II", len(data), len(table) // 18 if count is None else count)
    return data[: header + 8] + fields + data[header + 16 :] + bytes(table) + bytes(strings)


@pytest.fixture(scope="module")
def plain(binaries: Path) -> bytes:
    return (binaries / "baseline" / "codec.dll").read_bytes()


def contribution(name: bytes, value: int, size: int, section: int = 1) -> Row:
    return Row(name, value, section, auxiliary=(struct.pack("<I", size),))


def file_row(name: bytes, end: int) -> Row:
    return Row(b".file", end, -2, 0, FILE, (name,))


def found(plain: bytes, rows: list[Row]) -> list[tuple[int, int, str, str, str, str]]:
    image = parse_image(with_table(plain, rows), "codec.dll")
    return [
        (s.rva - image.sections[0].rva, s.size, s.name, s.kind.value, s.scope.value, s.file)
        for s in coff_symbols(image)
    ]


def test_none_without_a_table(binaries: Path) -> None:
    image = read_image(binaries / "baseline" / "codec.dll")
    assert not has_coff_symbols(image)
    assert coff_symbols(image) == ()


def test_functions_data_files_and_extents(plain: bytes) -> None:
    image = parse_image(plain, "codec.dll")
    data_section = next(i for i, s in enumerate(image.sections) if s.name == ".rdata") + 1
    data_at = image.sections[data_section - 1].rva - image.sections[0].rva
    rows = [
        file_row(b"/src/lib/first.c", 11),
        Row(b"start", 0x10, type=FUNCTION),
        contribution(b".text$start", 0x10, 0x2D),
        contribution(b".text$LogDecode", 0x40, 0x11),
        Row(b"a_table_of_names", 0x20, data_section),
        contribution(b".rdata$a_table_of_names", 0x20, 0x18, data_section),
        file_row(b"fake", 17),
        contribution(b".text.startup.run", 0x60, 0x9),
        contribution(b".rdata$zzz", 0x38, 4, data_section),
        contribution(b".text", 0x70, 0x20),
        Row(b"global_one", 0x80, type=FUNCTION, storage=EXTERNAL),
    ]
    assert found(plain, rows) == [
        (0x10, 0x2D, "start", "function", "local", "first.c"),
        (0x40, 0x11, "LogDecode", "function", "local", "first.c"),
        (0x60, 0x9, "run", "function", "local", ""),
        (0x80, 0, "global_one", "function", "global", ""),
        (data_at + 0x20, 0x18, "a_table_of_names", "data", "local", "first.c"),
    ]


def test_globals_behind_the_last_file_have_no_file(plain: bytes) -> None:
    rows = [
        file_row(b"a.c", 3),
        Row(b"one", 1, type=FUNCTION),
        Row(b"two", 2, type=FUNCTION, storage=EXTERNAL),
    ]
    assert [(name, file) for _, _, name, _, _, file in found(plain, rows)] == [("one", "a.c"), ("two", "")]


def test_what_is_no_symbol(plain: bytes) -> None:
    image = parse_image(plain, "codec.dll")
    discarded = next(i for i, s in enumerate(image.sections) if s.name == ".reloc") + 1
    rows = [
        Row(b"undef", 0, 0, FUNCTION, EXTERNAL),
        Row(b"absolute", 4, -1, 0, EXTERNAL),
        Row(b"weak", 0, 0, FUNCTION, WEAK, (b"\0" * 18,)),
        Row(b"label", 4, 1, 0, LABEL),
        Row(b".L12", 4, 1, 0, STATIC),
        Row(b"past_end", 0x7FFFFFFF, 1, FUNCTION, EXTERNAL),
        Row(b"debug", 0, discarded, 0, EXTERNAL),
    ]
    assert found(plain, rows) == []


def test_reference_pointers_are_data(plain: bytes) -> None:
    image = parse_image(plain, "codec.dll")
    index = next(i for i, s in enumerate(image.sections) if s.name == ".rdata") + 1
    rows = [
        Row(b".refptr.counter", 8, index, storage=EXTERNAL),
        contribution(b".rdata$.refptr.counter", 8, 8, index),
    ]
    assert [(name, size, kind) for _, size, name, kind, _, _ in found(plain, rows)] == [
        (".refptr.counter", 8, "data")
    ]


def test_aliases_share_an_extent(plain: bytes) -> None:
    rows = [
        Row(b"_ZN1AC1Ev", 0x10, type=FUNCTION, storage=EXTERNAL),
        Row(b"_ZN1AC2Ev", 0x10, type=FUNCTION, storage=EXTERNAL),
        contribution(b".text$_ZN1AC2Ev", 0x10, 7),
    ]
    assert [(name, size) for _, size, name, _, _, _ in found(plain, rows)] == [
        ("_ZN1AC1Ev", 7),
        ("_ZN1AC2Ev", 7),
    ]


@pytest.mark.parametrize(
    ("rows", "changes", "cause"),
    [
        ([Row(b"f")], {"count": 1 << 30}, "leave the file"),
        ([Row(b"f")], {"strings_size": 3}, "string table"),
        ([Row(b"f")], {"strings_size": 5}, "string table"),
        ([Row(b"f", auxiliary=(b"", b""))], {"count": 2}, "string table"),
        ([Row(b"f", auxiliary=(b"",)), Row(b"g")], {"count": 1}, "string table"),
        ([Row(b"\0\0\0\0\x09\0\0\0")], {}, "string table"),
        ([Row(b"\0\0\0\0\x01\0\0\0")], {}, "string table"),
        ([Row(b"f", section=90)], {}, "names section 90"),
        ([contribution(b".text$f", 0, 1 << 30)], {}, "leave the section"),
    ],
)
def test_damaged_table_fail(plain: bytes, rows: list[Row], changes: dict[str, int], cause: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        coff_symbols(parse_image(with_table(plain, rows, **changes), "codec.dll"))
    assert caught.value.code is codes.COFF_SYMBOLS_MALFORMED
    assert cause in caught.value.finding.cause


def test_too_many_rows_fail(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    image = parse_image(with_table(plain, [Row(b"f", 0x10)] * 3), "x")
    monkeypatch.setattr(module, "MAX_ROWS", 2)
    with pytest.raises(HpbuildError) as caught:
        coff_symbols(image)
    assert caught.value.code is codes.COFF_SYMBOLS_MALFORMED
    assert "at most 2" in caught.value.finding.cause


def test_auxiliary_rows_leave_the_table_fail(plain: bytes) -> None:
    data = bytearray(with_table(plain, [Row(b"f")]))
    data[len(plain) + 17] = 3
    with pytest.raises(HpbuildError) as caught:
        coff_symbols(parse_image(bytes(data), "codec.dll"))
    assert caught.value.code is codes.COFF_SYMBOLS_MALFORMED
    assert "auxiliary" in caught.value.finding.cause


@settings(max_examples=200, deadline=None)
@given(table=st.binary(min_size=18, max_size=200), choice=st.data())
def test_any_table_is_refused_or_read(binaries: Path, table: bytes, choice: st.DataObject) -> None:
    data = (binaries / "baseline" / "codec.dll").read_bytes()
    count = choice.draw(st.integers(1, len(table) // 18))
    header = int.from_bytes(data[0x3C:0x40], "little") + 4
    data = data[: header + 8] + struct.pack("<II", len(data), count) + data[header + 16 :] + table
    image = parse_image(data, "codec.dll")
    try:
        symbols = coff_symbols(image)
    except HpbuildError as error:
        assert error.finding.place == "codec.dll"  # noqa: PT017 - either outcome is right
        return
    assert all(s.rva + s.size <= image.size_of_image for s in symbols)


@pytest.fixture(scope="module")
def mingw(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, list[dict[str, object]]]:
    """A mingw DLL of the corpus beside the checkout with the functions its ground truth names."""
    archive = root.parent / "shared" / "corpus" / "tiff--CVE-2023-52356.tar.xz"
    if not archive.is_file():
        pytest.skip("the binary patch corpus is not beside the checkout")
    folder = tmp_path_factory.mktemp("corpus")
    with lzma.open(archive) as stream, tarfile.open(fileobj=stream) as tar:
        tar.extractall(folder, filter="data")
    build = folder / "tiff--CVE-2023-52356" / "gcc"
    truth = json.loads((build / "truth.json").read_text())
    return read_image(build / "baseline" / "tiff.dll"), truth["functions"]["changed"]


def test_mingw_image(mingw: tuple[Image, list[dict[str, object]]]) -> None:
    image, changed = mingw
    symbols = coff_symbols(image)
    names = {s.name: s for s in symbols}
    assert list(symbols) == sorted(symbols, key=lambda s: (s.rva, s.name))
    assert changed
    assert all(names[str(row["name"])].kind is SymbolKind.FUNCTION for row in changed)
    # A static function whose name begins with L has no symbol, only its contribution.
    assert names["LogLuvFixupTags"] == Symbol(
        rva=Rva(image.sections[0].rva + 0x132E0),
        size=6,
        name="LogLuvFixupTags",
        kind=SymbolKind.FUNCTION,
        scope=SymbolScope.LOCAL,
        file="tif_luv.c",
        linkage_name="LogLuvFixupTags",
    )
