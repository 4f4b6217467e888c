"""Measuring pairs: what a run said, what it took, and how it is told."""

import tarfile
from pathlib import Path

import pytest

from bench.measure import Result, measure
from bench.page import page
from bench.pairs import bad
from bench.sources import Pair, all_pairs, examples, patches, releases


def result(outcome: str, *, accounted: bool = True, group: str = "a", name: str = "x.dll") -> Result:
    return Result(
        group=group, name=name, size=1000, outcome=outcome, seconds=1.25, peak_mib=70, functions=1234,
        changed=3, accounted=accounted, truth=3, findings={"HP3001": 2},
    )  # fmt: skip


def test_examples_are_whole_pairs(tmp_path: Path) -> None:
    found = list(examples())
    assert {"codec", "throwing", "static_var"} <= {pair.name for pair in found}
    assert all(pair.baseline.is_file() and pair.fixed.is_file() for pair in found)
    assert [pair.name for pair in all_pairs("examples/codec", tmp_path)] == ["codec"]


def test_releases_are_matched_by_path(tmp_path: Path) -> None:
    for side, names in (("baseline", ("a/x.dll", "a/x.pdb", "gone.dll")), ("fixed", ("a/x.dll", "new.dll"))):
        for name in names:
            path = tmp_path / "qt" / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(side.encode())
    assert [(pair.group, pair.name) for pair in releases(tmp_path)] == [("qt", "a/x.dll")]


def test_patches_are_unpacked_once_with_their_known_counts(tmp_path: Path) -> None:
    source = tmp_path / "in" / "lib--fix"
    for build in ("zig", "gcc"):
        for side in ("baseline", "fixed"):
            (source / build / side).mkdir(parents=True)
            (source / build / side / "lib.dll").write_bytes(side.encode())
        (source / build / "truth.json").write_text('{"functions": {"changed": [{}, {}]}}')
    with tarfile.open(tmp_path / "lib--fix.tar.xz", "w:xz") as archive:
        archive.add(source, "lib--fix")
    for _ in range(2):
        found = list(patches(tmp_path, tmp_path / "out"))
        assert [(pair.group, pair.truth) for pair in found] == [("patches, zig", 2), ("patches, gcc", 2)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["lib--fix"]


def test_equal_files_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.dll"
    path.write_bytes(b"MZ")
    assert Pair("", "", path, path).same_bytes


def test_run_on_an_example(binaries: Path) -> None:
    pair = Pair("examples", "codec", binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll")
    measured = measure(pair, 120)
    assert measured.outcome == "hotpatchable"
    assert measured.accounted
    assert (measured.changed, measured.added) == (4, 1)
    assert measured.peak_mib > 10
    assert measured.seconds > 0


def test_run_on_a_file_that_is_no_pe(tmp_path: Path, binaries: Path) -> None:
    text = tmp_path / "x.dll"
    text.write_text("not a PE file")
    assert measure(Pair("", "", text, binaries / "fixed" / "codec.dll"), 120).outcome.startswith("HP1")


def test_run_that_takes_too_long_is_stopped(binaries: Path) -> None:
    dll = binaries / "baseline" / "codec.dll"
    assert measure(Pair("", "", dll, dll), 0).outcome == "timeout"


@pytest.mark.parametrize(
    ("outcome", "accounted", "failed"),
    [
        ("hotpatchable", True, False),
        ("refused", False, True),
        ("nothing-to-patch", True, False),
        ("HP1001", False, False),
        ("timeout", False, True),
        ("crash", False, True),
        ("no result", False, True),
    ],
)
def test_what_counts_as_a_failure(outcome: str, accounted: bool, failed: bool) -> None:
    assert bad(result(outcome, accounted=accounted)) is failed


def test_page_has_a_summary_and_a_table_for_each_group() -> None:
    text = page([result("refused"), result("HP1001", name="y"), result("timeout", group="b")], 2)
    assert "| a | 2 | 0.0 | 2,468 | 0 | 0 | 0 | 1 | HP1001 x 1 | 2 | 70 |" in text
    assert (
        "| x.dll | 1,000 |  | 1,234 | 3 | 0 | 0 | 0 | 3 | complete | refused | HP3001 x 2 | 1.2 | 70 |"
        in text
    )
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Summary", "## a", "## b"]
