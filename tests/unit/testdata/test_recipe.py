"""The example binaries: they are what the recipe makes, and each pair shows what its name says."""

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pefile
import pytest

VARIANTS = (
    "constant_table", "data_init", "folded", "identical", "initialiser", "line_only", "new_export",
    "new_import", "pad_jump", "rebased", "removed", "static_var", "tls", "type_layout",
)  # fmt: skip
TRAPS = (
    "constant_object", "constructor", "constructor_grown", "delayed", "dllmain_variable", "ending", "endless",
    "export_moved", "exports", "folded_new", "load_only", "load_too", "mitigations", "taken",
    "thread_callback", "thread_swap", "thread_use",
)  # fmt: skip
Pair = tuple[pefile.PE, pefile.PE]


@pytest.fixture(scope="module")
def recipe(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("testdata_build", root / "testdata" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pair(binaries: Path) -> Callable[[str], Pair]:
    def load(name: str) -> Pair:
        folder, _, file = name.rpartition("/")
        sides = [binaries / folder / side / f"{file}.dll" for side in ("baseline", "fixed")]
        baseline, fixed = (pefile.PE(data=path.read_bytes()) for path in sides)
        return baseline, fixed

    return load


def section(image: pefile.PE, name: str) -> bytes:
    return next(
        s.get_data()[: s.Misc_VirtualSize] for s in image.sections if s.Name.rstrip(b"\0") == name.encode()
    )


def exported(image: pefile.PE) -> dict[str, int]:
    return {symbol.name.decode(): symbol.address for symbol in image.DIRECTORY_ENTRY_EXPORT.symbols}


def imported(image: pefile.PE) -> set[str]:
    return {item.name.decode() for library in image.DIRECTORY_ENTRY_IMPORT for item in library.imports}


def function(image: pefile.PE, name: str) -> bytes:
    """The bytes of an exported function, by its unwind entry."""
    rva = exported(image)[name]
    entry = next(e.struct for e in image.DIRECTORY_ENTRY_EXCEPTION if e.struct.BeginAddress == rva)
    return image.get_data(rva, entry.EndAddress - rva)


def functions(image: pefile.PE) -> int:
    return len(image.DIRECTORY_ENTRY_EXCEPTION)


def test_committed_binaries_have_the_listed_digests(root: Path, recipe: ModuleType, binaries: Path) -> None:
    assert recipe.sums(binaries) == (root / "testdata" / "SHA256SUMS").read_text()


def test_list_names_every_library_of_the_recipe(root: Path, recipe: ModuleType) -> None:
    listed = set(re.findall(r"(?m)^[0-9a-f]{64}  bin/(\S+)$", (root / "testdata" / "SHA256SUMS").read_text()))
    assert listed == {
        (Path(library.folder) / side / f"{library.name}.{suffix}").as_posix()
        for library in recipe.LIBRARIES
        for side in ("baseline", "fixed")
        for suffix in (("dll", "pdb") if library.pdb else ("dll",))
    } | {f"{name}.exe" for name in recipe.PROGRAMS}
    assert {library.folder for library in recipe.LIBRARIES} - {".", "scenes"} == {
        *(f"variants/{name}" for name in VARIANTS),
        *(f"traps/{name}" for name in TRAPS),
    }


def test_building_again_elsewhere_gives_the_same_bytes(
    root: Path, recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("missing tool: ziglang")
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ZIG_LOCAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(recipe.tempfile, "tempdir", str(tmp_path))
    recipe.build(tmp_path / "a folder" / "bin")
    assert recipe.sums(tmp_path / "a folder" / "bin") == (root / "testdata" / "SHA256SUMS").read_text()


ABSOLUTE_PATH = re.compile(rb"(?:/[\w.+-]+){2,}\.(?:cpp|c|h|obj|lib|pdb)\b|\b[A-Za-z]:\\\\?[\w.]")


def test_no_path_of_the_building_machine_is_inside(root: Path, binaries: Path) -> None:
    assert ABSOLUTE_PATH.search(b"x" + str(root / "src" / "codec.obj").encode())
    for path in binaries.rglob("*.pdb"):
        assert not ABSOLUTE_PATH.search(path.read_bytes()), path
    for path in binaries.rglob("*.exe"):
        assert not ABSOLUTE_PATH.search(path.read_bytes()), path
    for path in binaries.rglob("*.dll"):
        debug = pefile.PE(data=path.read_bytes()).DIRECTORY_ENTRY_DEBUG[0].entry
        assert debug.PdbFileName.rstrip(b"\0") == path.with_suffix(".pdb").name.encode()


def test_binaries_are_small(binaries: Path) -> None:
    assert max(path.stat().st_size for path in binaries.rglob("*.dll")) <= 20_000
    assert max(path.stat().st_size for path in binaries.rglob("*.exe")) <= 32_000
    assert max(path.stat().st_size for path in binaries.rglob("*.pdb")) <= 128_000


def test_a_patch_that_does_not_fit_is_refused(recipe: ModuleType) -> None:
    patch = "--- a/x.c\n+++ b/x.c\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"
    assert recipe.patched({"x.c": "one\ntwo\n"}, patch) == {"x.c": "one\nthree\n"}
    with pytest.raises(SystemExit, match=r"x\.c:2: the patch expects"):
        recipe.patched({"x.c": "one\nother\n"}, patch)


@pytest.mark.parametrize("name", ["codec", "throwing"])
def test_fixed_version_is_hotpatchable_in_outline(pair: Callable[[str], Pair], name: str) -> None:
    baseline, fixed = pair(name)
    assert exported(baseline).keys() == exported(fixed).keys()
    assert imported(baseline) == imported(fixed)
    assert section(baseline, ".text") != section(fixed, ".text")


@pytest.mark.parametrize("side", [0, 1])
def test_codec_has_jump_tables(pair: Callable[[str], Pair], side: int) -> None:
    image = pair("codec")[side]
    start = exported(image)["codec_transform"]
    # movslq (%reg,%rax,4), %rax ; addq %reg, %rax ; jmpq *%rax
    jumps = re.findall(
        rb"[\x48-\x4b]\x63\x04[\x80-\x87][\x48-\x4c]\x01.\xff\xe0", function(image, "codec_transform")
    )
    assert len(jumps) == 1
    tables = re.findall(rb"[\x48\x4c]\x8d[\x05-\x3d](....)", function(image, "codec_transform"), re.DOTALL)
    end = start + len(function(image, "codec_transform"))
    assert any(
        all(start <= table + entry < end for entry in entries)
        for table, entries in ((rva, first_words(image, rva, 8)) for rva in operands(image, start, end))
    ), tables


def operands(image: pefile.PE, start: int, end: int) -> list[int]:
    """RVAs that `lea reg, [rip+x]` instructions between *start* and *end* name."""
    code = image.get_data(start, end - start)
    found = re.finditer(rb"[\x48\x4c]\x8d[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]", code)
    sites = [match.end() for match in found if match.end() + 4 <= len(code)]
    return [start + at + 4 + int.from_bytes(code[at : at + 4], "little", signed=True) for at in sites]


def first_words(image: pefile.PE, rva: int, count: int) -> list[int]:
    """The first *count* signed 32-bit words at *rva*."""
    data = image.get_data(rva, 4 * count)
    return [int.from_bytes(data[i : i + 4], "little", signed=True) for i in range(0, len(data), 4)]


def test_codec_gains_one_function_and_a_table_of_pointers(pair: Callable[[str], Pair]) -> None:
    baseline, fixed = pair("codec")
    assert functions(fixed) == functions(baseline) + 1
    sites = [
        sum(len(block.entries) for block in image.DIRECTORY_ENTRY_BASERELOC) for image in (baseline, fixed)
    ]
    assert sites[1] > sites[0]
    assert b"run does not fit" in section(fixed, ".rdata")
    assert b"run does not fit" not in section(baseline, ".rdata")


def test_throwing_has_both_handlers_guard_tables_and_unrelocated_addresses(
    pair: Callable[[str], Pair],
) -> None:
    for image in pair("throwing"):
        assert {"__CxxFrameHandler3", "__C_specific_handler"} <= imported(image)
        config = image.DIRECTORY_ENTRY_LOAD_CONFIG.struct
        assert config.GuardCFFunctionCount > 0
        base = image.OPTIONAL_HEADER.ImageBase
        assert base < config.SecurityCookie < base + image.OPTIONAL_HEADER.SizeOfImage
        code = image.get_data(exported(image)["severity_name"], 32)
        at = code.index(b"\x8b\x84\x82") + 3
        table = int.from_bytes(code[at : at + 4], "little")
        assert [image.get_string_at_rva(rva) for rva in first_words(image, table, 3)] == [
            b"note",
            b"warning",
            b"error",
        ]


@pytest.mark.parametrize("name", ["identical", "rebased"])
def test_same_functions_in_another_place(pair: Callable[[str], Pair], name: str) -> None:
    baseline, fixed = pair(f"variants/{name}/gadget")
    sizes = [
        sorted(e.struct.EndAddress - e.struct.BeginAddress for e in image.DIRECTORY_ENTRY_EXCEPTION)
        for image in (baseline, fixed)
    ]
    assert sizes[0] == sizes[1]
    if name == "rebased":
        assert section(baseline, ".text") == section(fixed, ".text")
        assert baseline.OPTIONAL_HEADER.ImageBase != fixed.OPTIONAL_HEADER.ImageBase
    else:
        order = [sorted(exported(image), key=exported(image).__getitem__) for image in (baseline, fixed)]
        assert order[0] != order[1]


@pytest.mark.parametrize(
    ("name", "same_code"), [("data_init", True), ("constant_table", True), ("line_only", False)]
)
def test_one_value_differs(pair: Callable[[str], Pair], name: str, same_code: bool) -> None:
    baseline, fixed = pair(f"variants/{name}/gadget")
    assert (section(baseline, ".text") == section(fixed, ".text")) is same_code
    assert len(section(baseline, ".text")) == len(section(fixed, ".text"))
    assert (section(baseline, ".data") != section(fixed, ".data")) is (name == "data_init")
    if name == "line_only":
        difference = [
            after - before
            for before, after in zip(section(baseline, ".text"), section(fixed, ".text"), strict=True)
            if before != after
        ]
        assert difference == [5]


def test_new_import_and_new_export(pair: Callable[[str], Pair]) -> None:
    baseline, fixed = pair("variants/new_import/gadget")
    assert imported(fixed) - imported(baseline) == {"GetCurrentProcessId"}
    baseline, fixed = pair("variants/new_export/gadget")
    assert exported(fixed).keys() - exported(baseline).keys() == {"gadget_budget"}


def test_removed_function_and_new_variables(pair: Callable[[str], Pair]) -> None:
    baseline, fixed = pair("variants/removed/gadget")
    assert functions(fixed) == functions(baseline) - 1
    baseline, fixed = pair("variants/static_var/gadget")
    assert (2**31 - 1).to_bytes(4, "little") in section(fixed, ".data")
    assert (2**31 - 1).to_bytes(4, "little") not in section(baseline, ".data")


def test_tls_template_grows(pair: Callable[[str], Pair]) -> None:
    templates = []
    for image in pair("variants/tls/gadget"):
        directory = image.DIRECTORY_ENTRY_TLS.struct
        start = directory.StartAddressOfRawData - image.OPTIONAL_HEADER.ImageBase
        templates.append(
            image.get_data(start, directory.EndAddressOfRawData - directory.StartAddressOfRawData)
        )
    assert (5).to_bytes(4, "little") in templates[1]
    assert len(templates[1]) > len(templates[0])


def test_folded_functions_share_an_entry_only_in_the_baseline(pair: Callable[[str], Pair]) -> None:
    entries = [
        (exported(image)["gadget_lower_left"], exported(image)["gadget_lower_right"])
        for image in pair("variants/folded/gadget")
    ]
    assert entries[0][0] == entries[0][1]
    assert entries[1][0] != entries[1][1]


def test_pad_jump_has_room_before_the_changed_function(pair: Callable[[str], Pair]) -> None:
    for image in pair("variants/pad_jump/gadget"):
        entry = exported(image)["gadget_lower_left"]
        assert set(image.get_data(entry - 6, 6)) == {0xCC}
        assert image.get_data(entry, 1) != b"\x55"  # not the one-byte push rbp of the other examples


@pytest.mark.parametrize("name", ["initialiser", "pad_jump", "type_layout"])
def test_code_differs(pair: Callable[[str], Pair], name: str) -> None:
    baseline, fixed = pair(f"variants/{name}/gadget")
    assert section(baseline, ".text") != section(fixed, ".text")
    assert exported(baseline).keys() == exported(fixed).keys()
    assert section(baseline, ".data") == section(fixed, ".data")
