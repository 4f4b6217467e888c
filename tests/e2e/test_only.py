"""Packages of chosen functions, from the command line: built, proved, shown, rebuilt, and refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.writer import assemble
from hpbuild.manifest.codec import decode
from hpbuild.manifest.left_out import LeftOut
from hpbuild.manifest.model import Manifest
from hpbuild.values import Interval

CHANGED = {"base64_decode", "codec_status_text", "runlength_decode", "codec_transform"}
CHOSEN = "codec_status_text"


@pytest.fixture(scope="module")
def limited(hpbuild: Any, release: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of one changed function of four."""
    out: Path = tmp_path_factory.mktemp("limited") / "one.hpb"
    run = hpbuild("build", release.baseline, release.fixed, "--only", CHOSEN, "-o", out, *IDENTITY)
    assert run.status == 0, run
    return out


IDENTITY = ("--id", "T-9", "--sequence", 9)


def proof(hpbuild: Any, package: Path, release: Any, *more: object) -> tuple[int, dict[str, Any]]:
    run = hpbuild(
        "prove", package, "--baseline", release.baseline, "--fixed", release.fixed, "--format", "json", *more
    )
    return run.status, run.document()


def codes_of(document: dict[str, Any]) -> set[str]:
    return {found["code"] for entry in document["proofs"] for c in entry["checks"] for found in c["findings"]}


def changed_functions(parts: list[dict[str, Any]]) -> set[str]:
    return {part["place"] for part in parts if part["cause"].startswith("changed function")}


def tampered(package: Path, out: Path, change: Any) -> Path:
    """The package with another manifest, sound in every other respect."""
    members = read_bundle(package.read_bytes()).members
    manifest: Manifest = change(decode(members["manifest.json"]))
    images = {name: data for name, data in members.items() if name.startswith("images/")}
    out.write_bytes(assemble(manifest, images))
    return out


def module(change: Any) -> Any:
    return lambda manifest: replace(manifest, modules=(change(manifest.modules[0]),))


