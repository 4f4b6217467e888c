"""inspect, compare."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Runner = Callable[..., Any]


def test_inspect_says_that_it_verified_nothing(hpbuild: Runner, package: Any) -> None:
    text = hpbuild("inspect", package.path)
    document = hpbuild("inspect", package.path, "--format", "json").document()
    assert text.out.startswith("nothing here was verified")
    assert "1 signature, not checked" in text.out
    assert document["verified"] is False
    assert document["signatures"][0]["verified"] is False


def test_inspect_shows_old_and_new_bytes(hpbuild: Runner, package: Any) -> None:
    module = package.release.module
    document = hpbuild("inspect", package.path, "--format", "json").document()
    shown = document["modules"][0]["redirections"]
    assert [(item["old"], item["new"]) for item in shown] == [
        (item.old.hex(), item.new.hex()) for item in module.redirections
    ]
    assert document["modules"][0]["baseline"]["sha256"] == module.baseline.sha256.hex
    assert module.redirections[0].new.hex() in hpbuild("inspect", package.path).out


def test_inspect_assembly_side_by_side(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("inspect", package.path, "--asm", "--baseline", package.baseline, "--format", "json")
    functions = run.document()["disassembly"]
    assert [item["name"] for item in functions] == [item.name for item in package.release.module.functions]
    assert functions[0]["baseline"][0]["rva"] == package.release.module.functions[0].baseline[0].start
    assert functions[0]["patch"][-1]["text"] == "ret"
    text = hpbuild("inspect", package.path, "--asm", "--baseline", package.baseline).out
    assert "code of function0 in codec.dll" in text
    assert "patch image" in text


def test_inspect_assembly_without_a_baseline_shows_the_new_side(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("inspect", package.path, "--asm", "--format", "json")
    assert {item["baseline"] is None for item in run.document()["disassembly"]} == {True}


def test_inspect_assembly_wants_the_right_baseline(hpbuild: Runner, package: Any, binaries: Path) -> None:
    run = hpbuild("inspect", package.path, "--asm", "--baseline", binaries / "fixed" / "codec.dll")
    assert run.status == 3
    assert "HP9012" in run.err


def test_inspect_a_tree_of_baselines(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("inspect", package.path, "--asm", "--baseline", package.baseline.parent, "--format", "json")
    assert run.document()["disassembly"][0]["baseline"]


@pytest.mark.parametrize("extra", [("--baseline", "b.dll"), ()])
def test_inspect_options_that_do_not_fit(hpbuild: Runner, package: Any, extra: tuple[str, ...]) -> None:
    target = (package.path, *extra) if extra else (package.baseline, "--asm")
    run = hpbuild("inspect", *target)
    assert run.status == 2
    assert "HP9001" in run.err


def test_inspect_another_kind_of_file(hpbuild: Runner, tmp_path: Path) -> None:
    for content in (b"", b"#!/bin/sh\n"):
        (tmp_path / "f").write_bytes(content)
        run = hpbuild("inspect", tmp_path / "f")
        assert run.status == 4
        assert "HP9010" in run.err


def test_inspect_an_image(hpbuild: Runner, package: Any) -> None:
    document = hpbuild("inspect", package.baseline, "--format", "json").document()
    assert document["kind"] == "image"
    assert document["verified"] is False
    assert document["pin"]["sha256"] == package.release.module.baseline.sha256.hex
    assert document["hotpatch_table"] is None
    assert {"runtime functions", "exports"} <= document["counts"].keys()
    text = hpbuild("inspect", package.baseline).out
    assert ".text" in text
    assert document["pin"]["sha256"] in text


def test_inspect_a_native_hotpatch_table(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    (content,) = package.release.images.values()
    path = tmp_path / "patch.dll"
    path.write_bytes(content)
    table = hpbuild("inspect", path, "--format", "json").document()["hotpatch_table"]
    records = [
        record
        for chunk in table["bases"][0]["chunks"]
        if chunk["kind"] == "FUNCTION"
        for record in chunk["records"]
    ]
    assert {record["written"] for record in records} == {
        item.entry for item in package.release.module.redirections
    }
    assert "FUNCTION" in hpbuild("inspect", path).out


def test_inspect_keeps_looking_when_one_table_is_broken(
    hpbuild: Runner, package: Any, tmp_path: Path
) -> None:
    data = bytearray(package.baseline.read_bytes())
    optional = int.from_bytes(data[0x3C:0x40], "little") + 24
    exceptions = optional + 112 + 3 * 8
    size = int.from_bytes(data[exceptions + 4 : exceptions + 8], "little")
    data[exceptions + 4 : exceptions + 8] = (size - 1).to_bytes(4, "little")
    path = tmp_path / "broken.dll"
    path.write_bytes(data)
    document = hpbuild("inspect", path, "--format", "json").document()
    assert "runtime functions" not in document["counts"]
    assert "exports" in document["counts"]
    assert document["findings"][0]["code"].startswith("HP1")


def test_compare_a_package_with_its_unsigned_self(hpbuild: Runner, package: Any) -> None:
    other = package.beside("unsigned.hpb")
    run = hpbuild("compare", package.path, other, "--format", "json")
    document = run.document()
    assert (run.status, document["verdict"], document["same_bytes"]) == (0, "same", False)
    assert (document["a"]["signatures"], document["b"]["signatures"]) == (1, 0)
    assert "differ only in the signatures" in hpbuild("compare", package.path, other).out


def test_compare_names_every_difference(hpbuild: Runner, package: Any, replaced: Callable[..., Any]) -> None:
    module = package.release.module
    other = package.other_module(
        "other.hpb",
        functions=(replaced(module.functions[0], reason="referrer"), module.functions[1]),
        redirections=(
            module.redirections[0],
            replaced(module.redirections[1], new=module.redirections[1].new[:-1] + b"\x90"),
        ),
        exclusions=(),
    )
    run = hpbuild("compare", package.path, other, "--format", "json")
    kinds = [item["kind"] for item in run.document()["differences"]]
    assert run.status == 1
    assert kinds == ["reason", "redirection", "exclusion"]
    assert "the packages differ" in hpbuild("compare", package.path, other).out


def test_compare_sees_other_code(hpbuild: Runner, package: Any, replaced: Callable[..., Any]) -> None:
    module = package.release.module
    first, second = module.functions
    swapped = (replaced(first, patch=second.patch), replaced(second, patch=first.patch))
    other = package.other_module("other.hpb", functions=swapped)
    kinds = {
        item["kind"]
        for item in hpbuild("compare", package.path, other, "--format", "json").document()["differences"]
    }
    assert kinds == {"code"}


def test_compare_sees_identity(hpbuild: Runner, package: Any) -> None:
    other = package.beside("other.hpb", sequence=8, advisories=())
    document = hpbuild("compare", package.path, other, "--format", "json").document()
    places = {item["place"]: (item["a"], item["b"]) for item in document["differences"]}
    assert places == {"sequence": ("7", "8"), "advisories": ("CVE-2026-0001", "")}


def test_compare_misses_nothing(hpbuild: Runner, package: Any) -> None:
    module = package.release.module
    other = package.other_module("other.hpb", references=module.references[:1])
    document = hpbuild("compare", package.path, other, "--format", "json").document()
    assert document["verdict"] == "different"
    assert [item["place"] for item in document["differences"]] == ["manifest.json", "statement.json"]


def test_a_range_outside_the_patch_image(hpbuild: Runner, package: Any, replaced: Callable[..., Any]) -> None:
    from hpbuild.values import Interval

    module = package.release.module
    far = Interval(0x7FFF0000, 0x7FFF0000 + len(module.functions[0].patch[0]))
    other = package.other_module(
        "other.hpb", functions=(replaced(module.functions[0], patch=(far,)), module.functions[1])
    )
    for line in (("inspect", other, "--asm"), ("compare", package.path, other)):
        run = hpbuild(*line)
        assert run.status == 4
        assert "HP9014" in run.err
