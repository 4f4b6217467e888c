"""``diff --explain-function``: why a function is called changed, added, removed or identical."""

import shutil
from pathlib import Path
from typing import Any

import pytest


def explained(hpbuild: Any, release: Any, *names: str, more: tuple[object, ...] = ()) -> list[dict[str, Any]]:
    options = [item for name in names for item in ("--explain-function", name)]
    run = hpbuild("diff", release.baseline, release.fixed, *options, "--format", "json", *more)
    assert run.status == 0, run
    found: list[dict[str, Any]] = run.document()["explanations"]
    return found


def test_a_changed_function_shows_both_sides(hpbuild: Any, release: Any) -> None:
    (found,) = explained(hpbuild, release, "codec_status_text")
    assert (found["change"], found["match_level"]) == ("changed", "symbol")
    for side in ("fixed_code", "baseline_code"):
        (line,) = [line for line in found[side] if line["differs"]]
        assert line["text"].startswith("cmp ecx,")
        assert f"{line['rva']:#x}" in found["reason"]
    assert found["disagreement"]["fixed"]["content"] == '"unknown status"'
    assert found["disagreement"]["baseline"]["content"] == '"unknown codec"'


def test_names_and_addresses_of_both_images(hpbuild: Any, release: Any) -> None:
    (by_name,) = explained(hpbuild, release, "codec_status_text")
    places = f"{by_name['fixed'][0]['rva']:#x}", f"baseline:{by_name['baseline'][0]['rva']:#x}"
    for found in explained(hpbuild, release, *places):
        assert {**found, "asked": "codec_status_text"} == by_name
    for found in explained(hpbuild, release, places[0], more=("--symbols", "none")):
        assert found["match_level"] == "export"


def test_several_functions_in_the_order_that_was_asked(hpbuild: Any, release: Any) -> None:
    asked = ("tail_status", "codec_find", "codec_transform")
    found = explained(hpbuild, release, *asked)
    assert [(item["asked"], item["change"]) for item in found] == list(
        zip(asked, ("added", "identical", "changed"), strict=True)
    )
    identical = found[1]
    assert identical["references"] > 0
    assert identical["witnesses"]["names"]
    assert identical["disagreement"] is None
    assert identical["fixed_code"] == []


def test_the_text_shows_the_difference(hpbuild: Any, release: Any) -> None:
    words = ("diff", release.baseline, release.fixed, "--explain-function", "codec_status_text")
    run = hpbuild(*words, "--explain-function", "codec_find")
    assert run.status == 0
    for text in ("codec_status_text: changed", "codec_find: identical", "cmp ecx", '"unknown codec"', "lea"):
        assert text in run.out
    assert "runlength_decode" not in run.out
    assert "runlength_decode" in hpbuild(*words, "-v").out
    assert "codec_status_text" in hpbuild(*words, "--color", "always").out


@pytest.mark.parametrize("name", ["codec_statustext", "0x10", "baseline:0x10", "", "\x1b[2J"])
def test_what_is_no_function_is_refused(hpbuild: Any, release: Any, name: str) -> None:
    words = ("diff", release.baseline, release.fixed, "--explain-function", name)
    run = hpbuild(*words, "--format", "json")
    assert run.error() == (2, "HP2110")
    if name == "codec_statustext":
        assert "codec_status_text" in run.document()["error"]["cause"]
    assert "\x1b" not in hpbuild(*words).err


def test_without_symbols_the_evidence_is_the_code(hpbuild: Any, release: Any) -> None:
    found = explained(hpbuild, release, "0x1150", "codec_find", more=("--symbols", "none"))
    assert [item["name"] for item in found] == ["sub_1150", "codec_find"]
    assert found[0]["match_level"] not in ("", "symbol")
    assert found[0]["evidence"]


def test_a_tree_wants_the_module(hpbuild: Any, binaries: Path, tmp_path: Path) -> None:
    for side in ("baseline", "fixed"):
        (tmp_path / side).mkdir()
        for name in ("codec.dll", "throwing.dll"):
            shutil.copy(binaries / side / name, tmp_path / side)
    words = ("diff", tmp_path / "baseline", tmp_path / "fixed", "--format", "json", "--explain-function")
    assert hpbuild(*words, "0x1000").error() == (2, "HP2111")
    document = hpbuild(*words, "throwing.dll!0x1000", "--explain-function", "codec_find").document()
    parts = {Path(item["fixed"]).name: item["explanations"] for item in document["modules"]}
    assert [item["asked"] for item in parts["throwing.dll"]] == ["throwing.dll!0x1000"]
    assert [item["name"] for item in parts["codec.dll"]] == ["codec_find"]