def test_it_delivers_what_was_asked_and_names_the_rest(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    out = tmp_path / "a.hpb"
    words = ("build", release.baseline, release.fixed, "--only", CHOSEN, "-o", out, *IDENTITY)
    document = hpbuild(*words, "--format", "json").document()
    (made,) = document["modules"]
    assert [item["name"] for item in made["functions"]] == [CHOSEN]
    assert made["only"] == [CHOSEN]
    assert "HP3072" in {item["code"] for item in document["findings"]}
    assert "not-selected" not in {item["class"] for item in made["exclusions"]}
    (proved,) = document["proofs"]
    assert proved["verdict"] == "proved"
    assert changed_functions(proved["left_out"]) == CHANGED - {CHOSEN}
    text = hpbuild(*words).out
    assert "left out by choice" in text
    assert "runlength_decode" in text


def test_it_is_proved_but_for_what_is_named(hpbuild: Any, limited: Path, release: Any) -> None:
    for symbols in ("auto", "none"):
        status, document = proof(hpbuild, limited, release, "--symbols", symbols)
        assert (status, document["verdict"]) == (0, "proved")
        (entry,) = document["proofs"]
        assert entry["only"] == [CHOSEN]
        assert changed_functions(entry["left_out"]) == CHANGED - {CHOSEN}
        assert entry["checks"][-1]["id"] == "P10"
    run = hpbuild("prove", limited, "--baseline", release.baseline, "--fixed", release.fixed)
    assert "but for the parts that are named below as left out" in run.out
    for name in CHANGED - {CHOSEN}:
        assert name in run.out


def test_it_is_reproduced_bit_for_bit(hpbuild: Any, limited: Path, release: Any) -> None:
    run = hpbuild("rebuild", "--check", limited, release.baseline, release.fixed)
    assert run.status == 0, run


def test_looking_at_it_shows_that_it_is_not_the_whole(hpbuild: Any, limited: Path, release: Any) -> None:
    run = hpbuild("inspect", limited)
    assert f"limited to {CHOSEN}" in run.out
    assert "runlength_decode" in run.out
    (entry,) = hpbuild("inspect", limited, "--format", "json").document()["modules"]
    assert changed_functions(entry["left_out"]) == CHANGED - {CHOSEN}
    run = hpbuild("verify", limited, "--allow-unsigned", "--installed", release.baseline)
    assert run.status == 0
    assert "not the whole fixed build" in run.out
    assert "not the whole fixed build" not in hpbuild("verify", release.package, "--allow-unsigned").out
    run = hpbuild("compare", limited, release.package, "--format", "json")
    assert "only" in {item["kind"] for item in run.document()["differences"]}


def test_a_list_in_a_file(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    listing = tmp_path / "functions.txt"
    listing.write_text("# what the advisory is about\nbase64_decode\n\nrunlength_decode # and this\n")
    words = ("diff", release.baseline, release.fixed, "--only", f"@{listing}", "--format", "json")
    document = hpbuild(*words).document()
    assert document["only"] == ["base64_decode", "runlength_decode"]
    assert document["verdict"] == "hotpatchable"
    left = {item["place"] for item in document["exclusions"] if item["class"] == "not-selected"}
    assert left & CHANGED == {"codec_status_text", "codec_transform"}


def test_the_whole_list_is_the_whole_package(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    options = [item for name in sorted(CHANGED) for item in ("--only", name)]
    out = tmp_path / "all.hpb"
    assert hpbuild("build", release.baseline, release.fixed, *options, "-o", out, *IDENTITY).status == 0
    status, document = proof(hpbuild, out, release)
    assert status == 0
    assert document["proofs"][0]["left_out"] == []
    ours, theirs = (decode(read_bundle(p.read_bytes()).manifest) for p in (out, release.package))
    assert ours.modules[0].functions == theirs.modules[0].functions


@pytest.mark.parametrize(
    ("entries", "code", "status"),
    [
        (("codec_statustext",), "HP2110", 2),
        (("0x10",), "HP2110", 2),
        (("other.dll!codec_find",), "HP2110", 2),
        (("",), "HP9015", 2),
        (("@absent.txt",), "HP4801", 2),
    ],
)
def test_a_list_that_names_nothing_is_refused(
    hpbuild: Any, release: Any, tmp_path: Path, entries: tuple[str, ...], code: str, status: int
) -> None:
    options = [item for entry in entries for item in ("--only", entry)]
    out = tmp_path / "x.hpb"
    words = ("build", release.baseline, release.fixed, *options, "-o", out, *IDENTITY, "--format", "json")
    assert hpbuild(*words).error() == (status, code)
    assert not out.exists()
    run = hpbuild("diff", release.baseline, release.fixed, *options, "--format", "json")
    assert run.error() == (status, code)


def test_an_identical_function_on_the_list_refuses(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    out = tmp_path / "x.hpb"
    options = ("--only", CHOSEN, "--only", "codec_find")
    words = ("build", release.baseline, release.fixed, *options, "-o", out, *IDENTITY, "--format", "json")
    run = hpbuild(*words)
    assert run.status == 1
    (finding,) = [item for item in run.document()["findings"] if item["severity"] == "refuse"]
    assert (finding["code"], finding["place"]) == ("HP3070", "codec_find")
    assert not out.exists()


def without(group: LeftOut, name: str) -> tuple[LeftOut, ...]:
    """The group without one part of one range; nothing when no other is in it."""
    if name not in group.names:
        return (group,)
    at = group.names.index(name)
    assert (group.ranges, group.kept) == (1, 1)
    left = {
        field: getattr(group, field)[: step * at] + getattr(group, field)[step * (at + 1) :]
        for field, step in (("fixed", 2), ("baseline", 2), ("names", 1))
    }
    return (replace(group, **left),) if left["names"] else ()


def redirected(group: LeftOut, name: str, entry: Interval) -> LeftOut:
    """The group with another old version of one part."""
    if name not in group.names:
        return group
    at = 2 * group.names.index(name)
    borders = (*group.baseline[:at], entry.start, entry.end, *group.baseline[at + 2 :])
    return replace(group, baseline=borders)


TAMPERED = {
    "one more on the list": module(lambda m: replace(m, only=("base64_decode", *m.only))),
    "another on the list": module(lambda m: replace(m, only=("base64_decode",))),
    "no list": module(lambda m: replace(m, only=())),
    "one part is not named": module(
        lambda m: replace(
            m, left_out=tuple(part for item in m.left_out for part in without(item, "runlength_decode"))
        )
    ),
    "nothing is named": module(lambda m: replace(m, left_out=(), only=())),
    "another version stays": module(
        lambda m: replace(
            m,
            left_out=tuple(
                redirected(item, "runlength_decode", m.functions[0].baseline[0]) for item in m.left_out
            ),
        )
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_another_manifest_is_not_proved(
    hpbuild: Any, limited: Path, release: Any, tmp_path: Path, case: str
) -> None:
    package = tampered(limited, tmp_path / "x.hpb", TAMPERED[case])
    status, document = proof(hpbuild, package, release)
    assert (status, document["verdict"]) == (1, "not-proved"), case
    assert codes_of(document)
    if case.endswith("list"):
        assert codes_of(document) >= {"HP7071"}
        assert hpbuild("verify", package, "--allow-unsigned", "--format", "json").status == 1


def test_a_function_that_is_dropped_shows(hpbuild: Any, release: Any, tmp_path: Path) -> None:
    """A whole package from whose manifest a function was taken is no package of the others."""
    out = tmp_path / "all.hpb"
    assert hpbuild("build", release.baseline, release.fixed, "-o", out, *IDENTITY).status == 0
    listed = sorted(CHANGED - {"runlength_decode"})

    def drop(m: Any) -> Any:
        kept = [f for f in m.functions if f.name != "runlength_decode"]
        return replace(m, functions=tuple(kept), only=tuple(listed))

    status, document = proof(hpbuild, tampered(out, tmp_path / "x.hpb", module(drop)), release)
    assert (status, document["verdict"]) == (1, "not-proved")


@pytest.fixture
def trees(binaries: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two releases: two libraries that differ, one in two places under one file name."""
    for side, target in (("baseline", "old"), ("fixed", "new")):
        folder = tmp_path / target
        for place, source in (("bin", binaries / side), ("plug", binaries / "variants/static_var" / side)):
            (folder / place).mkdir(parents=True)
            name = "codec" if place == "bin" else "gadget"
            for suffix in (".dll", ".pdb"):
                shutil.copy(source / (name + suffix), folder / place)
    return tmp_path / "old", tmp_path / "new"


def test_a_tree_is_limited_module_by_module(hpbuild: Any, trees: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "x.hpb"
    words = ("build", *trees, "-o", out, *IDENTITY, "--format", "json")
    document = hpbuild(*words, "--only", CHOSEN).document()
    assert [item["path"] for item in document["modules"]] == ["bin/codec.dll"]
    assert document["left_out"] == ["plug/gadget.dll"]
    assert document["unchanged"] == []
    files = ("--baseline", trees[0], "--fixed", trees[1])
    run = hpbuild("prove", out, *files)
    assert run.status == 0
    assert "left out whole: plug/gadget.dll" in run.out
    assert hpbuild("rebuild", "--check", out, *trees).status == 0
    assert "plug/gadget.dll" in hpbuild("inspect", out).out
    document = hpbuild(*words, "--only", CHOSEN, "--only", "gadget.dll!gadget_measure").document()
    assert [item["path"] for item in document["modules"]] == ["bin/codec.dll", "plug/gadget.dll"]
    assert document["left_out"] == []
    assert hpbuild("rebuild", "--check", out, *trees).status == 0


def test_a_tree_wants_names_of_one_module(hpbuild: Any, trees: tuple[Path, Path]) -> None:
    words = ("diff", *trees, "--format", "json", "--only")
    assert hpbuild(*words, "DllMain").error() == (2, "HP2111")
    assert hpbuild(*words, "0x1150").error() == (2, "HP2111")
    assert hpbuild(*words, "nothing_like_it").error() == (2, "HP2110")
    run = hpbuild(*words, CHOSEN)
    verdicts = {Path(item["fixed"]).name: item["verdict"] for item in json.loads(run.out)["modules"]}
    assert verdicts == {"codec.dll": "hotpatchable", "gadget.dll": "left-out"}
    assert run.document()["verdict"] == "hotpatchable"
