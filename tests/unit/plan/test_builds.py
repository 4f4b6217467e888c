"""Findings about the types and tools of two builds, on real files."""

import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.codes import builds as codes
from hpbuild.errors import ExitStatus, Severity
from hpbuild.pe.evidence import Build, load_evidence
from hpbuild.pe.pdb.compilers import Compiler
from hpbuild.pe.reader import read_image
from hpbuild.pipeline import DiffOptions, ModuleDiff, diff_modules
from hpbuild.plan.builds import MAX_TYPES, Builds, build_findings
from tests.type_streams import CHAR, INT, enumeration, enumerator, field_list, member, structure, types


def diff(baseline: Path, fixed: Path, symbols: str = "auto") -> ModuleDiff:
    (found,) = diff_modules(baseline, fixed, DiffOptions(symbols=symbols), lambda *_: None)
    return found


def ids(found: ModuleDiff) -> set[str]:
    return {finding.code.id for finding in found.findings}


@pytest.fixture
def pair(binaries: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of a pair that builds, each with its PDB."""
    for side in ("baseline", "fixed"):
        (tmp_path / side).mkdir()
        for name in ("codec.dll", "codec.pdb"):
            shutil.copy(binaries / side / name, tmp_path / side / name)
    return tmp_path / "baseline" / "codec.dll", tmp_path / "fixed" / "codec.dll"


@pytest.fixture
def build(binaries: Path) -> Build:
    path = binaries / "baseline" / "codec.dll"
    return load_evidence(read_image(path), path).build


def with_types(build: Build, *records: bytes) -> Build:
    return replace(build, types=types(*records))


def test_changed_layout_fail(binaries: Path) -> None:
    folder = binaries / "variants" / "type_layout"
    found = diff(folder / "baseline" / "gadget.dll", folder / "fixed" / "gadget.dll")
    assert found.verdict == "refused"
    (finding,) = [finding for finding in found.findings if finding.code is codes.TYPE_LAYOUT]
    assert finding.place == "reading"
    assert finding.cause == "structure: size 8 -> 12 bytes; field scale is new at offset 8"
    assert (finding.code.severity, finding.code.exit) == (Severity.REFUSE, ExitStatus.NO)


def test_layouts_are_not_compared_without_symbols(binaries: Path) -> None:
    folder = binaries / "variants" / "type_layout"
    found = diff(folder / "baseline" / "gadget.dll", folder / "fixed" / "gadget.dll", "none")
    (finding,) = [finding for finding in found.findings if finding.code is codes.LAYOUTS_NOT_COMPARED]
    assert finding.cause == "baseline: no PDB; fixed: no PDB"
    assert "HP3060" not in ids(found)


def test_one_pdb_is_not_enough(pair: tuple[Path, Path]) -> None:
    pair[1].with_suffix(".pdb").unlink()
    (finding,) = [item for item in diff(*pair).findings if item.code is codes.LAYOUTS_NOT_COMPARED]
    assert finding.cause == "fixed: no PDB"


def test_a_pair_of_one_toolchain_has_no_finding(pair: tuple[Path, Path]) -> None:
    assert not ids(diff(*pair)) & {code.id for code in codes.ROWS}


def test_equal_images_have_no_finding(binaries: Path) -> None:
    folder = binaries / "variants" / "identical"
    assert not ids(diff(folder / "baseline" / "gadget.dll", folder / "fixed" / "gadget.dll"))


def test_another_linker_fail(pair: tuple[Path, Path]) -> None:
    data = bytearray(pair[1].read_bytes())
    (header,) = struct.unpack_from("<I", data, 0x3C)
    data[header + 27] = 42
    pair[1].write_bytes(data)
    found = diff(*pair)
    (finding,) = [finding for finding in found.findings if finding.code is codes.TOOLCHAIN_DIFFERS]
    assert finding.cause == "linker 14.0 -> 14.42"
    assert finding.code.severity is Severity.WARN
    assert found.verdict == "hotpatchable"


def test_another_compiler_fail(pair: tuple[Path, Path]) -> None:
    pdb = pair[1].with_suffix(".pdb")
    data = pdb.read_bytes()
    # The name follows the record's eight version numbers, the last four the code generator's.
    at = data.index(b"clang version")
    pdb.write_bytes(data[: at - 8] + struct.pack("<H", 17000) + data[at - 6 :])
    (finding,) = [item for item in diff(*pair).findings if item.code is codes.TOOLCHAIN_DIFFERS]
    assert finding.cause.startswith("compilers fixed only: clang version")
    assert " 17000.0.0.0 (C, machine 0xd0)" in finding.cause


def test_another_tool_record_fail(build: Build) -> None:
    def with_products(*products: tuple[int, int]) -> Build:
        return replace(build, toolchain=replace(build.toolchain, products=frozenset(products)))

    old, new = with_products((0x105, 30795), (1, 0)), with_products((0x105, 34433), (1, 0))
    (finding,) = build_findings(Builds(old, new), "a.dll")
    assert finding.code is codes.TOOLCHAIN_DIFFERS
    assert finding.place == "a.dll"
    assert finding.cause == (
        "tool records baseline only: product 0x105 build 30795, fixed only: product 0x105 build 34433"
    )
    assert build_findings(Builds(old, with_products()), "a.dll") == []


def test_who_compiled_which_file_does_not_matter(build: Build) -> None:
    def with_object(name: str) -> Build:
        one = Compiler(name, "C", "clang", "1.0.0.0", 0xD0)
        return replace(build, toolchain=replace(build.toolchain, compilers=(one,)))

    assert build_findings(Builds(with_object("a.obj"), with_object("b.obj")), "a.dll") == []


def test_the_last_value_of_an_enumeration_fail(build: Build) -> None:
    def values(*names: str) -> Build:
        rows = (enumerator(name, number) for number, name in enumerate(names))
        return with_types(build, field_list(*rows), enumeration("e", 0x1000))

    (warning,) = build_findings(Builds(values("a", "count"), values("a", "b", "count")), "a.dll")
    assert (warning.code, warning.place) == (codes.ENUMERATION_GREW, "e")
    assert warning.cause == "enumeration: count 1 -> 2"
    (refusal,) = build_findings(Builds(values("a", "b"), values("b", "a")), "a.dll")
    assert refusal.code is codes.TYPE_LAYOUT


def test_damaged_types_are_told(build: Build) -> None:
    bad = with_types(build, structure("s", 0x1005, 4))
    (finding,) = build_findings(Builds(build, bad), "a.dll")
    assert finding.code is codes.LAYOUTS_NOT_COMPARED
    assert "not a list of fields" in finding.cause


def test_many_types_and_many_fields_are_cut(build: Build) -> None:
    def many(target: int) -> Build:
        names = [f"s{number:03}" for number in range(MAX_TYPES + 5)]
        fields = field_list(*(member(name, target, 0) for name in "abcde"))
        return with_types(build, fields, *(structure(name, 0x1000, 8) for name in names))

    findings = build_findings(Builds(many(INT), many(CHAR)), "a.dll")
    assert len(findings) == MAX_TYPES + 1
    assert findings[0].cause.endswith("2 more differences")
    assert findings[-1].cause == "and 5 more types"
