"""Where the cache lies and who may write there."""

import os
from pathlib import Path

import pytest

from hpbuild.cache.folder import DEFAULT_SIZE, cache_folder, cache_size, open_folder, read_own

posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HPBUILD_CACHE": "here", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, Path("here")),
        ({"HPBUILD_CACHE": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, Path("/x/hpbuild")),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, Path("/h/.cache/hpbuild")),
        ({"HOME": "/h"}, Path("/h/.cache/hpbuild")),
        ({"HOME": ""}, None),
        ({}, None),
    ],
)
@posix
def test_the_folder(environment: dict[str, str], expected: Path | None) -> None:
    assert cache_folder(environment) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", DEFAULT_SIZE << 20),
        ("7", 7 << 20),
        ("0", 0),
        ("-1", None),
        ("x", None),
        ("9" * 12, None),
        ("٣", None),
    ],
)
def test_the_size(text: str, expected: int | None) -> None:
    assert cache_size({"HPBUILD_CACHE_SIZE": text}) == expected


@posix
def test_a_new_folder_is_the_user_s_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert open_folder(folder) == ""
    assert folder.stat().st_mode & 0o777 == 0o700
    assert open_folder(folder) == ""


@posix
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o702])
def test_fail_a_folder_that_others_may_use(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    folder.chmod(mode)
    assert f"{mode:o}" in open_folder(folder)


@posix
def test_fail_a_link_a_file_and_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert open_folder(tmp_path / "link") == "it is no directory"
    (tmp_path / "file").write_bytes(b"")
    assert open_folder(tmp_path / "file")
    assert open_folder(tmp_path / "file" / "below")
    assert open_folder(Path("nul\0"))


@posix
def test_fail_a_folder_of_another_user(tmp_path: Path) -> None:
    folder = Path("/")
    if os.geteuid() == 0:
        folder = tmp_path / "theirs"
        folder.mkdir(mode=0o700)
        os.chown(folder, 1, -1)
    assert open_folder(folder) == "it belongs to another user"


@posix
def test_only_plain_files_of_the_user_are_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    file.chmod(0o600)
    assert read_own(file, 3) == b"abc"
    assert read_own(file, 2) is None
    (tmp_path / "link").symlink_to(file)
    assert read_own(tmp_path / "link", 9) is None
    assert read_own(tmp_path, 9) is None
    assert read_own(tmp_path / "none", 9) is None
    os.mkfifo(tmp_path / "pipe")
    assert read_own(tmp_path / "pipe", 9) is None
    file.chmod(0o620)
    assert read_own(file, 9) is None
