"""Pairing the files of two releases."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hpbuild.assembly.trees import FilePair, pair_files
from hpbuild.codes import plan as codes
from hpbuild.errors import ExitStatus, HpbuildError

Grow = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Grow:
    """``tree("old", {"bin/a.dll": b"MZ..."})``: a directory with these files."""

    def grow(name: str, files: dict[str, bytes]) -> Path:
        root = tmp_path / name
        root.mkdir()
        for path, content in files.items():
            root.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            root.joinpath(path).write_bytes(content)
        return root

    return grow


def refused(baseline: Path, fixed: Path) -> HpbuildError:
    with pytest.raises(HpbuildError) as caught:
        pair_files(baseline, fixed)
    return caught.value


def test_two_files_are_a_pair_whatever_they_hold(tree: Grow) -> None:
    old, new = tree("old", {"a.dll": b"text"}) / "a.dll", tree("new", {"b.dll": b"text"}) / "b.dll"
    release = pair_files(old, new)
    assert release.pairs == (FilePair("a.dll", old, new),)
    assert (release.unchanged, release.tree) == ((), False)


def test_files_of_trees_are_paired_by_path(tree: Grow) -> None:
    old = tree("old", {"b/x.dll": b"MZ1", "a.dll": b"MZ2", "b/same.exe": b"MZ3", "b/c/y.sys": b"MZ4"})
    new = tree("new", {"b/x.dll": b"MZ9", "a.dll": b"MZ22", "b/same.exe": b"MZ3", "b/c/y.sys": b"MZ5"})
    release = pair_files(old, new)
    assert [pair.path for pair in release.pairs] == ["a.dll", "b/c/y.sys", "b/x.dll"]
    assert release.pairs[1] == FilePair("b/c/y.sys", old / "b/c/y.sys", new / "b/c/y.sys")
    assert release.unchanged == ("b/same.exe",)
    assert release.tree


def test_a_difference_far_into_a_large_file_is_one(tree: Grow) -> None:
    content = b"MZ" + bytes(3 << 20)
    old = tree("old", {"a.dll": content, "b.dll": content})
    new = tree("new", {"a.dll": content[:-1] + b"\1", "b.dll": content})
    release = pair_files(old, new)
    assert [pair.path for pair in release.pairs] == ["a.dll"]
    assert release.unchanged == ("b.dll",)


def test_what_is_no_pe_file_does_not_count(tree: Grow) -> None:
    old = tree("old", {"a.dll": b"MZ", "readme.txt": b"1", "empty": b""})
    new = tree("new", {"a.dll": b"MZ", "readme.txt": b"2", "empty": b"", "new.txt": b"more", "short": b"M"})
    release = pair_files(old, new)
    assert (release.pairs, release.unchanged) == ((), ("a.dll",))


def test_a_file_that_only_the_baseline_has_does_not_count(tree: Grow) -> None:
    release = pair_files(tree("old", {"a.dll": b"MZ1", "gone.dll": b"MZ"}), tree("new", {"a.dll": b"MZ2"}))
    assert [pair.path for pair in release.pairs] == ["a.dll"]


def test_symbolic_links_are_not_followed(tree: Grow) -> None:
    old = tree("old", {"a.dll": b"MZ", "real/b.dll": b"MZ1"})
    new = tree("new", {"a.dll": b"MZ", "real/b.dll": b"MZ2"})
    for root in (old, new):
        (root / "link.dll").symlink_to(root / "real" / "b.dll")
        (root / "linked").symlink_to(root / "real", target_is_directory=True)
    (new / "only.dll").symlink_to(new / "a.dll")
    (new / "dangling.dll").symlink_to(new / "nothing")
    release = pair_files(old, new)
    assert [pair.path for pair in release.pairs] == ["real/b.dll"]
    assert release.unchanged == ("a.dll",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_is_not_read(tree: Grow) -> None:
    old, new = tree("old", {"a.dll": b"MZ"}), tree("new", {"a.dll": b"MZ"})
    os.mkfifo(new / "pipe.dll")
    assert pair_files(old, new).unchanged == ("a.dll",)


def test_fail_a_file_that_only_the_fixed_release_has(tree: Grow) -> None:
    old = tree("old", {"a.dll": b"MZ1"})
    new = tree("new", {"a.dll": b"MZ2", "b/new.dll": b"MZ3", "z.dll": b"MZ"})
    error = refused(old, new)
    assert error.code is codes.FILE_ADDED
    assert error.finding.place == "b/new.dll"
    assert error.finding.cause.startswith("2 PE files")


def test_fail_paths_differ_in_case(tree: Grow) -> None:
    old, new = tree("old", {"A.dll": b"MZ1"}), tree("new", {"a.dll": b"MZ2"})
    assert refused(old, new).code is codes.FILE_ADDED


@pytest.mark.parametrize("swap", [False, True])
def test_fail_a_file_and_a_tree(tree: Grow, swap: bool) -> None:
    folder = tree("old", {"a.dll": b"MZ1"})
    pair = (folder / "a.dll", folder) if swap else (folder, folder / "a.dll")
    error = refused(*pair)
    assert error.code is codes.FILE_AND_TREE
    assert error.code.exit is ExitStatus.USAGE
